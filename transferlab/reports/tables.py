"""Tables as configs: rows x columns x seeds of ordinary runs, and what the runs' folders say of them.

A cell is one run, composed of the overrides of table, row, column and cell, then of the command line: the last wins,
but single values win over presets such as ``train=quick``, wherever they stand.
What a table shows is a function of the folders alone. Torch is imported only inside a run.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from transferlab import compatibility, idle, naming, plan
from transferlab.build import build
from transferlab.config import Config, conf_dir
from transferlab.data import Found
from transferlab.errors import DataMissing, UserError, nearest, require
from transferlab.files import expanded
from transferlab.runs import DONE, RunFolder

MOST_SEEDS = 1000
"""More are a slip of the finger, and would be planned one by one."""


@dataclass
class Row:
    """A line of the table: most often a method."""

    overrides: list[str]
    metric: str | None = None
    """A key of results.json instead of the table's. Shown beside the row's name where the rows have several."""


@dataclass
class Column:
    """Most often a pair of domains."""

    overrides: list[str]
    cells: dict[str, list[str]] = field(default_factory=dict)
    """Overrides of single cells, by row."""
    minutes: float | None = None
    """What one seed takes on one core, in place of the table's."""


@dataclass
class Published:
    """Figures of a paper to compare with."""

    source: str
    figures: dict[str, dict[str, float]]
    """By row, then by column, in the metric's units."""


@dataclass
class Table:
    """A file of conf/table."""

    title: str
    rows: dict[str, Row]
    columns: dict[str, Column]
    seeds: list[int]
    time: str
    """What to expect of all its runs together."""
    minutes: float | None = None
    """What one seed of a column takes on one core: --dry-run scales it by the runs and steps that are asked for."""
    metric: str | None = None
    """A key of results.json; null: the headline of each cell's method."""
    overrides: list[str] = field(default_factory=list)
    """Of all cells."""
    gap: list[str] = field(default_factory=list)
    """The rows at 0 and at 100 percent of the gap that the others close."""
    reference: str | None = None
    """The row that the others are compared with, seed by seed; null: the lower row of the gap."""
    subject: str | None = None
    """The row that the table is about: compared with the reference on the page of all tables."""
    feature_space: list[str] = field(default_factory=list)
    """The rows whose features are drawn beside each other, such as before and after adaptation."""
    published: dict[str, Published] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("rows", "columns", "seeds"):
            require(bool(getattr(self, key)), f"{key}: at least one is needed")
        require(len(set(self.seeds)) == len(self.seeds), f"seeds={self.seeds}: one is named twice")
        require(len(self.gap) in (0, 2), f"gap={self.gap}: two rows are needed, the lower and the upper")
        for key in ("gap", "feature_space"):
            for row in getattr(self, key):
                _known(row, self.rows, key)
        for key in ("reference", "subject"):
            if (row := getattr(self, key)) is not None:
                _known(row, self.rows, key)
        for name, there in self.columns.items():
            for row in there.cells:
                _known(row, self.rows, f"columns.{name}.cells")
        for word in (word for row in self.rows for column in self.columns for word in self.overrides_of(row, column)):
            key = plan.key_of(word)
            fits = key not in ("seed", "resume") and not plan.is_hydras(key)
            require(fits, f"overrides: {word}: is for the command line, not for a table's file")
        for name, paper in self.published.items():
            for row, figures in paper.figures.items():
                _known(row, self.rows, f"published.{name}.figures")
                for column in figures:
                    _known(column, self.columns, f"published.{name}.figures.{row}")

    @property
    def reference_row(self) -> str:
        """The row that the others are compared with; empty where there is none."""
        return self.reference or next(iter(self.gap), "")

    def overrides_of(self, row: str, column: str) -> list[str]:
        """The overrides of a cell, the strongest last."""
        there = self.columns[column]
        return [*self.overrides, *self.rows[row].overrides, *there.overrides, *there.cells.get(row, [])]


@dataclass(frozen=True)
class Request:
    """What a command line asks for."""

    name: str
    table: Table
    rows: list[str]
    columns: list[str]
    seeds: list[int]
    words: list[str]
    """Overrides for every cell."""
    config_dir: str | None
    render: bool
    dry_run: bool
    docs: Path | None = None
    """The folder of documents that gets the record and the page as well."""
    records: Path | None = None
    """A runs.csv to write the table from, in place of runs."""
    metric: str | None = None
    """What the whole table is of, in place of what its file says; the table holds it, and no published figures."""

    @property
    def parts(self) -> list[str]:
        """The words that make it another table than the whole one of its file."""
        lists = (("rows", self.rows, list(self.table.rows)), ("columns", self.columns, list(self.table.columns)),
                 ("seeds", self.seeds, self.table.seeds))  # fmt: skip
        chosen = [f"{key}={','.join(map(str, asked))}" for key, asked, whole in lists if asked != whole]
        chosen += [f"metric={self.metric}"] if self.metric else []
        return chosen + [word for word in self.words if not _is_elsewhere(plan.key_of(word))]

    @property
    def command(self) -> str:
        """The command line that makes this table anywhere, without what is of one machine alone."""
        root = ["data.root=<data>"] * any(plan.key_of(word) == "data.root" for word in self.words)
        return " ".join(["transferlab table", self.name, *self.parts, *root])


