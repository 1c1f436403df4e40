"""Files that are either whole or not there, and records that say whether they are still what was written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferlab.errors import UserError


def expanded(place: str) -> Path:
    """``place``, in which ~ stands for a home folder. Raises :class:`UserError` where it cannot be looked at."""
    try:
        path = Path(place).expanduser()
        path.exists()
        return path
    except (RuntimeError, KeyError):  # a user without a home, as in some containers
        raise UserError(f"{place}: there is no home folder for {Path(place).parts[0]}; write the whole path") from None
    except OSError as error:
        raise UserError(f"{place}: not readable ({error.strerror})") from None


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
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:  # a full disk, Ctrl-C
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def remove_partials(folder: Path, name: str = "*") -> None:
    """Remove what killed processes have left of files called ``name``; nobody may be writing them."""
    for partial in folder.glob(f".{name}.*.part"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` of a text, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """:func:`write_bytes` of a record of plain values, as JSON."""
    write_text(path, json_text(record))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV under a head, columns in the order in which they first appear."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_text(record: Mapping[str, Any]) -> str:
    """A record of plain values as JSON that a person can read."""
    return json.dumps(record, indent=2) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The record at ``path``; empty where there is none. Raises :class:`UserError` where it is not one."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({' '.join(str(error).split())})") from None
    if not isinstance(record, dict):
        raise UserError(f"{path}: not a record, which is a JSON object")
    return record


def digest(content: bytes) -> str:
    """Its SHA-256, in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """``record`` with a ``checksum`` of the rest of it."""
    plain = {key: value for key, value in record.items() if key != "checksum"}
    return {**plain, "checksum": digest(json.dumps(plain, sort_keys=True).encode())}


def cache_dir() -> Path:
    """The user's cache: $XDG_CACHE_HOME/transferlab or ~/.cache/transferlab. Raises OSError where there is no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transferlab"
    except (RuntimeError, KeyError):  # a user without a home folder, as in some containers
        raise OSError("there is no home folder for the cache; set XDG_CACHE_HOME") from None


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
