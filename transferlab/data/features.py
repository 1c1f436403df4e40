"""Your own vectors: features and labels in an .npz, .mat or .csv file."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from transferlab.config import require
from transferlab.data import _arrays
from transferlab.data._files import Found, Settings, provenance
from transferlab.data._selection import Selection
from transferlab.data._split import held_out
from transferlab.data.dataset import Dataset
from transferlab.errors import UserError


@dataclass
class Config(Selection):
    """Vectors [N, D] and labels [N] from a file; every number must be finite.

    Labels are words, or whole numbers from 0 (in .mat from 1, as MATLAB counts). The array "classes" of the file, if
    there is one, holds the classes' names in order. In a .csv, plain or gzipped, with a header the numeric columns
    but labels and group are the vectors.
    """

    path: str = ""
    """The file: .npz, .mat, .csv or .csv.gz."""
    inputs: str = "features"
    """The array with the vectors; not for .csv."""
    labels: str = "labels"
    """The array or column with the labels."""
    group: str | None = None
    """The array or column whose rows of one value, such as a song, all train, validate or test."""
    group_pattern: str | None = None
    """Regular expression: what it finds first in a value of group is the group; null: all of the value."""
    signatures: str | None = None
    """The array [C, M] that describes each class, for zero-shot learning; not for .csv."""
    test_fraction: float = 0.2
    """Share of each class's rows, or groups, that is kept for testing."""

    def __post_init__(self) -> None:
        fraction = self.test_fraction
        require(0 < fraction < 1, f"features.test_fraction={fraction}: must lie between 0 and 1")
        if self.group_pattern is not None:
            require(self.group is not None, "features.group_pattern: needs features.group")
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise UserError(f"features.group_pattern={self.group_pattern}: {error}") from None


@dataclass(frozen=True)
class Table:
    """inputs float32 [N, D], labels and groups int64 [N], test bool [N], signatures float32 [C, M] or None."""

    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    test: np.ndarray
    signatures: np.ndarray | None
    groups: np.ndarray | None


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.path != "", "features: say which file, with source.path=… or target.path=…")
    path = Path(options.path).expanduser()
    require(path.is_file(), f"{path}: no such file")
    keys = options.inputs, options.labels, options.group, options.group_pattern, options.signatures
    table = _read(path, path.stat().st_mtime_ns, *keys, options.test_fraction)

    def load(split: str) -> Dataset:
        rows = np.flatnonzero(table.test == (split == "test"))
        record = provenance("features", "full", split, len(rows), [path])
        groups = None if table.groups is None else table.groups[rows]
        return Dataset(table.inputs[rows], table.labels[rows], table.classes, record, table.signatures, groups)

    length = 0 if table.signatures is None else table.signatures.shape[1]
    return Found("features", "full", table.classes, table.inputs.shape[1:], load, described=length)


@lru_cache(maxsize=2)  # source and target; a sweep finds them for each job
def _read(
    path: Path, changed: int, inputs: str, labels: str, group: str | None, pattern: str | None,
    signatures: str | None, fraction: float,
) -> Table:  # fmt: skip
    wanted = [inputs, labels, *(key for key in (group, signatures) if key is not None)]
    suffix = Path(path.name.removesuffix(".gz")).suffix
    require(suffix in (".npz", ".mat", ".csv"), f"{path}: allowed are .npz, .mat, .csv and .csv.gz")
    if suffix == ".csv":
        require(signatures is None, f"{path}: features.signatures is not for .csv")
        arrays: Mapping[str, np.ndarray] = _csv(path, inputs, labels, group)
    else:
        arrays = _arrays.read(path, wanted, ["classes"])
    vectors = _finite(path, inputs, arrays[inputs])
    described = None if signatures is None else _finite(path, signatures, arrays[signatures])
    for key in (labels, *([] if group is None else [group])):
        count = arrays[key].size
        require(count == len(vectors), f"{path}: {inputs} has {len(vectors)} rows, {key} has {count} values")
    names = None if "classes" not in arrays else [_word(value) for value in arrays["classes"].ravel()]
    first = int(suffix == ".mat")
    numbers, classes = _classes(path, labels, arrays[labels].ravel(), names, described, first)
    groups = None if group is None else _groups(path, arrays[group].ravel(), pattern)
    test = _test_rows(path, numbers, classes, np.arange(len(vectors)) if groups is None else groups, fraction)
    return Table(vectors, numbers, classes, test, described, groups)


def _finite(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """float32 [N, D]."""
    fits = array.ndim == 2 and array.shape[0] > 0 and array.shape[1] > 0 and array.dtype.kind in "fiub"
    require(fits, f"{path}: {key} is {array.dtype} {array.shape}; needed are real numbers of shape (N, D)")
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as that
        numbers = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0]
        raise UserError(
            f"{path}: {key} row {row}, column {column} (from 0) is {array[row, column]}, not a finite number"
        )
    return numbers


