"""What is there of a table: each run as one flat line, from the runs' folders or from a kept record."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab import intervals, naming
from transferlab.errors import UserError, require
from transferlab.options import places
from transferlab.records import Record, headline, read_all
from transferlab.reports.tables import Cell, Request
from transferlab.runs import DONE

Records = dict[str, list[Record]]


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


def records(sweep: Path) -> Records:
    """What the folders in ``sweep`` hold, by the fingerprint of their config alone, whatever the edition."""
    found: Records = {}
    for record in read_all(sweep):
        if record.status.get("editions"):
            found.setdefault(record.config.fingerprint({}), []).append(record)
    return found


def answers(wanted: Sequence[Cell], known: Records) -> list[Answer]:
    """What the runs' folders say to each cell.

    A run is an answer if this version of the code made it, on the data that is available. Of an edition that is not
    available, it is the data of the newest run that counts, for all cells that ask for that data, so that they never
    mix.
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
    """Whether the available data is the run's, as far as it is of the same edition."""
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
        state, reason = f"no {metric}", f"results.json has {_main(record.numbers)}"
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


def _main(numbers: Sequence[str]) -> str:
    """The names of a record's numbers, without those of validators and of what they chose."""
    main = [name for name in numbers if not name.startswith(("validator_", "chosen_by_"))]
    return ", ".join(main + ["…"] * (len(main) < len(numbers)))


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
        share = line.value is None or not intervals.is_share(line.metric) or 0 <= line.value <= 1
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