@dataclass(frozen=True)
class Cell:
    """One run that a table asks for."""

    row: str
    column: str
    config: Config
    overrides: list[str]
    sweep: Path
    """The folder of all runs' folders."""
    digests: dict[str, str]
    """What the data is known by; empty where it is missing. So are editions."""
    editions: dict[str, str]
    missing: str = ""
    """The data set that is missing."""
    remedy: str = ""

    @property
    def folder(self) -> Path:
        return self.sweep / plan.run_name(self.config, self.digests)


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The flags in ``words``, and the words."""
    parser = argparse.ArgumentParser(prog="transferlab table", description="Run what is missing of a table; write it.")
    parser.add_argument(
        "words", nargs="*", metavar="name [rows=a,b] [columns=c,d] [seeds=3 or 0,5] [metric=key] [key=value …]"
    )
    parser.add_argument("--config-dir", help="folder with more of table/ and the other groups")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--render", action="store_true", help="run nothing: write the table from the runs' folders")
    only.add_argument("--dry-run", action="store_true", help="run nothing: say what would run, and for how long")
    only.add_argument("--from", dest="records", type=Path, help="run nothing: write the table from this runs.csv")
    parser.add_argument("--docs", type=Path, help="folder that gets the record, <name>.csv, and the page, <name>.md")
    parser.error = plan.refuse  # type: ignore[method-assign]
    return parser.parse_intermixed_args(list(words))


def request(words: Sequence[str]) -> Request:
    """Read a command line. Raises :class:`UserError` for a name that is not there."""
    args = _parsed(words)
    require(bool(args.words), f"table: say which; allowed are {', '.join(table_files(args.config_dir))}")
    name, *rest = args.words
    table = load(name, args.config_dir)
    asked = {"rows": list(table.rows), "columns": list(table.columns)}
    seeds, overrides, metric = table.seeds, [], None
    for word in rest:
        key, value = plan.key_of(word), word.partition("=")[2]
        if key in asked:
            wanted = _parts(value)
            for part in wanted:
                _known(part, getattr(table, key), key)
            asked[key] = [part for part in getattr(table, key) if part in wanted]
        elif key == "seeds":
            seeds = _seeds(value)
        elif key == "metric":
            metric = value
        else:
            hint = "seeds=… chooses a table's seeds" if key == "seed" else "a table names its folders itself"
            require(key not in ("seed", "hydra.sweep.subdir"), f"{word}: {hint}")
            plan.check_setting(word, multirun=True)
            overrides.append(word)
    rows, columns = asked.values()
    return Request(
        name, table if metric is None else _of_metric(table, rows, metric), rows, columns, seeds, overrides,
        args.config_dir, args.render, args.dry_run, args.docs, args.records, metric,
    )  # fmt: skip


def _of_metric(table: Table, rows: Sequence[str], metric: str) -> Table:
    """The table with another metric for all of ``rows``, which its title names; what papers say is of the file's."""
    require(metric != "", "metric=: say which figure of results.json, such as target_macro_f1")
    own = [f"{row} ({table.rows[row].metric})" for row in rows if table.rows[row].metric]
    others = ",".join(row for row in rows if not table.rows[row].metric)
    hint = f"metric={metric}: not of rows with a metric of their own, {', '.join(own)}; add rows={others}"
    require(not own, hint)
    title = f"{re.sub(r', [^,]*accuracy.*', '', table.title)}, {naming.metric_words(metric)}"
    return replace(table, title=title, metric=metric, published={})


def _is_elsewhere(key: str) -> bool:
    """Whether a word changes only where files lie, how fast it goes, or what else is drawn."""
    return plan.is_hydras(key) or key in (
        "data.root", "data.download", "device.threads", "store", "figures", "train.log_every", "train.checkpoint_every",
    )  # fmt: skip


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.strip("[]").split(",")]


def _seeds(value: str) -> list[int]:
    parts = _parts(value)
    numbers = all(part.isdecimal() for part in parts)
    require(numbers and value != "0", f"seeds={value}: a number of seeds or a list such as 0,5 or [7] is needed")
    return _first(int(value)) if value.isdecimal() else list(dict.fromkeys(map(int, parts)))


def _first(count: int) -> list[int]:
    require(count <= MOST_SEEDS, f"seeds={count}: that many seeds; allowed are at most {MOST_SEEDS}")
    return list(range(count))


