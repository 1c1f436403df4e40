"""The one kind of error that a user can mend: a single clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NoReturn


class UserError(Exception):
    """Bad input, found before any work starts: what, where, what is allowed, what to do.

    The command line prints the message as one line and leaves with exit status 2.
    """


class DataMissing(UserError):
    """The files of data set ``name`` are not available; the line says how to get them."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class Diverged(RuntimeError):
    """A loss or a score is no longer a finite number."""


def require(condition: bool, message: str) -> None:
    """Raise :class:`UserError` with the one-line ``message`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)


def unreadable(error: OSError) -> NoReturn:
    """Raise :class:`UserError` for a file or folder that cannot be read; for :func:`os.walk` too."""
    raise UserError(f"{error.filename}: not readable ({error.strerror})") from None


def nearest(word: str, allowed: Iterable[str]) -> str:
    """'; did you mean x?' for the allowed word most like ``word``, or nothing."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""


SHOWN = 3
"""Names in a message, of many."""


def printable(name: str) -> str:
    """A file's, folder's or class's name on one line, whatever bytes it is made of."""
    text = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def some(names: Sequence[str]) -> str:
    """The first of ``names``, and whether there are more."""
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
