"""All kept tables on one page: what each is about beside its baseline, written from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferlab import intervals
from transferlab.reports import layouts, tables
from transferlab.reports.table_entries import Entry, entries, flat, paired_differences
from transferlab.reports.table_lines import read_lines

HEAD = """# Results

Each line is a column of a table in [results/](results): the table's baseline, the row that the table is about, as its
file names it, and their difference, paired by seed, with its 95 % interval. mean ± standard deviation over n seeds,
which share one test set; `undecided` is a difference within its interval. Published figures have protocols of their
own: the tables say which.

This page is written from the records by `python scripts/make_results.py`. What was tried, what failed, which choice
looked at which labels, and tables that are older than the latest mends: [log/results.md](log/results.md).
"""


def page(records: Path) -> str:
    """The page for the folder of records, ``<table>.csv`` each."""
    parts = [HEAD]
    for path in sorted(records.glob("*.csv")):
        table = tables.load(path.stem, None)
        lines = read_lines(path)
        rows = _rows(table, entries(table, lines))
        machines = sorted({f"{line.machine} ({line.precision})" for line in lines if line.machine})
        versions = sorted({line.code.partition(", ")[0] for line in lines if line.code})
        link = f"## [{table.title}](results/{path.stem}.md)"
        made = f"    {lines[0].command}\n\n{', '.join(machines)}; {', '.join(versions)}"
        parts.append(f"{link}\n\n{made}\n\n{layouts.markdown(rows)}\n")
    return "\n".join(parts)


def _rows(table: tables.Table, found: Sequence[Entry]) -> list[dict[str, str]]:
    rows = []
    for heading in dict.fromkeys(entry.heading for entry in found):
        column = {entry.row: entry for entry in found if entry.heading == heading}
        baseline, subject = column.get(table.reference_row), column.get(table.subject or "")
        shown = subject or max(column.values(), key=lambda entry: entry.row == table.reference_row)
        paired = paired_differences(table, shown, column)
        digits = layouts.decimals(paired)
        (line,) = [line for line, entry in zip(flat(table, found), found, strict=True) if entry is shown]
        rows.append({
            "column": heading, table.reference_row: _figure(baseline), table.subject or "": _figure(subject),
            "difference": layouts.difference(paired, digits),
            "95 %": layouts.interval(intervals.over_seeds(paired), digits, sign=True),
            "": "undecided" if line["verdict"] == "no difference" else line["verdict"],
            "published": _published(table, line) if subject else "",
        })  # fmt: skip
    return rows


def _figure(entry: Entry | None) -> str:
    if entry is None:
        return "–"
    values = list(entry.values.values())
    collapsed = entry.collapsed
    return f"{layouts.spread(values, entry.half)} ({layouts.count(len(values), len(entry.lines), collapsed)})"


def _published(table: tables.Table, line: Mapping[str, Any]) -> str:
    return ", ".join(f"{line[name]:.4f} {name}" for name in table.published if line[name] is not None)
