"""What data is known by: its content, not where it lies or when it was read.

Hashing 30,000 photographs takes seconds, so a digest is kept, in memory and in the user's cache, under what the system
says of the files: place, size, times, inode. That is asked every time, so that a change is noticed within a process
and between two.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import numpy as np

from transferlab.errors import unreadable
from transferlab.files import cache_dir, sha256, write_text

More = TypeVarTuple("More")
T = TypeVar("T")
Files = TypeVar("Files", Path, tuple[Path, ...])
SETTLED = 2 * 10**9
"""Nanoseconds after a change: until then a second one may leave times and size as they are, so nothing is kept."""
_memory: dict[str, str] = {}
version = functools.cache(importlib.metadata.version)


def digest(
    paths: Iterable[Path] | Mapping[str, Path], *ingredients: object, check: Callable[[], object] | None = None
) -> str:
    """SHA-256, in hexadecimal, of the names and bytes of files, and of whatever else makes the data.

    A path stands for a file, known by its name, or for all files in a folder whose names do not begin with a dot.
    A mapping gives files names of their own, such as where they lie in their folder. ingredients: values whose
    ``repr`` says all of them. check: reads the files and raises for what is wrong with them, whatever the options; it
    is called only where no digest is kept of the files as they are. Raises :class:`UserError` naming a file that cannot
    be read.
    """
    named = paths.items() if isinstance(paths, Mapping) else ((path.name, path) for path in paths)
    files = [file for name, path in named for file in _files(name, path)]

    def compute() -> str:
        if check is not None:
            check()
        return _hash([(name, _sha256(path)) for name, path in files])

    checked = [] if check is None else [f"{check.__module__}.{check.__qualname__}"]
    return _hash([_of_files(files, compute, checked), *ingredients])


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file's bytes, and of each folder its :func:`digest`."""
    return {path.name: digest([path]) if path.is_dir() else _of_file(path) for path in paths}


def _of_file(path: Path) -> str:
    return _of_files([("", path)], lambda: _sha256(path))


def remembered(maxsize: int) -> Callable[[Callable[[Files, *More], T]], Callable[[Files, *More], T]]:
    """:func:`functools.lru_cache` for a function of files, its first argument: read again where they have changed."""

    def decorate(read: Callable[[Files, *More], T]) -> Callable[[Files, *More], T]:
        @functools.lru_cache(maxsize)
        def of_content(content: str, files: Files, *more: *More) -> T:
            return read(files, *more)

        @functools.wraps(read)
        def of_files(files: Files, *more: *More) -> T:
            content = digest([files]) if isinstance(files, Path) else digest(files)
            return of_content(content, files, *more)

        return of_files

    return decorate


def drawn(draw: Callable[[], np.ndarray], *ingredients: object) -> str:
    """SHA-256 of what ``draw`` makes of ``ingredients``: text and shapes, which Pillow and matplotlib decide."""
    key = _hash([*ingredients, version("pillow"), version("matplotlib")])
    return _kept(key, lambda: hashlib.sha256(draw().tobytes()).hexdigest())


def _files(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of a file, or of each in a folder, in order."""
    if not path.is_dir():
        yield name, path
        return
    for folder, folders, files in os.walk(path, onerror=unreadable):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(f for f in files if not f.startswith(".")):
            there = Path(folder, file)
            if there.is_file():
                yield f"{name}/{there.relative_to(path).as_posix()}", there


def _of_files(files: list[tuple[str, Path]], compute: Callable[[], str], how: Sequence[str] = ()) -> str:
    """What ``compute`` makes of named files, or has made of them as they are now; ``how`` names it."""
    try:
        there = [path.stat() for _, path in files]
    except OSError as error:
        unreadable(error)
    if any(max(s.st_mtime_ns, s.st_ctime_ns) > time.time_ns() - SETTLED for s in there):
        return compute()
    states = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev) for s in there]
    return _kept(_hash([(name, str(path.absolute())) for name, path in files] + states + [*how]), compute)


def _kept(key: str, compute: Callable[[], str]) -> str:
    """What ``compute`` gives, kept under ``key``; where no cache can be used, for this process alone."""
    if key not in _memory:
        try:
            kept = (cache_dir() / "digests" / key).read_text(encoding="ascii")
        except (OSError, ValueError, RuntimeError):
            kept = ""
        if not re.fullmatch(r"[0-9a-f]{64}", kept):
            kept = compute()
            with contextlib.suppress(OSError, RuntimeError):
                write_text(cache_dir() / "digests" / key, kept)
        _memory[key] = kept
    return _memory[key]


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        unreadable(error)


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode(errors="surrogateescape")).hexdigest()
