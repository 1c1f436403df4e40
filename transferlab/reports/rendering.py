"""What the runs' folders say of a table, and the files that show it.

Every run becomes one flat line, and all else is a function of these lines and the table's config: ``runs.csv`` alone
renders the table again.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab import intervals, naming
from transferlab.config import Config
from transferlab.errors import UserError, require
from transferlab.files import csv_text, write_text
from transferlab.options import places
from transferlab.records import Record, headline, read_all
from transferlab.reports import layouts
from transferlab.reports.tables import Cell, Request, Table, minutes_a_step, output_folder, steps, to_run
from transferlab.runs import COLLAPSED, DONE, FINISHED

if TYPE_CHECKING:
    from transferlab.evaluation import figures

Records = dict[str, list[Record]]
LOWER_IS_BETTER = ("cluster_entropy", "proxy_a_distance", "forgetting", "seconds")


@dataclass(frozen=True)
class Line:
    """One run of a table: a line of runs.csv."""

    column: str
    row: str
    seed: int
    method: str
    edition: str
    """Empty where there is no run."""
    status: str
    """That of the run; or 'missing', 'needs <data set>', 'no <metric>'."""
    reason: str
    metric: str
    value: float | None = None
    """Where the run is finished; so are the next nine."""
    low: float | None = None
    """The ends of the value's 95 % interval by the test samples."""
    high: float | None = None
    test_count: int | None = None
    source_accuracy: float | None = None
    steps: int | None = None
    seconds: float | None = None
    precision: str = ""
    machine: str = ""
    source: str = ""
    """The data that was really used, in words."""
    target: str = ""
    run: str = ""
    """The run's folder."""
    code: str = ""
    """Revision and versions of the code that made the run."""
    passed_over: str = ""
    """Folders of runs of the same config, and why they are no answer."""
    command: str = ""
    """What makes the table."""


@dataclass(frozen=True)
class Answer:
    """What the runs' folders say to a cell: its run in each edition, and which runs are no answer, and why."""

    cell: Cell
    by_edition: dict[str, Record]
    passed_over: dict[Path, str]


@dataclass(frozen=True)
class Entry:
    """A figure of the table: a cell over its seeds, in one edition of the data."""

    lines: Sequence[Line]
    """At least one."""
    published: Mapping[str, float]
    """By paper."""

    @property
    def row(self) -> str:
        return self.lines[0].row

    @property
    def column(self) -> str:
        return self.lines[0].column

    @property
    def metric(self) -> str:
        return self.lines[0].metric

    @property
    def heading(self) -> str:
        edition = self.lines[0].edition
        return f"{self.column} ({edition})" if edition else self.column

    @property
    def finished(self) -> list[Line]:
        return [line for line in self.lines if line.status == FINISHED]

    @property
    def collapsed(self) -> int:
        return sum(line.status == COLLAPSED for line in self.lines)

    @property
    def values(self) -> dict[int, float]:
        """The metric of each finished seed."""
        return {line.seed: line.value for line in self.finished if line.value is not None}

    def mean(self, field: str) -> float | None:
        """The mean of one of the lines' numbers over the finished runs that have it."""
        numbers = [number for line in self.finished if (number := getattr(line, field)) is not None]
        return statistics.fmean(numbers) if numbers else None

    @property
    def half(self) -> float | None:
        """Half of the interval by the test samples, on average over the runs."""
        low, high = self.mean("low"), self.mean("high")
        return None if low is None or high is None else (high - low) / 2

    @property
    def test_count(self) -> int | None:
        return min((line.test_count for line in self.finished if line.test_count is not None), default=None)

    @property
    def notes(self) -> list[str]:
        """What is not finished and why: 'failed (seeds 0, 1): Diverged: …'."""
        states: dict[tuple[str, str], list[int]] = {}
        for line in self.lines:
            if line.status != FINISHED:
                states.setdefault((line.status, line.reason), []).append(line.seed)
        return [
            f"{state} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})" + (f": {reason}" if reason else "")
            for (state, reason), seeds in states.items()
        ]


def records(sweep: Path) -> Records:
    """What the folders in ``sweep`` hold, by the fingerprint of their config alone, whatever the edition."""
    found: Records = {}
    for record in read_all(sweep):
        if record.status.get("editions"):
            found.setdefault(record.config.fingerprint({}), []).append(record)
    return found


