"""What the runs' folders say of a table, and the files that show it. A function of the folders alone."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab import layouts
from transferlab.config import Config, edition_name, places, to_plain
from transferlab.files import read_json, write_text
from transferlab.runs import FINISHED, runs_in
from transferlab.sweeps import spread
from transferlab.tables import Cell, Request, Table, cells, output_folder, to_run

if TYPE_CHECKING:
    from transferlab.evaluation import figures

Records = dict[str, list["Record"]]


@dataclass(frozen=True)
class Record:
    """What a run's folder says."""

    path: Path
    config: Config
    current: bool
    """Whether this version of the code would give the same results."""
    status: dict[str, Any]
    results: dict[str, Any]
    """Empty where the run is not finished; so is data."""
    data: dict[str, Any]

    @property
    def edition(self) -> str:
        return edition_name(self.status["editions"])

    @property
    def digests(self) -> dict[str, str]:
        return self.status.get("digests") or {}

    @property
    def kind_of_data(self) -> str:
        """What is asked for as data, in which edition."""
        domains = [to_plain(self.config)[role] for role in ("source", "target")]
        asked = [{k: v for k, v in domain.items() if k not in ("per_class", "transform")} for domain in domains]
        return json.dumps([asked, self.status["editions"]], sort_keys=True)

    @property
    def numbers(self) -> list[str]:
        """The results that a table can show."""
        return [key for key, value in self.results.items() if type(value) in (int, float)]


@dataclass(frozen=True)
class Answer:
    """What the runs' folders say to a cell: its run in each edition, and which runs are no answer, and why."""

    cell: Cell
    by_edition: dict[str, Record]
    passed_over: dict[Path, str]


@dataclass(frozen=True)
class Entry:
    """A figure of the table: a cell over its seeds, in one edition of the data."""

    row: str
    column: str
    edition: str
    metric: str
    seeds: int
    """How many are asked for."""
    values: list[float]
    """Of the finished runs."""
    seconds: list[float]
    published: dict[str, float]
    notes: list[str]
    data: dict[str, str]
    """The source and the target in words, where a run is finished."""
    folders: list[Path]
    """Of the finished runs."""
    passed_over: dict[Path, str] = field(default_factory=dict)
    """Folders of runs of the same config, and why they are no answer."""

    @property
    def heading(self) -> str:
        return f"{self.column} ({self.edition})" if self.edition else self.column


def records(sweep: Path) -> Records:
    """What the folders in ``sweep`` hold, by the fingerprint of their config alone, whatever the edition."""
    found: dict[str, list[Record]] = {}
    for folder, config in runs_in(sweep):
        status = folder.status
        if status.get("editions"):
            current = status.get("fingerprint") == config.fingerprint(status.get("digests") or {})
            done = status["status"] == FINISHED
            read = [read_json(folder.path / f"{name}.json") if done else {} for name in ("results", "data")]
            found.setdefault(config.fingerprint({}), []).append(Record(folder.path, config, current, status, *read))
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


def entries(asked: Request, wanted: Sequence[Cell], known: Records) -> list[Entry]:
    """The figures of a table. A column is split where its runs have more than one edition of the data."""
    found = []
    all_answers = answers(wanted, known)
    for column in asked.columns:
        there = [answer for answer in all_answers if answer.cell.column == column]
        for edition in sorted({edition for answer in there for edition in answer.by_edition}) or [""]:
            for row in asked.rows:
                of_row = [answer for answer in there if answer.cell.row == row]
                found.append(_entry(asked.table, row, column, edition, of_row))
    return found