def table_files(config_dir: str | None) -> dict[str, Path]:
    """Every table's name and file; a table of ``config_dir`` stands in for a shipped one of its name."""
    places = [Path(place) / "table" for place in (conf_dir(), config_dir) if place]
    files = {path.stem: path for place in places for path in place.glob("*.yaml")}
    return dict(sorted(files.items()))


def load(name: str, config_dir: str | None) -> Table:
    """The table ``name`` of conf/table, or of ``config_dir``/table. Raises :class:`UserError` where it is not right."""
    require(config_dir is None or Path(config_dir).is_dir(), f"--config-dir {config_dir}: no such folder")
    files = table_files(config_dir)
    require(name in files, f"table={name}: no such table; allowed are {', '.join(files)}{nearest(name, files)}")
    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(files[name]))
    except Exception as error:  # the parser raises many kinds
        raise UserError(f"{files[name]}: not readable as YAML ({' '.join(str(error).split())})") from None
    require(isinstance(values, dict), f"{files[name]}: a mapping is needed")
    if type(values.get("seeds")) is int:
        values["seeds"] = _first(values["seeds"])
    return build(Table, values, f"table/{name}")


def cells(asked: Request, fetch: bool) -> list[Cell]:
    """Every cell of a request, seed by seed, so that the whole table stands early with few seeds.

    fetch: whether data may be downloaded. Raises :class:`UserError` for what cannot be composed or does not fit.
    """
    pairs = [(row, column) for column in asked.columns for row in asked.rows]
    lists = [[*asked.table.overrides_of(*pair), *asked.words] for pair in pairs]
    quiet = [] if fetch else ["data.download=false"]
    composed = plan.compose([[*words, *quiet] for words in lists], asked.config_dir)
    found, judged = [], []
    for (row, column), (one, words) in zip(pairs, composed, strict=True):
        config = plan.typed(one)
        data, missing, remedy = _data(config, asked.render)
        judged.append((words, idle.keys(config, data)))
        digests, editions = ({role: getattr(f, key) for role, f in data.items()} for key in ("digest", "edition"))
        of_pair = []
        for seed in asked.seeds:
            one.seed = seed
            job = [*(word for word in words if not plan.is_hydras(word)), f"seed={seed}"]
            sweep = expanded(plan.setting(one, "sweep.dir"))
            of_pair.append(Cell(row, column, plan.typed(one), job, sweep, digests, editions, missing, remedy))
        found.append(of_pair)
    # What a file says may be meant for those of its rows and columns that are not asked for.
    whole = (asked.rows, asked.columns) == (list(asked.table.rows), list(asked.table.columns))
    idle.refuse(judged, None if whole else [word.lstrip("+") for word in asked.words])
    return [cell for of_seed in zip(*found, strict=True) for cell in of_seed]


def _data(config: Config, render: bool) -> tuple[dict[str, Found], str, str]:
    """The data of both domains; or none, the data set that is missing, and how to get it."""
    try:
        return compatibility.find(config), "", ""
    except DataMissing as error:
        return {}, error.name, str(error)
    except UserError:
        if not render:
            raise
        return {}, "", ""  # what a run's folder says stands without its data


def to_run(wanted: Sequence[Cell]) -> list[Cell]:
    """The cells that are not done, except those whose data is missing; rows may share a run."""
    runs = {cell.folder: cell for cell in wanted if cell.digests}
    return [cell for folder, cell in runs.items() if RunFolder(folder).status.get("status") not in DONE]


def output_folder(asked: Request, wanted: Sequence[Cell]) -> Path:
    """Where the table's files go: tables/<name> beside the folder of the runs.

    A part of the table, or the table with other settings, has a folder of its own.
    """
    name = re.sub(r"[^\w.,=+-]+", "_", "-".join([asked.name, *asked.parts]))
    if len(name) > 100:
        name = f"{name[:90]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return wanted[0].sweep.parent / "tables" / name


def minutes_a_step(asked: Request) -> dict[str, float]:
    """What a step of each column takes by the table's file, where that says it."""
    table = asked.table
    told = {name: column.minutes or table.minutes for name, column in table.columns.items()}
    rates = {}
    for column, minutes in told.items():
        if minutes and column in asked.columns:
            quiet = ["data.download=false", "device.precision=float32"]  # neither is needed to count
            lists = [[*table.overrides_of(row, column), *quiet] for row in table.rows]
            own = sum(steps(plan.typed(one)) for one, _ in plan.compose(lists, asked.config_dir))
            rates[column] = minutes / own
    return rates


def steps(config: Config) -> int:
    """The steps that a run's config asks for, those of its stage on the target included."""
    return config.train.steps + int(getattr(config.method, "steps", None) or 0)


def _known(name: str, allowed: Any, key: str) -> None:
    require(name in allowed, f"{key}={name}: allowed are {', '.join(allowed)}{nearest(name, allowed)}")
