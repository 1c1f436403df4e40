"""Your own vectors: features and labels in an .npz, .mat or .csv file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from transferlab.data.arrays import read_arrays
from transferlab.data.content import digest, remembered
from transferlab.data.contract import VECTORS, Dataset, Found, Labels, Settings
from transferlab.data.files import provenance
from transferlab.data.selection import Selection
from transferlab.data.split import held_out
from transferlab.data.vectors import _delimited
from transferlab.errors import UserError, printable, require, some
from transferlab.files import expanded
from transferlab.options import place

TABLES = (".csv", ".tsv", ".txt")
MISSING = frozenset({"", "#N/A", "<NA>", "N/A", "n/a", "NA", "NaN", "nan", "NaT", "None", "NULL", "null", "\\N"})
"""What programs write for a missing label; a class may have such a name where the array classes lists it."""


@dataclass
class Config(Selection):
    """Vectors [N, D] and labels [N] from a file; every number must be finite.

    Labels are words; or whole numbers from 0 or 1 without gaps, or -1 and 1, which then name the classes. The
    array "classes" of the file, if there is one, holds the classes' names in order, of which labels are the places,
    from 0 (in .mat from 1, as MATLAB counts). In a table of text, with a header, the numeric columns except labels,
    group and split are the vectors. Sparse matrices are read from .mat, and from .npz as SciPy saves them.
    """

    path: str = place()
    """The file: .npz, .mat, or a table .csv, .tsv or .txt, which may be compressed as .gz."""
    inputs: str = "features"
    """The array with the vectors; not for tables of text."""
    labels: str = "labels"
    """The array or column with the labels."""
    group: str | None = None
    """The array or column with each row's group, such as its song; a group is never split."""
    group_pattern: str | None = None
    """Regular expression applied to each value of group; its first match is the group; null: the whole value."""
    signatures: str | None = None
    """The array [C, M] that describes each class, for zero-shot learning; not for tables of text."""
    split: str | None = None
    """The array or column that says train or test for each row; null: a share is kept for testing."""
    scaling: Literal["none", "unit", "sum", "tfidf"] = "none"
    """Each row to length 1; to sum 1; or counts of words by TF-IDF of the training rows, then to length 1."""
    test_fraction: float = 0.2
    """Share of each class's rows, or groups, that is kept for testing where split does not say."""

    def __post_init__(self) -> None:
        fraction = self.test_fraction
        require(0 < fraction < 1, f"features.test_fraction={fraction}: must lie between 0 and 1")
        both = self.split is not None and self.group is not None
        require(not both, "features.split: says which rows test; leave out features.group, or do without split")
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
    remark: str


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.path != "", "features: say which file, with source.path=… or target.path=…")
    path = expanded(options.path)
    require(path.is_file(), f"{path}: no such file")
    keys = options.inputs, options.labels, options.group, options.group_pattern, options.signatures, options.split
    table = _read(path, *keys, options.test_fraction)

    def of_split(split: str) -> Labels:
        rows = table.test == (split == "test")
        return Labels(table.labels[rows], None if table.groups is None else table.groups[rows])

    def load(split: str) -> Dataset:
        rows, known = table.test == (split == "test"), of_split(split)
        record = provenance("features", "full", split, len(known), [path])
        inputs = scaled(table.inputs[rows], options.scaling, table.inputs[~table.test])
        return Dataset(inputs, known.labels, table.classes, record, table.signatures, known.groups)

    length = 0 if table.signatures is None else table.signatures.shape[1]
    content = digest({path.suffix: path})  # its kind, not its name
    shape = table.inputs.shape[1:]
    idle = {} if options.split is None else {"test_fraction": f"features.split={options.split}"}
    if _suffix(path) in TABLES:
        idle["inputs"] = "a table of text, whose numeric columns are the vectors"
    return Found(
        "features",
        "full",
        table.classes,
        VECTORS,
        shape,
        load,
        content,
        length,
        table.remark,
        labels=of_split,
        idle=idle,
    )