def _entry(table: Table, row: str, column: str, edition: str, of_seeds: Sequence[Answer]) -> Entry:
    seeds = [(answer.cell, answer.by_edition.get(edition)) for answer in of_seeds]
    metric = table.rows[row].metric or table.metric
    finished = [(cell, record) for cell, record in seeds if record and metric in record.numbers]
    done = [record.results for _, record in finished]
    data = [{role: _domain(cell, record, role) for role in ("source", "target")} for cell, record in finished]
    states: dict[tuple[str, str], list[int]] = {}
    for cell, record in seeds:
        state = record.status["status"] if record else f"needs {cell.missing}" if cell.missing else "missing"
        reason = record.status.get("reason", "") if record else cell.remedy
        if record and record.results and metric not in record.numbers:
            state, reason = f"no {metric}", f"results.json has {', '.join(record.numbers)}"
        states.setdefault((state, reason), []).append(cell.config.seed)
    notes = [
        f"{state} (seed{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))})" + (f": {reason}" if reason else "")
        for (state, reason), numbers in states.items()
        if state != FINISHED
    ]
    published = {
        name: float(paper.figures[row][column])
        for name, paper in table.published.items()
        if column in paper.figures.get(row, {})
    }
    return Entry(row, column, edition, metric, len(seeds), [float(r[metric]) for r in done],
                 [r["seconds"] for r in done], published, notes, data[0] if data else {},
                 [record.path for _, record in finished],
                 {path: why for answer in of_seeds for path, why in answer.passed_over.items()})  # fmt: skip


def _domain(cell: Cell, record: Record, role: str) -> str:
    """What a run has really used: 'mnist: 60000 + 10000 of 1x28x28, 10 classes, 5 labels each'."""
    parts: list[dict[str, Any]] = [record.data.get(f"{role}_{split}", {}) for split in ("train", "test")]
    first = next((part for part in parts if part), {})
    counts = " + ".join(str(part.get("count", 0)) for part in parts)
    words = f"{first.get('name', '?')}: {counts} of {'x'.join(map(str, first.get('shape', '?')))}"
    few = getattr(cell.config, role).per_class
    labels = f", {few} labels each" if few else ""
    return f"{words}, {first['class_count']} classes{labels}" if first.get("class_count") else words


def gap_closed(value: float | None, lower: float | None, upper: float | None) -> float | None:
    """(value - lower) / (upper - lower), where all three are there and differ."""
    if value is None or lower is None or upper is None or upper == lower:
        return None
    return (value - lower) / (upper - lower) + 0.0  # no minus zero


def flat(asked: Request, found: Sequence[Entry]) -> list[dict[str, Any]]:
    """A record for each figure, with plain numbers: the lines of table.csv."""
    means = {(e.heading, e.row): statistics.mean(e.values) for e in found if e.values}
    lower, upper = asked.table.gap or ("", "")
    lines = []
    for entry in found:
        mean = means.get((entry.heading, entry.row))
        ends = [means.get((entry.heading, row)) for row in (lower, upper)]
        line: dict[str, Any] = {
            "column": entry.column, "edition": entry.edition, "row": entry.row, "metric": entry.metric,
            "n": len(entry.values), "seeds": entry.seeds, "mean": mean,
            "std": statistics.stdev(entry.values) if len(entry.values) > 1 else None,
            "gap_closed": gap_closed(mean, *ends),
        }  # fmt: skip
        for name, paper in asked.table.published.items():
            figure = entry.published.get(name)
            ends = [paper.figures.get(row, {}).get(entry.column) for row in (lower, upper)]
            line[name] = figure
            line[f"{name}_difference"] = None if mean is None or figure is None else mean - figure
            line[f"{name}_gap_closed"] = gap_closed(figure, *ends)
        line["seconds"] = statistics.mean(entry.seconds) if entry.seconds else None
        line["note"] = "; ".join(entry.notes)
        lines.append(line)
    return lines


def grid(asked: Request, found: Sequence[Entry]) -> list[dict[str, str]]:
    """Rows by columns, or the other way where there are more columns: mean ± std (n)."""
    sideways = len({entry.heading for entry in found}) > len(asked.rows)
    lines: dict[str, dict[str, str]] = {}
    for entry in found:
        state = entry.notes[0].partition(" (")[0] if entry.notes else ""
        text = f"{spread(entry.values)} ({len(entry.values)})" if entry.values else state
        down, across = (entry.heading, entry.row) if sideways else (entry.row, entry.heading)
        lines.setdefault(down, {" ": down})[across] = text
    return list(lines.values())


