"""A table as text: its figures beside each other, their details, and what stands under them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transferlab import intervals, naming
from transferlab.reports import layouts
from transferlab.reports.table_entries import LOWER_IS_BETTER, Entry, entries, flat, is_gap, paired_differences
from transferlab.reports.table_lines import Line
from transferlab.reports.tables import Request, Table


def grid(asked: Request, found: Sequence[Entry]) -> list[dict[str, str]]:
    """Rows by columns, or the other way where there are more columns: mean ± std (n)."""
    sideways = len({entry.heading for entry in found}) > len(asked.rows)
    names = row_names(found)
    shown: dict[str, dict[str, str]] = {}
    for entry in found:
        state = entry.notes[0].partition(" (")[0] if entry.notes else ""
        values = list(entry.values.values())
        runs = layouts.count(len(values), len(entry.lines), entry.collapsed)
        text = f"{layouts.spread(values, entry.half)} ({runs})" if values else state
        down, across = (entry.heading, names[entry.row]) if sideways else (names[entry.row], entry.heading)
        shown.setdefault(down, {" ": down})[across] = text
    everything = dict.fromkeys(name for row in shown.values() for name in row)
    return [{name: row.get(name, "–") for name in everything} for row in shown.values()]


def row_names(found: Sequence[Entry]) -> dict[str, str]:
    """What each row is called: with its metric, where that is not the first row's."""
    of_row = {entry.row: dict.fromkeys(e.metric for e in found if e.row == entry.row) for entry in found}
    first = next(iter(of_row.values()), {})
    words = {row: ", ".join(map(naming.metric_words, metrics)) for row, metrics in of_row.items()}
    return {row: row if metrics == first else f"{row} [{words[row]}]" for row, metrics in of_row.items()}


def details(table: Table, found: Sequence[Entry]) -> list[dict[str, str]]:
    """A line for each figure: its intervals, the difference from the reference, published figures, gap and time."""
    shown = []
    for entry, line in zip(found, flat(table, found), strict=True):
        values = list(entry.values.values())
        paired = paired_differences(table, entry, {e.row: e for e in found if e.heading == entry.heading})
        ends = intervals.of_metric(values, entry.metric)
        digits = layouts.decimals(paired)
        row = {
            "column": entry.heading, "row": entry.row,
            "metric": "" if len({e.metric for e in found}) == 1 else naming.metric_words(entry.metric),
            "runs": layouts.count(line["n"], line["seeds"], entry.collapsed),
            "mean ± std": layouts.spread(values, entry.half),
            "95 % over seeds": layouts.interval(ends, layouts.decimals(values, entry.half)),
            "test samples": "" if entry.test_count is None else str(entry.test_count),
            "one run": "" if entry.half is None else f"± {entry.half:.{layouts.decimals([], entry.half)}f}",
            "source": "" if line["source_accuracy"] is None else f"{line['source_accuracy']:.3f}",
            f"minus {table.reference_row}": layouts.difference(paired, digits),
            "95 %": layouts.interval(intervals.over_seeds(paired), digits, sign=True),
            "verdict": line["verdict"],
            "gap closed": _percent(line["gap_closed"]),
        }  # fmt: skip
        for name in table.published:
            figure, difference = line[name], line[f"{name}_difference"]
            gap = _percent(line[f"{name}_gap_closed"])
            row[name] = "" if figure is None else f"{figure:.4f}" + (f" ({gap})" if gap else "")
            row[f"minus {name}"] = "" if difference is None else f"{difference:+.4f}"
        row["seconds"] = "" if line["seconds"] is None else f"{line['seconds']:.0f}"
        shown.append(row)
    return shown


def data_used(found: Sequence[Entry]) -> list[dict[str, str]]:
    """A line for each column, or for each of its figures where they differ in their data."""
    shown = []
    for heading in dict.fromkeys(entry.heading for entry in found):
        there = [(e.row, e.finished[0]) for e in found if e.heading == heading and e.finished]
        same = len({(line.source, line.target) for _, line in there}) == 1
        for row, line in there[:1] if same else there:
            shown.append({"column": heading, "row": "" if same else row, "source": line.source, "target": line.target})
    return [line for line in shown if line["source"] or line["target"]]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def footnotes(asked: Request, found: Sequence[Entry]) -> list[str]:
    """What went wrong and why; what the figures are and where they were made; where published ones come from."""
    notes: dict[str, list[Entry]] = {}
    for entry in found:
        for note in (note for note in entry.notes if ": " in note):
            notes.setdefault(note, []).append(entry)
    wrong = [f"{_figures(asked, of_note)}: {note}" for note, of_note in notes.items()]
    papers = [f"{name}: {paper.source}" for name, paper in asked.table.published.items()]
    ours = ["gaps beside published figures are computed from these, as ours are"] if papers and asked.table.gap else []
    return [
        *wrong,
        *_no_gaps(asked.table, found),
        *_meaning(asked.table, found),
        *_machines(asked, found),
        *_origins(found),
        *papers,
        *ours,
    ]


