"""What archives hold, packed or unpacked."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from transferlab.errors import UserError

Paths = tuple[Path, ...]
"""An archive, or the files or folders that it unpacks to."""


def members(paths: Paths, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in ``paths`` whose name is ``wanted``.

    A file in a folder F is called F/..., as in an archive of F. Raises :class:`UserError` naming what is damaged.
    """
    for path in paths:
        try:
            if path.is_dir():
                for file in sorted(file for file in path.rglob("*") if file.is_file()):
                    if wanted(name := file.relative_to(path.parent).as_posix()):
                        yield name, file.read_bytes()
            elif path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    for entry in archive.infolist():
                        if not entry.is_dir() and wanted(entry.filename):
                            yield entry.filename, archive.read(entry)
            elif ".tar" in path.suffixes:
                with tarfile.open(path) as archive:
                    for member in archive:
                        if member.isfile() and wanted(member.name):
                            content = archive.extractfile(member)
                            assert content is not None
                            yield member.name, content.read()
            elif wanted(path.name):
                yield path.name, path.read_bytes()
        except _DAMAGED as error:
            raise UserError(f"{path}: damaged or truncated ({error}); fetch it again") from None


_DAMAGED = (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, RuntimeError)


def names(paths: Paths) -> list[str]:
    """The names of :func:`members`, of which nothing is unpacked."""
    listed = []

    def note(name: str) -> bool:
        listed.append(name)
        return False

    assert not list(members(paths, note))
    return listed