def details(asked: Request, found: Sequence[Entry]) -> list[dict[str, str]]:
    """A line for each figure: seeds, published figures, differences, the gap closed, and the time."""
    shown = []
    for entry, line in zip(found, flat(asked, found), strict=True):
        row = {
            "column": entry.heading, "row": entry.row,
            "metric": entry.metric if entry.metric != asked.table.metric else "",
            "seeds": f"{line['n']}/{line['seeds']}", "mean ± std": spread(entry.values),
            "gap closed": _percent(line["gap_closed"]),
        }  # fmt: skip
        for name in asked.table.published:
            figure, difference = line[name], line[f"{name}_difference"]
            gap = _percent(line[f"{name}_gap_closed"])
            row[name] = "" if figure is None else f"{figure:.4f}" + (f" ({gap})" if gap else "")
            row[f"minus {name}"] = "" if difference is None else f"{difference:+.4f}"
        row["seconds"] = "" if line["seconds"] is None else f"{line['seconds']:.0f}"
        shown.append(row)
    return shown


def data_used(found: Sequence[Entry]) -> list[dict[str, str]]:
    """A line for each column, or for each of its figures where they differ in their data."""
    lines = []
    for heading in dict.fromkeys(entry.heading for entry in found):
        there = [entry for entry in found if entry.heading == heading and entry.data]
        same = all(entry.data == there[0].data for entry in there)
        for entry in there[:1] if same else there:
            lines.append({"column": heading, "row": "" if same else entry.row, **entry.data})
    return lines


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def footnotes(asked: Request, found: Sequence[Entry]) -> list[str]:
    """What went wrong and why, then where the published figures come from."""
    notes: dict[str, list[str]] = {}
    for entry in found:
        for note in (note for note in entry.notes if ": " in note):
            notes.setdefault(note, []).append(f"{entry.heading}, {entry.row}")
    lines = []
    for note, where in notes.items():
        whole = {p.partition(", ")[0] for p in where}
        everywhere = len(whole) == 1 and len(where) == len(asked.rows)
        lines.append(f"{whole.pop() if everywhere else '; '.join(where)}: {note}")
    lines += _origins(found)
    papers = [f"{name}: {paper.source}" for name, paper in asked.table.published.items()]
    ours = "gaps beside published figures are computed from these, as ours are"
    return lines + papers + ([ours] if papers and asked.table.gap else [])


def _made_by(folder: Path) -> str:
    """Revision and versions of the code that made a run, in words."""
    made = read_json(folder / "environment.json")
    words = [f"transferlab {made.get('transferlab', '?')}", f"torch {made.get('torch', '?')}"]
    return ", ".join([f"revision {made['git']}", *words] if made.get("git") else words)


def _origins(found: Sequence[Entry]) -> list[str]:
    """Which versions made the runs, where there are several, and which runs of the same configs are not shown."""
    made = Counter(_made_by(path) for path in {path for entry in found for path in entry.folders})
    listed = "; ".join(f"{by} ({number})" for by, number in sorted(made.items()))
    lines = [f"runs by several versions of the code, which may differ: {listed}"] if len(made) > 1 else []
    passed_over = Counter({path: why for entry in found for path, why in entry.passed_over.items()}.values())
    return lines + [f"passed over, {why}: {number}" for why, number in sorted(passed_over.items())]


def render(asked: Request) -> str:
    """Write the table from the folders of its runs; returns its text, and where the files are."""
    wanted = cells(asked, fetch=False)
    folder = output_folder(asked, wanted)
    return f"{write(asked, folder, entries(asked, wanted, records(wanted[0].sweep)))}\n{folder}"