def _figures(asked: Request, found: Sequence[Entry]) -> str:
    """The figures in words: the column alone, where they are all of it."""
    headings = dict.fromkeys(entry.heading for entry in found)
    if len(headings) == 1 and len(found) == len(asked.rows):
        return next(iter(headings))
    return "; ".join(f"{entry.heading}, {entry.row}" for entry in found)


def _no_gaps(table: Table, found: Sequence[Entry]) -> list[str]:
    if not table.gap or any(entry.metric in LOWER_IS_BETTER for entry in found):
        return []
    without = []
    for heading in dict.fromkeys(entry.heading for entry in found):
        lower, upper = (next((e for e in found if e.heading == heading and e.row == row), None) for row in table.gap)
        if lower and upper and lower.values and upper.values and not is_gap(lower, upper):
            without.append(heading)
    return [
        f"{', '.join(without)}: no gap to close, {table.gap[1]} is not above {table.gap[0]} beyond the noise"
    ] * bool(without)


def _meaning(table: Table, found: Sequence[Entry]) -> list[str]:
    """What the intervals are, of those that are shown."""
    said = []
    if any(len(entry.values) > 1 for entry in found):
        said.append("± is the standard deviation over seeds, which share one test set; the interval is the mean's (t)")
    shown = [entry.metric for entry in found if entry.half is not None]
    if any("accuracy" in metric for metric in shown):
        said.append("one run: half of a 95 % interval by its test samples (Wilson; over classes: stratified)")
    if any("accuracy" not in metric for metric in shown):
        said.append("one run: half of a 95 % interval by its test samples (their influence; ECE: the bins' noise)")
    if any(len(paired_differences(table, e, {o.row: o for o in found if o.heading == e.heading})) > 1 for e in found):
        said.append(f"minus {table.reference_row}: paired by seed, with a 95 % interval (t); a difference only where "
                    f"that leaves out 0 and {intervals.FEWEST} test samples or more are between them")  # fmt: skip
    return said


def _machines(asked: Request, found: Sequence[Entry]) -> list[str]:
    """Where and how precisely the runs computed: named for each figure where that is not one for all."""
    said = []
    for what in ("machine", "precision"):
        of: dict[str, list[Entry]] = {}
        for entry in found:
            for value in sorted({getattr(line, what) for line in entry.finished} - {""}):
                of.setdefault(value, []).append(entry)
        said += [f"{what}: {v}" if len(of) == 1 else f"{what} {v}: {_figures(asked, es)}" for v, es in of.items()]
    return said


def _origins(found: Sequence[Entry]) -> list[str]:
    """Which versions made the runs, and which runs of the same configs are not shown."""
    by = Counter(code for _, code in {(line.run, line.code) for entry in found for line in entry.finished})
    listed = "; ".join(f"{code} ({number})" for code, number in sorted(by.items()))
    several = f"runs by several versions of the code, which may differ: {listed}"
    said = [several] if len(by) > 1 else [f"code: {version}" for version in by if version]
    others = {other for entry in found for line in entry.lines for other in line.passed_over.split("; ") if other}
    passed_over = Counter(other.rpartition(": ")[2] for other in others)
    return said + [f"passed over, {why}: {number}" for why, number in sorted(passed_over.items())]


def page(asked: Request, of: Sequence[Line]) -> str:
    """The table as Markdown: a function of its lines and its config."""
    found = entries(asked.table, of)
    blocks = [f"# {asked.table.title}", f"    {of[0].command}", *map(layouts.markdown, text_blocks(asked, found)),
              "\n".join(f"- {note}" for note in footnotes(asked, found))]  # fmt: skip
    return "\n\n".join(blocks).rstrip() + "\n"


def text_blocks(asked: Request, found: Sequence[Entry]) -> list[list[dict[str, str]]]:
    return [rows for rows in (grid(asked, found), details(asked.table, found), data_used(found)) if rows]


def text(asked: Request, of: Sequence[Line]) -> str:
    """The table as aligned text."""
    found = entries(asked.table, of)
    blocks = [asked.table.title, *map(layouts.text, text_blocks(asked, found)), "\n".join(footnotes(asked, found))]
    return "\n\n".join(blocks).rstrip() + "\n"
