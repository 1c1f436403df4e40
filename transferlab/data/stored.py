"""Arrays in files of the user's cache: made once, known by what they are made from, and read row by row."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transferlab import locks
from transferlab.data.content import digests
from transferlab.errors import UserError
from transferlab.files import cache_dir, remove_partials

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Stored:
    """Samples that lie in a file: of an ndarray [N, ...] what the program needs, read when it is asked for.

    array: [M, ...], mapped into memory. rows: int64 [N], which of its rows the samples are. digest: of the file.
    """

    array: np.ndarray
    digest: str
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), *self.array.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        return len(self.rows) * self.array[:1].nbytes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The samples of these rows, in memory; rows as for an ndarray's first dimension."""
        return np.take(self.array, self.rows[rows], axis=0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    @property
    def content(self) -> str:
        """What the samples are known by without being read: their file's digest, and which of its rows they are."""
        return hashlib.sha256(self.digest.encode() + self.rows.astype(np.int64).tobytes()).hexdigest()

    def of(self, rows: np.ndarray | slice) -> Stored:
        """The samples of these rows, left where they are."""
        return dataclasses.replace(self, rows=self.rows[rows])


Samples = np.ndarray | Stored
"""Inputs of a data set [N, ...]: in memory, or in a file."""


def of_rows(samples: Samples, rows: np.ndarray) -> Samples:
    """The samples of these rows, int64 or bool: in memory or in a file, as all of them are."""
    return samples.of(rows) if isinstance(samples, Stored) else samples[rows]


def kept(name: str, ingredients: Sequence[object], count: int, make: Callable[[], Iterable[np.ndarray]]) -> Samples:
    """The array of ``count`` rows that ``ingredients`` determine; ``make`` gives it in pieces [n, ...].

    It is made, a piece at a time, where it does not lie whole in the cache, by one process: others wait for it. Where
    nothing can be kept it is made in memory, with a warning.
    """
    key = hashlib.sha256(repr(list(ingredients)).encode()).hexdigest()[:24]
    try:
        path = cache_dir() / "arrays" / f"{name}-{key}.npy"
        if (there := _whole(path, count)) is not None:  # which needs no right to write
            return there
        with _claimed(path):
            if (there := _whole(path, count)) is not None:
                return there
            remove_partials(path.parent, path.name)
            digest = _write(path, count, make())
            return Stored(_mapped(path), digest, np.arange(count))
    except OSError as error:
        log.warning("%s: cannot be kept in the cache (%s); made in memory, for this run alone", name, error)
        return filled(count, make())


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """Inside, no other process makes the file at ``path``. Raises OSError, also where the file system has no locks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_suffix(".lock")
    try:
        lock = locks.acquire(place)
        if lock is None:
            log.info("another process is making %s; waiting for it", path.name)
            lock = locks.acquire(place, wait=True)
    except UserError as error:
        raise OSError(str(error)) from None
    assert lock is not None
    try:
        yield
    finally:
        lock.release()


def filled(count: int, pieces: Iterable[np.ndarray]) -> np.ndarray:
    """One array [count, ...] in memory of pieces [n, ...] that have ``count`` rows together."""
    whole, done = None, 0
    for piece in pieces:
        if whole is None:
            whole = np.empty((count, *piece.shape[1:]), piece.dtype)
        whole[done : done + len(piece)] = piece
        done += len(piece)
    assert whole is not None and done == count
    return whole


def _whole(path: Path, count: int) -> Stored | None:
    """What lies at ``path``, if it is as it was written under this name, which its checksum says.

    The checksum is computed again only where the file was touched.
    """
    checksum = path.with_suffix(".sha256")
    if not (path.is_file() and checksum.is_file()):
        return None
    digest = digests([path])[path.name]
    if checksum.read_bytes() == _noted(digest, path):
        array = _mapped(path)
        if len(array) == count:
            return Stored(array, digest, np.arange(count))
    log.warning("%s: damaged, making it again", path)
    return None


def _mapped(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r"))


def _noted(digest: str, path: Path) -> bytes:
    """The line that stands beside a file, as ``sha256sum`` writes it."""
    return f"{digest}  {path.name}\n".encode()


def _write(path: Path, count: int, pieces: Iterable[np.ndarray]) -> str:
    """A .npy file of ``count`` rows, and beside it its checksum, which comes back.

    What is not whole lies under another name.
    """
    partial, checksum = path.with_name(f".{path.name}.{os.getpid()}.part"), hashlib.sha256()
    try:
        with partial.open("wb") as file:
            done = 0
            for piece in pieces:
                if not done:
                    head = io.BytesIO()
                    np.lib.format.write_array_header_1_0(head, {
                        "descr": np.lib.format.dtype_to_descr(piece.dtype), "fortran_order": False,
                        "shape": (count, *piece.shape[1:]),
                    })  # fmt: skip
                    _put(file, checksum, head.getvalue())
                _put(file, checksum, np.ascontiguousarray(piece))
                done += len(piece)
            assert done == count
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        partial.write_bytes(_noted(checksum.hexdigest(), path))
        partial.replace(path.with_suffix(".sha256"))
        return checksum.hexdigest()
    except BaseException:  # a full disk, Ctrl-C
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _put(file: Any, checksum: Any, content: Any) -> None:
    file.write(content)
    checksum.update(content)