def write(asked: Request, folder: Path, found: Sequence[Entry]) -> str:
    """Write table.txt, .md, .csv, .tex and .png into ``folder``, and the feature spaces; returns the text."""
    from transferlab.evaluation import figures

    title, notes = asked.table.title, footnotes(asked, found)
    tables = [rows for rows in (grid(asked, found), details(asked, found), data_used(found)) if rows]
    text = "\n\n".join([title, *map(layouts.text, tables), "\n".join(notes)]).rstrip() + "\n"
    write_text(folder / "table.txt", text)
    listed = "\n".join(f"- {note}" for note in notes)
    markdown = [f"# {title}", *map(layouts.markdown, tables), listed]
    write_text(folder / "table.md", "\n\n".join(markdown).rstrip() + "\n")
    latex = [f"% {title}", *map(layouts.latex, tables), *(layouts.escaped(note) + r"\\" for note in notes)]
    write_text(folder / "table.tex", "\n".join(latex) + "\n")
    lines = flat(asked, found)
    content = io.StringIO()
    writer = csv.DictWriter(content, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(folder / "table.csv", content.getvalue())
    headings = list(dict.fromkeys(entry.heading for entry in found))
    bars = {row: [e for e in found if e.row == row] for row in asked.rows}
    figures.bars(
        headings,
        {row: [e.values for e in of_row] for row, of_row in bars.items()},
        {row: [list(e.published.values()) for e in of_row] for row, of_row in bars.items()},
        folder / "table.png",
        title,
        asked.table.metric.replace("_", " "),
    )
    for heading in headings:
        there = {entry.row: entry for entry in found if entry.heading == heading}
        panels = [_panel(there[row]) for row in asked.table.feature_space if row in there]
        drawn = [panel for panel in panels if panel]
        if len(drawn) == len(asked.table.feature_space) > 0:
            name = re.sub(r"[^\w.-]+", "_", f"features_{heading}").rstrip("_")
            figures.feature_space(drawn, folder / f"{name}.png")
    return text


def _panel(entry: Entry) -> figures.Panel | None:
    """The feature space of the first finished run of a cell that has drawn one."""
    from transferlab.evaluation import figures

    for folder in entry.folders:
        if (path := folder / "figures" / "features.csv").is_file():
            return figures.read_panel(path, entry.row.replace("_", " "))
    return None


def forecast(asked: Request, wanted: Sequence[Cell]) -> tuple[list[dict[str, str]], str]:
    """What is finished and what would run, and in a sentence how long that will take, by the finished runs."""
    known = records(wanted[0].sweep)
    took: dict[tuple[str, ...], list[float]] = {}
    for cell in wanted:
        for record in known.get(cell.config.fingerprint({}), []):
            for key in _alike(cell):
                took.setdefault(key, []).extend([record.results["seconds"]] if record.results else [])
    waiting = to_run(wanted)
    times = [next((took[key] for key in _alike(cell) if took.get(key)), []) for cell in waiting]
    seconds = sum(statistics.mean(t) for t in times if t)
    folders = {cell.folder for cell in waiting}
    lines = []
    for column in asked.columns:
        for row in asked.rows:
            of_pair = [cell for cell in wanted if (cell.row, cell.column) == (row, column)]
            seeds: dict[str, list[str]] = {"finished": [], "to run": []}
            for cell in (cell for cell in of_pair if cell.digests):
                seeds["to run" if cell.folder in folders else "finished"].append(str(cell.config.seed))
            needs = {f"needs {cell.missing}: {cell.remedy}" for cell in of_pair if cell.missing}
            lines.append(
                {"column": column, "row": row, **{k: ",".join(v) for k, v in seeds.items()}, "note": "".join(needs)}
            )
    finished = len({cell.folder for cell in wanted if cell.digests}) - len(waiting)
    expected = f"about {_duration(seconds)} one at a time, by the finished ones" if seconds else asked.table.time
    return lines, f"{asked.name}: {len(waiting)} runs to go, {finished} finished" + (f"; {expected}" if waiting else "")


def _alike(cell: Cell) -> list[tuple[str, ...]]:
    """What a run's time is guessed from, the nearest first: its row and column, its row, the table."""
    return [(cell.row, cell.column), (cell.row,), ()]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
