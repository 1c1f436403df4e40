"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferlab.errors import UserError


def make_folder(path: Path) -> None:
    """Make ``path`` where it is not there yet. Raises :class:`UserError` where nothing can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made a folder ({error.strerror}); choose another") from None
    if not os.access(path, os.W_OK):
        raise UserError(f"{path}: is not writable; choose another folder")


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` at once: a reader, or a crash, meets the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` of a text, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """:func:`write_bytes` of a record of plain values, as JSON."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The record at ``path``; empty where there is none. Raises :class:`UserError` where it is no JSON."""
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path}: not readable as JSON") from None
