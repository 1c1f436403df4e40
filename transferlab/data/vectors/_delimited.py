"""Tables of text: comma-, semicolon- or tab-separated values with a header, in the encodings that programs write."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.errors import UserError, nearest, require

DELIMITERS = ",;\t|"
_BEGINNINGS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_INDEX = re.compile(r"(unnamed.*|index|level_0|(row|sample|record)?[ _.-]?(id|idx|index|no|nr|num|number)?\.?|#)")
"""What a column of row numbers is called; one without a name is one too."""
SURE = 20
"""Rows from which a column that counts them is a row number, whatever it is called."""
SHOWN = 3
LONGEST = 40
"""Characters of a cell in a message."""


@dataclass(frozen=True)
class Columns:
    """numbers float64 [N, D], words the columns asked for by name, each str [N]; remark says what was passed over."""

    numbers: np.ndarray
    words: dict[str, np.ndarray]
    remark: str


def read(path: Path, named: Sequence[str]) -> Columns:
    """All columns of numbers but those ``named``, which come as words.

    What a column holds is decided by all of its rows. A column that counts the rows is no feature.
    Raises :class:`UserError` naming the row and column of an empty cell, or of a word among numbers.
    """
    text, remark = _text(path)
    header, rows = _rows(path, text, named)
    places = {name: header.index(name) for name in named}
    numeric, passed = [], []
    for place, name in enumerate(header):
        if place not in places.values():
            numbers = _numbers(path, name, [row[place] for row in rows])
            if numbers is None:
                passed.append(f"column {name or place} of words")
            elif _counts_rows(name, numbers):
                passed.append(f"column {name or place} of row numbers")
            else:
                numeric.append(numbers)
    require(len(numeric) > 0, f"{path}: has no numeric column besides {', '.join(named)}")
    words = {name: np.array([row[place] for row in rows]) for name, place in places.items()}
    told = f"{', '.join(passed[:SHOWN])}{', …' * (len(passed) > SHOWN)} passed over" if passed else ""
    return Columns(np.stack(numeric, 1), words, ", ".join(filter(None, (remark, told))))


def number(cell: str) -> float | None:
    """The number that a cell holds, infinite or nan included."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _text(path: Path) -> tuple[str, str]:
    """The file's text, and what is to be said of its encoding."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        encoding = next((name for mark, name in _BEGINNINGS.items() if content.startswith(mark)), "utf-8-sig")
        try:
            text, remark = content.decode(encoding), ""
        except UnicodeDecodeError:
            require(encoding == "utf-8-sig", f"{path}: damaged, not {encoding} as it begins")
            text, remark = content.decode("latin-1"), "read as latin-1, since it is not UTF-8"
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged or not a table of comma-separated values ({error})") from None
    zeros = "it has zero bytes; if it is text in UTF-16, save it as UTF-8"
    require("\0" not in text, f"{path}: damaged or not a table of comma-separated values: {zeros}")
    return text, remark


def _rows(path: Path, text: str, named: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, by the delimiter with which the header has the columns ``named``."""
    tables = {}
    for delimiter in DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
            tables[delimiter] = [name.strip() for name in next((row for row in reader if row), [])]
        except csv.Error as error:
            raise UserError(f"{path}: damaged or not a table of comma-separated values ({error})") from None
    fits = [delimiter for delimiter, header in tables.items() if set(named) <= set(header)]
    delimiter = fits[0] if fits else max(DELIMITERS, key=lambda d: len(tables[d]))
    header = tables[delimiter]
    for name in named:
        if name not in header:
            short = [cell if len(cell) <= LONGEST else f"{cell[:LONGEST]}…" for cell in header]
            many = short if len(header) <= 10 else [*short[:SHOWN], f"… ({len(header)} columns)"]
            untitled = "; it seems to have none" if sum(number(cell) is not None for cell in header) > 1 else ""
            hint = nearest(name, header)
            raise UserError(f"{path}: has no column {name}; its header is {', '.join(many)}{untitled}{hint}")
        require(header.count(name) == 1, f"{path}: {header.count(name)} columns are called {name}")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        _, *rows = [[cell.strip() for cell in row] for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{path}: damaged or not a table of comma-separated values ({error})") from None
    require(len(rows) > 0, f"{path}: has no rows")
    for i, row in enumerate(rows):
        require(len(row) == len(header), f"{path}: row {i} (from 0) has {len(row)} cells, the header {len(header)}")
    return header, rows


def _numbers(path: Path, name: str, cells: Sequence[str]) -> np.ndarray | None:
    """float64 [N], or None for a column of words."""
    values = [number(cell) for cell in cells]
    count = sum(value is not None for value in values)
    commas = next((cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)), None)
    if commas is not None and 2 * count < len(cells):
        raise UserError(f"{path}: column {name} has decimal commas, such as {commas}; write points")
    filled = sum(cell != "" for cell in cells)
    if 2 * count < filled or filled == 0:
        return None
    wrong = [row for row, value in enumerate(values) if value is None or not math.isfinite(value)]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        cell = cells[wrong[0]]
        raise UserError(f"{path}: row {wrong[0]} (from 0), column {name} is {cell!r}, not a finite number{more}")
    return np.array(values, np.float64)


def _counts_rows(name: str, numbers: np.ndarray) -> bool:
    """Whether a column is the rows' number: by its name and its content, or by its content alone."""
    steps = np.diff(numbers)
    called = _INDEX.fullmatch(name.casefold()) is not None
    counts = bool((steps == 1).all()) and numbers[0] in (0, 1)
    # Row numbers of a part of a table, or of one that has been shuffled since.
    differ = bool((numbers == np.floor(numbers)).all()) and len(np.unique(numbers)) == len(numbers) >= SURE
    return (counts and (called or len(numbers) >= SURE)) or (called and differ)
