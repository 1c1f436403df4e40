"""Data sets: one module each, in rooms by kind. ``find`` comes before any work; ``Found.load`` reads.

``find`` is cheap, but that it reads files once, the first time that they are there as they are, to say what is wrong
with them. Nothing here imports torch, so that bad input is answered at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from transferlab.data.contract import Found, Settings
from transferlab.data.selection import select

__all__ = ["Found", "config_class", "find", "names"]


@cache
def _modules() -> dict[str, str]:
    """The data sets there are: the public modules of the folders of this package."""
    files = Path(__file__).parent.glob("*/[!_]*.py")
    return {
        path.stem: f"{__name__}.{path.parent.name}.{path.stem}" for path in sorted(files, key=lambda path: path.stem)
    }


def names() -> list[str]:
    """What the data sets are called."""
    return list(_modules())


def config_class(name: str) -> type:
    """The options of data set ``name``: the dataclass ``Config`` of its module."""
    return importlib.import_module(_modules()[name]).Config


def find(name: str, options: Any, settings: Settings) -> Found:
    """Where data set ``name`` will come from: its edition, classes and shape; downloads what is missing.

    Raises :class:`~transferlab.errors.UserError` with one line where it is not to be had.
    """
    if options.classes is not None:  # accents may be coded in two ways
        options = dataclasses.replace(options, classes=[unicodedata.normalize("NFC", name) for name in options.classes])
    return select(importlib.import_module(_modules()[name]).find(options, settings), options)
