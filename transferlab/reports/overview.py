"""All kept tables on one page: what each is about beside its baseline, written from the records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferlab import intervals
from transferlab.reports import layouts, tables
from transferlab.reports.table_entries import Entry, entries, flat, paired_differences
from transferlab.reports.table_lines import read_lines

HEAD = """# Results

A line for each column of a table that has runs of both its baseline and the row that it is about: mean ± standard
deviation (n) over seeds, which share one test set, and their difference, paired by seed, with its 95 % interval;
`undecided` where that shows none. Of a table with many columns one line says between which the differences lie, and
counts the verdicts. A linked page says in its title what is measured, and has the command, all rows, the machine and
the revision.

`python scripts/make_results.py` writes this page from the records in [results/](results). What was tried, what failed,
which choice looked at which labels, and results older than the latest fixes are in the
[log](log/2026-11-27-results.md).
"""


MOST = 8
"""Columns of a table that have a line each; of a wider one there is a line for all, and the page behind its link."""


def page(records: Path) -> str:
    """The page for the folder of records, ``<table>.csv`` each."""
    rows, without = [], []
    for path in sorted(records.glob("*.csv")):
        table, link = tables.load(path.stem, None), f"[{path.stem}](results/{path.stem}.md)"
        of_table = compared(table, entries(table, read_lines(path)))
        rows += [{"table": link, **row} for row in (of_table if len(of_table) <= MOST else [together(of_table)])]
        without += [] if of_table else [link]
    shown = [layouts.markdown(rows) + "\n"] if rows else []
    missing = [f"Without runs of both: {', '.join(without)}.\n"] if without else []
    return "\n".join([HEAD, *shown, *missing])


def compared(table: tables.Table, found: Sequence[Entry]) -> list[dict[str, str]]:
    """The baseline, the row that the table is about and their difference, of each column that has runs of both."""
    rows, lines = [], flat(table, found)
    for heading in dict.fromkeys(entry.heading for entry in found):
        column = {entry.row: entry for entry in found if entry.heading == heading}
        baseline, subject = column.get(table.reference_row), column.get(table.subject or "")
        if baseline is None or subject is None or not (baseline.values and subject.values):
            continue
        (line,) = [line for line, entry in zip(lines, found, strict=True) if entry is subject]
        paired = paired_differences(table, subject, column)
        digits = layouts.decimals(paired)
        rows.append({
            "column": heading, "baseline": _figure(baseline), "row": _figure(subject),
            "difference": layouts.difference(paired, digits),
            "95 %": layouts.interval(intervals.over_seeds(paired), digits, sign=True),
            "verdict": "one seed" if len(paired) == 1 else line["verdict"].replace("no difference", "undecided"),
            "published": _published(table, line),
        })  # fmt: skip
    return rows


def together(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """One line for all columns of a table: between which the differences lie, and how often each verdict came."""
    ends = sorted((row["difference"] for row in rows), key=float)
    counts = Counter(row["verdict"] for row in rows)
    names = {part: rows[0][part].split(" ")[0] for part in ("baseline", "row")}
    verdicts = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
    return {
        "column": f"{len(rows)} columns", **names, "difference": f"{ends[0]} to {ends[-1]}", "95 %": "",
        "verdict": verdicts, "published": "",
    }  # fmt: skip


def _figure(entry: Entry) -> str:
    values = list(entry.values.values())
    runs = layouts.count(len(values), len(entry.lines), entry.collapsed)
    return f"`{entry.row}` {layouts.spread(values, entry.half)} ({runs})"


def _published(table: tables.Table, line: Mapping[str, Any]) -> str:
    return ", ".join(f"{line[name]:.4f} {name}" for name in table.published if line[name] is not None)