def answers(wanted: Sequence[Cell], known: Records) -> list[Answer]:
    """What the runs' folders say to each cell.

    A run is an answer if this version of the code made it, on the data at hand. Of an edition that is not at hand, it
    is the data of the newest run that counts, for all cells that ask for that data, so that they never mix.
    """
    fitting = [[r for r in known.get(cell.config.fingerprint({}), []) if _asked_for(cell, r)] for cell in wanted]
    newest: dict[str, Record] = {}
    for cell, of_cell in zip(wanted, fitting, strict=True):
        for record in of_cell:
            rival = newest.get(record.kind_of_data)
            newer = rival is None or record.status["updated"] > rival.status["updated"]
            if record.current and _at_hand(cell, record) and newer:
                newest[record.kind_of_data] = record
    found = []
    for cell, of_cell in zip(wanted, fitting, strict=True):
        answer = Answer(cell, {}, {})
        for record in of_cell:
            if not record.current:
                answer.passed_over[record.path] = "made by another version of the code"
            elif not _at_hand(cell, record) or record.digests != newest[record.kind_of_data].digests:
                answer.passed_over[record.path] = "made of other data"
            else:
                answer.by_edition[record.edition] = record
        found.append(answer)
    return found


def _asked_for(cell: Cell, record: Record) -> bool:
    """Whether a run of the cell's config is on the same data sets: the user's own at the same place, or equal."""
    return record.digests == cell.digests or all(
        getattr(getattr(record.config, role), place) == getattr(getattr(cell.config, role), place)
        for role in ("source", "target")
        for place in places(getattr(cell.config, role))
    )


def _at_hand(cell: Cell, record: Record) -> bool:
    """Whether the data at hand is the run's, as far as it is of the same edition."""
    editions = record.status["editions"]
    same = [role for role in cell.digests if cell.editions[role] == editions[role]]
    return all(record.digests.get(role) == cell.digests[role] for role in same)


def lines(asked: Request, wanted: Sequence[Cell], known: Records) -> list[Line]:
    """A line for each run that a table asks for, and for each edition of the data that a column's runs have."""
    found = []
    all_answers = answers(wanted, known)
    for column in asked.columns:
        there = [answer for answer in all_answers if answer.cell.column == column]
        for edition in sorted({edition for answer in there for edition in answer.by_edition}) or [""]:
            for row in asked.rows:
                found += [_line(asked, answer, edition) for answer in there if answer.cell.row == row]
    return found


def _line(asked: Request, answer: Answer, edition: str) -> Line:
    cell, record = answer.cell, answer.by_edition.get(edition)
    passed_over = "; ".join(f"{path.name}: {why}" for path, why in answer.passed_over.items())
    metric = asked.table.rows[cell.row].metric or asked.table.metric or headline(cell.config)
    method = cell.config.names["method"]
    if record is None:
        state, reason = (f"needs {cell.missing}", cell.remedy) if cell.missing else ("missing", "")
        where = (cell.column, cell.row, cell.config.seed, method, edition)
        return Line(*where, state, reason, metric, passed_over=passed_over, command=asked.command)
    results, state, reason = record.results, record.state, str(record.status.get("reason", ""))
    if results and metric not in record.numbers:
        state, reason = f"no {metric}", f"results.json has {', '.join(record.numbers)}"
    low, high = results.get(f"{metric}_interval", (None, None))
    device = record.environment
    return Line(
        cell.column, cell.row, cell.config.seed, method, edition, state, reason, metric,
        value=float(results[metric]) if metric in record.numbers else None, low=low, high=high,
        test_count=results.get("target_test_count"), source_accuracy=results.get("source_accuracy"),
        steps=results.get("steps"), seconds=results.get("seconds"),
        precision=str(results.get("precision", device.get("precision", ""))),
        machine=str(device.get("accelerator") or device.get("processor", "")),
        source=_domain(cell, record, "source"), target=_domain(cell, record, "target"),
        run=record.path.name, code=_made_by(device), passed_over=passed_over, command=asked.command,
    )  # fmt: skip


def _domain(cell: Cell, record: Record, role: str) -> str:
    """What a run has really used: 'mnist: 60000 + 10000 of 1x28x28, 10 classes, 5 labels each'."""
    if not record.data:
        return ""
    parts: list[dict[str, Any]] = [record.data.get(f"{role}_{split}", {}) for split in ("train", "test")]
    first = next((part for part in parts if part), {})
    counts = " + ".join(str(part.get("count", 0)) for part in parts)
    words = f"{first.get('name', '?')}: {counts} of {'x'.join(map(str, first.get('shape', '?')))}"
    few = getattr(cell.config, role).per_class
    labels = f", {few} labels each" if few else ""
    return f"{words}, {first['class_count']} classes{labels}" if first.get("class_count") else words