@remembered(maxsize=2)  # source and target; a sweep finds them for each job
def _read(
    path: Path, inputs: str, labels: str, group: str | None, pattern: str | None,
    signatures: str | None, split: str | None, fraction: float,
) -> Table:  # fmt: skip
    others = [key for key in (labels, group, split) if key is not None]
    suffix = _suffix(path)
    packed = path.name.lower().endswith(".gz")
    allowed = suffix in TABLES or (suffix in (".npz", ".mat") and not packed)
    require(allowed, f"{path}: allowed are .npz, .mat, .csv, .tsv and .txt, and of these three also .csv.gz and so on")
    remark = ""
    if suffix in TABLES:
        require(signatures is None, f"{path}: features.signatures is not for {suffix}")
        columns = _delimited.read(path, list(dict.fromkeys(others)))
        arrays: Mapping[str, np.ndarray] = {**columns.words, inputs: columns.numbers}
        remark = columns.remark
    else:
        arrays = read_arrays(path, [inputs, *others, *([] if signatures is None else [signatures])], ["classes"])
    vectors = _finite(path, inputs, arrays[inputs])
    described = None if signatures is None else _finite(path, signatures, arrays[signatures])
    for key in others:
        _check_count(path, key, arrays[key].shape, inputs, vectors.shape)
    names = None if "classes" not in arrays else [_name(_word(value)) for value in arrays["classes"].ravel()]
    values = arrays[labels].ravel()
    counts = suffix in TABLES and all(_delimited.number(word) is not None for word in values)
    if counts and not any(re.match("0[0-9]", word) for word in values):  # 007 is a name
        values = values.astype(np.float64)
    numbers, classes = _classes(path, labels, values, names, described, int(suffix == ".mat"))
    groups = None if group is None else _groups(path, arrays[group].ravel(), pattern)
    if split is None:
        test = _test_rows(path, numbers, classes, np.arange(len(vectors)) if groups is None else groups, fraction)
    else:
        test = _official(path, split, arrays[split].ravel(), numbers, classes)
    return Table(vectors, numbers, classes, test, described, groups, remark)


def _suffix(path: Path) -> str:
    """What kind of file it is; a packed one counts as what is in it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _check_count(path: Path, key: str, shape: tuple[int, ...], inputs: str, vectors: tuple[int, ...]) -> None:
    """Refuse labels that are not one for each row."""
    count = int(np.prod(shape))
    hint = ""
    if vectors[1] == count:
        hint = f"; {inputs} {vectors} seems to be transposed: (N, D) is needed"
    elif len(shape) == 2 and shape[0] == vectors[0]:
        hint = f"; if {shape} are columns of 0 and 1, save {key}.argmax(1)"
    require(count == vectors[0], f"{path}: {inputs} has {vectors[0]} rows, {key} has {count} values{hint}")


def scaled(rows: np.ndarray, scaling: str, training: np.ndarray) -> np.ndarray:
    """float32 [N, D] by ``scaling``; rows of zeros stay so. ``training`` are the rows that tf-idf counts words in."""
    if scaling == "none":
        return rows
    if scaling == "tfidf":  # smoothed as in scikit-learn
        idf = np.log((1 + len(training)) / (1 + (training > 0).sum(0))) + 1
        rows = rows * idf.astype(np.float32)
    size = np.abs(rows).sum(1) if scaling == "sum" else np.sqrt(np.square(rows, dtype=np.float64).sum(1))
    return (rows / np.where(size > 0, size, 1)[:, None]).astype(np.float32)


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
    parts = np.ravel(np.asarray(value))
    name = parts[0] if len(parts) else ""
    return (name.decode(errors="replace") if isinstance(name, bytes) else str(name)).strip()


def _name(word: str) -> str:
    """A class's name on one line, the same however its accents are coded."""
    return printable(unicodedata.normalize("NFC", word))


