"""Data sets: one module each. ``find`` comes before any work; ``Found.load`` reads.

``find`` is cheap, but that it reads files once, the first time that they are there as they are, to say what is wrong
with them. Nothing here imports torch, so that bad input is answered at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import unicodedata
from functools import cache
from typing import Any

from transferlab.data._files import Found, Settings
from transferlab.data._selection import select, training_rows

__all__ = ["Found", "config_class", "find", "names", "training_rows"]


@cache
def names() -> list[str]:
    """The data sets there are: the public modules of this package."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_") and m.name != "dataset")


def config_class(name: str) -> type:
    """The options of data set ``name``: the dataclass ``Config`` of its module."""
    return importlib.import_module(f"transferlab.data.{name}").Config


def find(name: str, options: Any, settings: Settings) -> Found:
    """Where data set ``name`` will come from: its edition, classes and shape; downloads what is missing.

    Raises :class:`~transferlab.errors.UserError` with one line where it is not to be had.
    """
    if options.classes is not None:  # accents may be coded in two ways
        options = dataclasses.replace(options, classes=[unicodedata.normalize("NFC", name) for name in options.classes])
    return select(importlib.import_module(f"transferlab.data.{name}").find(options, settings), options)