def _made_by(environment: Mapping[str, Any]) -> str:
    """Revision and versions of the code that made a run, in words."""
    words = [f"{package} {environment.get(package, '?')}" for package in ("transferlab", "torch")]
    return ", ".join([f"revision {environment['git']}", *words] if environment.get("git") else words)


def read_lines(path: Path) -> list[Line]:
    """The lines of a runs.csv. Raises :class:`UserError` where it is not one."""
    fields = dataclasses.fields(Line)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = [Line(*(_parsed(row[f.name], str(f.type)) for f in fields)) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a table's runs.csv ({' '.join(str(error).split())})") from None
    require(bool(found), f"{path}: no runs in it")
    _check_lines(path, found)
    return found


def _check_lines(path: Path, found: Sequence[Line]) -> None:
    """Refuse what no table writes: it would be averaged like any other."""
    there: set[tuple[str, str, str, int]] = set()
    kinds: dict[tuple[str, str], tuple[str, str]] = {}
    for number, line in enumerate(found, 2):
        where, cell = f"{path}, line {number}", (line.column, line.row)
        run = (*cell, line.edition, line.seed)
        require(run not in there, f"{where}: row {line.row} of column {line.column} has seed {line.seed} twice")
        there.add(run)
        for name, value in vars(line).items():
            require(not isinstance(value, float) or math.isfinite(value), f"{where}: {name}={value} is no number")
        share = line.value is None or "accuracy" not in line.metric or 0 <= line.value <= 1
        require(share, f"{where}: value={line.value}: a {naming.metric_words(line.metric)} is 0 to 1")
        done = line.value is None or line.status in DONE
        require(done, f"{where}: status={line.status}, and yet a value; allowed with one are {', '.join(DONE)}")
        kind = (line.method, line.metric)
        same = kinds.setdefault(cell, kind) == kind
        require(same, f"{where}: row {line.row} of column {line.column} has two methods or metrics: {', '.join(kind)}")


def _parsed(text: str, kind: str) -> Any:
    if kind == "str":
        return text
    return None if text == "" else int(text) if kind.startswith("int") else float(text)


def entries(table: Table, of: Sequence[Line]) -> list[Entry]:
    """The figures of a table. A column is split where its runs have more than one edition of the data."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in of:
        groups.setdefault((line.column, line.edition, line.row), []).append(line)
    return [
        Entry(members, {name: paper.figures[row][column] for name, paper in table.published.items()
                        if column in paper.figures.get(row, {})})
        for (column, _, row), members in groups.items()
    ]  # fmt: skip


def gap_closed(value: float | None, lower: float | None, upper: float | None) -> float | None:
    """(value - lower) / (upper - lower), where all three are there and there is a gap."""
    if value is None or lower is None or upper is None or upper <= lower:
        return None
    return (value - lower) / (upper - lower) + 0.0  # no minus zero


def is_gap(lower: Entry | None, upper: Entry | None) -> bool:
    """Whether ``upper`` is above ``lower`` beyond the noise: over their seeds, or of one seed by its test samples."""
    if lower is None or upper is None or not _comparable(lower, upper):
        return False
    paired = intervals.differences(upper.values, lower.values)
    if len(paired) > 1:
        return statistics.fmean(paired) > 0 and intervals.is_difference(paired, upper.test_count)
    below, above = lower.mean("value"), upper.mean("value")
    if below is None or above is None or lower.half is None or upper.half is None:
        return False
    return above - below > math.hypot(lower.half, upper.half)


def _comparable(one: Entry, other: Entry) -> bool:
    """Whether both are over samples, or both over classes; and both chosen by test labels, or neither."""
    kinds = [("mean_class" in entry.metric, entry.metric.startswith("oracle")) for entry in (one, other)]
    return kinds[0] == kinds[1]


def flat(table: Table, found: Sequence[Entry]) -> list[dict[str, Any]]:
    """A record for each figure, with plain numbers: the lines of table.csv."""
    return [_flat(table, entry, {e.row: e for e in found if e.heading == entry.heading}) for entry in found]


def _flat(table: Table, entry: Entry, column: Mapping[str, Entry]) -> dict[str, Any]:
    values = list(entry.values.values())
    mean = statistics.fmean(values) if values else None
    low, high = intervals.over_seeds(values) or (None, None)
    paired = _paired(table, entry, column)
    paired_low, paired_high = intervals.over_seeds(paired) or (None, None)
    lower, upper = (column.get(row) for row in table.gap or ("", ""))
    ends = [end.mean("value") for end in (lower, upper) if end] if is_gap(lower, upper) else [None, None]
    line: dict[str, Any] = {
        "column": entry.column, "edition": entry.lines[0].edition, "row": entry.row, "metric": entry.metric,
        "n": len(values), "seeds": len(entry.lines), "collapsed": entry.collapsed, "mean": mean,
        "std": statistics.stdev(values) if len(values) > 1 else None, "low": low, "high": high,
        "test_count": entry.test_count, "test_half_interval": entry.half,
        "source_accuracy": entry.mean("source_accuracy"),
        "difference": statistics.fmean(paired) if paired else None, "difference_low": paired_low,
        "difference_high": paired_high,
        "verdict": intervals.verdict(paired, entry.test_count, entry.metric in LOWER_IS_BETTER),
        "gap_closed": gap_closed(mean, *ends),
    }  # fmt: skip
    for name, paper in table.published.items():
        figure = entry.published.get(name)
        theirs = [paper.figures.get(row, {}).get(entry.column) for row in table.gap or ("", "")]
        line[name] = figure
        line[f"{name}_difference"] = None if mean is None or figure is None else mean - figure
        line[f"{name}_gap_closed"] = gap_closed(figure, *theirs)
    return {**line, "seconds": entry.mean("seconds"), "note": "; ".join(entry.notes)}


def _paired(table: Table, entry: Entry, column: Mapping[str, Entry]) -> list[float]:
    """The differences, seed by seed, from the reference row of the same column."""
    reference = column.get(table.reference_row)
    if reference is None or reference.row == entry.row or not _comparable(entry, reference):
        return []
    return intervals.differences(entry.values, reference.values)


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
        paired = _paired(table, entry, {e.row: e for e in found if e.heading == entry.heading})
        ends = intervals.over_seeds(values)
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
    if not table.gap:
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
    if any(entry.half is not None for entry in found):
        said.append("one run: half of a 95 % interval by its test samples (Wilson; over classes: stratified)")
    if any(len(_paired(table, e, {o.row: o for o in found if o.heading == e.heading})) > 1 for e in found):
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
    """Which versions made the runs, where there are several, and which runs of the same configs are not shown."""
    by = Counter(code for _, code in {(line.run, line.code) for entry in found for line in entry.finished})
    listed = "; ".join(f"{code} ({number})" for code, number in sorted(by.items()))
    said = [f"runs by several versions of the code, which may differ: {listed}"] if len(by) > 1 else []
    others = {other for entry in found for line in entry.lines for other in line.passed_over.split("; ") if other}
    passed_over = Counter(other.rpartition(": ")[2] for other in others)
    return said + [f"passed over, {why}: {number}" for why, number in sorted(passed_over.items())]


def page(asked: Request, of: Sequence[Line]) -> str:
    """The table as Markdown: a function of its lines and its config."""
    found = entries(asked.table, of)
    blocks = [f"# {asked.table.title}", f"    {of[0].command}", *map(layouts.markdown, _blocks(asked, found)),
              "\n".join(f"- {note}" for note in footnotes(asked, found))]  # fmt: skip
    return "\n\n".join(blocks).rstrip() + "\n"


def _blocks(asked: Request, found: Sequence[Entry]) -> list[list[dict[str, str]]]:
    return [rows for rows in (grid(asked, found), details(asked.table, found), data_used(found)) if rows]


def text(asked: Request, of: Sequence[Line]) -> str:
    """The table as aligned text."""
    found = entries(asked.table, of)
    blocks = [asked.table.title, *map(layouts.text, _blocks(asked, found)), "\n".join(footnotes(asked, found))]
    return "\n\n".join(blocks).rstrip() + "\n"


def render(asked: Request, wanted: Sequence[Cell]) -> str:
    """Write the table from the folders of its runs; returns its text, and where the files are."""
    sweep, folder = wanted[0].sweep, output_folder(asked, wanted)
    of = lines(asked, wanted, records(sweep))
    write(asked, folder, of, sweep)
    return "\n".join([text(asked, of), str(folder), *map(str, document(asked, of))])


def document(asked: Request, of: Sequence[Line]) -> list[Path]:
    """Write the record and the page for a folder of documents, where one is asked for; returns their paths."""
    if asked.docs is None:
        return []
    require(any(line.status in DONE for line in of), f"--docs {asked.docs}: no run of {asked.name} is finished")
    paths = [asked.docs / f"{asked.name}{end}" for end in (".csv", ".md")]
    record = csv_text([dataclasses.asdict(line) for line in of])
    for path, content in zip(paths, (record, page(asked, of)), strict=True):
        write_text(path, content)
    return paths


def write(asked: Request, folder: Path, of: Sequence[Line], sweep: Path) -> None:
    """Write runs.csv, and from it table.txt, .md, .csv, .tex and the charts; feature spaces come from the runs'."""
    from transferlab.evaluation import figures

    found, title = entries(asked.table, of), asked.table.title
    write_text(folder / "runs.csv", csv_text([dataclasses.asdict(line) for line in of]))
    write_text(folder / "table.csv", csv_text(flat(asked.table, found)))
    write_text(folder / "table.txt", text(asked, of))
    write_text(folder / "table.md", page(asked, of))
    latex = _latex(asked, found)
    write_text(folder / "table.tex", latex)
    headings = list(dict.fromkeys(entry.heading for entry in found))
    names = row_names(found)
    bars = {row: [e for e in found if e.row == row] for row in names}
    marks = {paper: {names[row]: [e.published.get(paper) for e in of_row] for row, of_row in bars.items()}
             for paper in asked.table.published}  # fmt: skip
    figures.bars(
        headings,
        {names[row]: [list(e.values.values()) for e in of_row] for row, of_row in bars.items()},
        {names[row]: of_row[0].lines[0].method for row, of_row in bars.items()},
        {paper: of for paper, of in marks.items() if any(m is not None for of_row in of.values() for m in of_row)},
        folder / "table.png",
        title,
        naming.metric_words(found[0].metric),
    )
    for heading in headings:
        there = {entry.row: entry for entry in found if entry.heading == heading}
        panels = [_panel(there[row], sweep) for row in asked.table.feature_space if row in there]
        drawn = [panel for panel in panels if panel]
        if len(drawn) == len(asked.table.feature_space) > 0:
            name = re.sub(r"[^\w.-]+", "_", f"features_{heading}").rstrip("_")
            figures.feature_space(drawn, folder / f"{name}.png")


def _latex(asked: Request, found: Sequence[Entry]) -> str:
    """The table for LaTeX: the grid with the best of each column in bold, then intervals and data, then the notes."""
    blocks, names = _blocks(asked, found), row_names(found)
    sideways = len({entry.heading for entry in found}) > len(asked.rows)
    places = [line[" "] for line in blocks[0]]
    best = [(names[e.row], e.heading) for heading in dict.fromkeys(e.heading for e in found)
            for e in _best([e for e in found if e.heading == heading])]  # fmt: skip
    bold = [(places.index(heading), row) if sideways else (places.index(row), heading) for row, heading in best]
    captions = [asked.table.title, f"{asked.table.title}: intervals and differences", f"{asked.table.title}: data"]
    floats = [
        layouts.latex(block, caption, f"{asked.name}{place or ''}", bold if place == 0 else ())
        for place, (block, caption) in enumerate(zip(blocks, captions, strict=False))
    ]
    notes = [rf"\noindent {layouts.escaped(note)}\par" for note in footnotes(asked, found)]
    return "\n\n".join([r"% \usepackage{booktabs,graphicx}", *floats, "\n".join(notes)]).rstrip() + "\n"


def _best(column: Sequence[Entry]) -> list[Entry]:
    """The figure with the best mean, where all are of one metric, and those that are not different from it."""
    with_values = [entry for entry in column if entry.values]
    if len({entry.metric for entry in with_values}) != 1 or len(with_values) < 2:
        return []
    lower = with_values[0].metric in LOWER_IS_BETTER
    best = max(with_values, key=lambda e: statistics.fmean(e.values.values()) * (-1 if lower else 1))
    pairs = {e.row: intervals.differences(best.values, e.values) for e in with_values}
    equal = [
        e for e in with_values if len(pairs[e.row]) > 1 and not intervals.is_difference(pairs[e.row], e.test_count)
    ]
    return [best, *(e for e in equal if e is not best)]


def _panel(entry: Entry, sweep: Path) -> figures.Panel | None:
    """The feature space of the first finished run of a cell that has drawn one."""
    from transferlab.evaluation import figures

    for line in entry.finished:
        if (path := sweep / line.run / "figures" / "features.csv").is_file():
            return figures.read_panel(path, entry.row.replace("_", " "))
    return None


def from_records(asked: Request) -> str:
    """The table of a runs.csv, of the rows, columns and seeds in it that are asked for."""
    assert asked.records is not None
    words = ", ".join(asked.words)
    require(not words, f"{words}: no effect with --from, which runs nothing; allowed are rows=, columns= and seeds=")
    read = read_lines(asked.records)
    for key, known in (("row", asked.table.rows), ("column", asked.table.columns)):
        others = {getattr(line, key) for line in read} - set(known)
        require(not others, f"{asked.records}: {key} {min(others, default='')} is not one of table {asked.name}")
    of = [line for line in read if line.row in asked.rows and line.column in asked.columns]
    of = of if asked.seeds == asked.table.seeds else [line for line in of if line.seed in asked.seeds]
    require(bool(of), f"{asked.records}: none of the runs that are asked for is in it")
    rows, columns = ([name for name in wanted if name in {getattr(line, key) for line in of}]
                     for key, wanted in (("row", asked.rows), ("column", asked.columns)))  # fmt: skip
    shown = dataclasses.replace(asked, rows=rows, columns=columns)
    return "\n".join([text(shown, of), *map(str, document(shown, of))])


def forecast_text(asked: Request, wanted: Sequence[Cell]) -> str:
    """What --dry-run prints."""
    shown, needs, sentence = forecast(asked, wanted)
    return "\n\n".join([layouts.text(shown), *["\n".join(needs)] * bool(needs), sentence])


def forecast(asked: Request, wanted: Sequence[Cell]) -> tuple[list[dict[str, str]], list[str], str]:
    """What is finished and what would run; what is missing for it; and in a sentence how long it will take.

    A run is taken to last as long as finished runs of its method and net do for the same number of steps; or else its
    share, by steps, of what the table's file says; or as long as any finished run.
    """
    took: dict[tuple[str, ...], list[float]] = {}
    for record in read_all(wanted[0].sweep):
        if record.results:
            for key in _alike(record.config):
                took.setdefault(key, []).append(record.results["seconds"] / steps(record.config))
    waiting = to_run(wanted)
    rates = [next((statistics.fmean(took[k]) for k in _alike(cell.config)[:2] if k in took), None) for cell in waiting]
    told = minutes_a_step(asked) if None in rates else {}
    any_run = statistics.fmean(took.get((), [math.nan]))
    guesses = [60 * told[cell.column] if cell.column in told else any_run for cell in waiting]
    seconds = sum(steps(cell.config) * (guess if rate is None else rate)
                  for rate, guess, cell in zip(rates, guesses, waiting, strict=True))  # fmt: skip
    folders = {cell.folder for cell in waiting}
    shown, needs = [], dict[str, str]()
    for column in asked.columns:
        for row in asked.rows:
            of_pair = [cell for cell in wanted if (cell.row, cell.column) == (row, column)]
            seeds: dict[str, list[str]] = {"finished": [], "to run": []}
            for cell in (cell for cell in of_pair if cell.digests):
                seeds["to run" if cell.folder in folders else "finished"].append(str(cell.config.seed))
            missing = {cell.missing: f"needs {cell.missing}: {cell.remedy}" for cell in of_pair if cell.missing}
            needs |= missing
            note = ", ".join(f"needs {name}" for name in missing)
            shown.append({"column": column, "row": row, **{k: ",".join(v) for k, v in seeds.items()}, "note": note})
    finished = len({cell.folder for cell in wanted if cell.editions}) - len(waiting)
    by = "the table's own estimate, for one core" if told else "finished runs"
    expected = asked.table.time if math.isnan(seconds) else f"about {_duration(seconds)} one at a time, by {by}"
    sentence = f"{asked.name}: {len(waiting)} runs to go, {finished} finished" + (f"; {expected}" if waiting else "")
    return shown, list(needs.values()), sentence


def _alike(config: Config) -> list[tuple[str, ...]]:
    """What a run's time is guessed from, nearest first: the same method, net and data; the same method and net; any."""
    near = (config.names["method"], config.model.name)
    return [(*near, config.names["source"], config.names["target"]), near, ()]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