def _classes(
    path: Path, key: str, values: np.ndarray, names: list[str] | None, described: np.ndarray | None, first: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """int64 [N], indices into the names of the classes."""
    if values.dtype.kind in "OUS":
        words = [_word(value) for value in values]
        missing = MISSING - set(names or ())
        _check_all(path, key, [word in missing for word in words], "no label")
        names = list(dict.fromkeys(map(_name, sorted(set(words))))) if names is None else names
        words = list(map(_name, words))
        index = {name: i for i, name in enumerate(names)}
        numbers = np.array([index.get(word, -1) for word in words], np.int64)
        allowed = ", ".join(names)
    else:
        require(values.dtype.kind in "iubf", f"{path}: {key} must hold words or whole numbers, not {values.dtype}")
        _check_all(path, key, ~np.isfinite(values), "no label")
        bad = np.flatnonzero(values != np.round(values)) if values.dtype.kind == "f" else np.empty(0, int)
        where = f"{path}: {key} must hold words or whole numbers, not {values.dtype}"
        require(len(bad) == 0, f"{where} such as {values[bad[0]] if len(bad) else ''}")
        if names is None and described is None:
            distinct, numbers = np.unique(values, return_inverse=True)
            _check_row(path, key, [int(value) for value in distinct])
            return numbers.astype(np.int64), tuple(str(int(value)) for value in distinct)
        names = [str(i + first) for i in range(len(described))] if names is None and described is not None else names
        assert names is not None
        last = len(names) - 1 + first
        inside = (values >= first) & (values <= last)
        numbers = np.where(inside, values, first - 1).astype(np.int64) - first
        allowed = f"{first} to {last}"
    wrong = np.flatnonzero(numbers < 0)
    if len(wrong):
        raise UserError(f"{path}: {key} row {wrong[0]} (from 0) is {_word(values[wrong[0]])}; allowed are {allowed}")
    _check_classes(path, key, names, numbers, described)
    return numbers, tuple(names)


def _check_classes(path: Path, key: str, names: list[str], numbers: np.ndarray, described: np.ndarray | None) -> None:
    """Refuse classes without a name, a row or a signature of their own."""
    require("" not in names, f"{path}: a class has no name")
    require(len(set(names)) == len(names), f"{path}: a class is listed twice among {', '.join(names)}")
    there = set(numbers.tolist())
    empty = [name for i, name in enumerate(names) if i not in there]
    require(not empty, f"{path}: class {some(empty)} has no row in {key}")
    fits = described is None or len(described) == len(names)
    require(fits, f"{path}: {len(names)} classes, but signatures of {0 if described is None else len(described)}")
    for name, row in zip(names, described if described is not None else ()):
        require(bool(row.any()), f"{path}: class {name} has no signature: its numbers are all 0")


def _check_all(path: Path, key: str, missing: Sequence[bool] | np.ndarray, what: str) -> None:
    """Refuse rows without a value, naming the first."""
    rows = [str(row) for row in np.flatnonzero(missing)]
    count = f"row {rows[0]} (from 0) has" if len(rows) == 1 else f"rows {some(rows)} (from 0) have"
    require(not rows, f"{path}: {key}: {count} {what}; {len(rows)} of {len(missing)} rows" if rows else "")


def _check_row(path: Path, key: str, distinct: Sequence[int]) -> None:
    """Refuse numbers that do not count classes."""
    low, high = distinct[0], distinct[-1]
    if list(distinct) == [-1, 1] or (low in (0, 1) and high - low == len(distinct) - 1):
        return
    gap = next((i for i, value in enumerate(distinct, low) if i != value), None)
    few = f"{path}: class {gap} has no row in {key}; "
    there = f"{path}: {key} are {len(distinct)} different numbers, {low} to {high}; "
    raise UserError(
        f"{few if low in (0, 1) and high < 2 * len(distinct) else there}count classes from 0 or 1 without gaps, with "
        f"np.unique({key}, return_inverse=True)[1], or save them as words, with {key}.astype(str)"
    )


def _official(path: Path, key: str, values: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """bool [N]: the rows of which the array or column ``key`` says test."""
    words = [_word(value).casefold() for value in values]
    for row, word in enumerate(words):
        require(word in ("train", "test"), f"{path}: {key} row {row} (from 0) is {word!r}; allowed are train and test")
    test = np.array([word == "test" for word in words])
    require(bool(test.any()), f"{path}: {key} says test of no row")
    there = set(labels[~test].tolist())
    empty = [name for label, name in enumerate(classes) if label not in there]
    require(not empty, f"{path}: class {some(empty)} has no row of {key} train")
    return test


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