def _word(value: object) -> str:
    """A name; MATLAB packs each into an array and fills it up with spaces."""
    return str(np.ravel(np.asarray(value))[0]).strip() if np.size(np.asarray(value)) else ""


def _classes(
    path: Path, key: str, values: np.ndarray, names: list[str] | None, described: np.ndarray | None, first: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 [N], indices into the names of the classes."""
    if values.dtype.kind in "OUS":
        words = [_word(value) for value in values]
        names = sorted(set(words)) if names is None else names
        index = {name: i for i, name in enumerate(names)}
        numbers = np.array([index.get(word, -1) for word in words], np.int64)
        allowed = ", ".join(names)
    else:
        whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and bool((values == np.round(values)).all()))
        require(whole, f"{path}: {key} must hold words or whole numbers, not {values.dtype}")
        numbers = values.astype(np.int64) - first
        if names is None:
            count = len(described) if described is not None else max(int(numbers.max()) + 1, 1)
            names = [str(i + first) for i in range(count)]
        allowed = f"{first} to {len(names) - 1 + first}"
    wrong = np.flatnonzero((numbers < 0) | (numbers >= len(names)))
    if len(wrong):
        raise UserError(f"{path}: {key} row {wrong[0]} (from 0) is {_word(values[wrong[0]])}; allowed are {allowed}")
    require(len(set(names)) == len(names), f"{path}: a class stands twice among {', '.join(names)}")
    empty = [name for i, name in enumerate(names) if i not in set(numbers.tolist())]
    require(not empty, f"{path}: class {', '.join(empty)} has no row in {key}")
    fits = described is None or len(described) == len(names)
    require(fits, f"{path}: {len(names)} classes, but signatures of {0 if described is None else len(described)}")
    for name, row in zip(names, described if described is not None else ()):
        require(bool(row.any()), f"{path}: class {name} has no signature: its numbers are all 0")
    return numbers, tuple(names)


def _groups(path: Path, values: np.ndarray, pattern: str | None) -> np.ndarray:
    """A number for each row's group."""
    words = [_word(value) for value in values]
    if pattern is not None:
        found = [re.search(pattern, word) for word in words]
        for row, match in enumerate(found):
            require(match is not None, f"{path}: row {row} (from 0): group_pattern finds nothing in {words[row]}")
        words = [match[0] for match in found if match is not None]
    return np.unique(words, return_inverse=True)[1]


def _test_rows(
    path: Path, labels: np.ndarray, classes: tuple[str, ...], groups: np.ndarray, fraction: float
) -> np.ndarray:
    """bool [N]: of each class the same share of groups; a group of several classes counts for its first row's."""
    distinct, first_row = np.unique(groups, return_index=True)
    class_of_group = labels[first_row]
    test = np.zeros(len(labels), bool)
    for label in np.unique(class_of_group):
        mine = distinct[class_of_group == label]
        if len(mine) >= 2:
            test |= np.isin(groups, mine[held_out(len(mine), fraction, int(label))])
    for label, name in enumerate(classes):
        both = len(set(test[labels == label])) == 2
        require(both, f"{path}: class {name} needs rows for training and for testing: at least 2, of different groups")
    return test


def _csv(path: Path, inputs: str, labels: str, group: str | None) -> dict[str, np.ndarray]:
    """The columns of labels and group, and as ``inputs`` all those of numbers, by the first row."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: damaged or not a table of comma-separated values ({error})") from None
    for key in (labels, group):
        known = key is None or key in header
        require(known, f"{path}: has no column {key}; its header is {', '.join(header)}")
    require(len(rows) > 0, f"{path}: has no rows")
    for i, row in enumerate(rows):
        require(len(row) == len(header), f"{path}: row {i} (from 0) has {len(row)} cells, the header {len(header)}")
    named = [c for c, name in enumerate(header) if name in (labels, group)]
    numeric = [c for c in range(len(header)) if c not in named and _number(rows[0][c]) is not None]
    require(len(numeric) > 0, f"{path}: has no numeric column besides {labels}")
    vectors = np.empty((len(rows), len(numeric)))
    for i, row in enumerate(rows):
        for j, c in enumerate(numeric):
            number = _number(row[c])
            if number is None or not math.isfinite(number):
                raise UserError(f"{path}: row {i} (from 0), column {header[c]} is {row[c]!r}, not a finite number")
            vectors[i, j] = number
    columns = {header[c]: np.array([row[c] for row in rows]) for c in named}
    if all(_number(word) is not None for word in columns[labels]):
        columns[labels] = columns[labels].astype(np.float64)
    return {**columns, inputs: vectors}


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
