"""Data sets: one module each, in rooms by kind. ``find`` comes before any work; ``Found.load`` reads.

``find`` is cheap, but that it reads files once, the first time that they are there as they are, to say what is wrong
with them. Nothing here imports torch, so that bad input is answered at once.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transferlab.data.contract import Dataset, Found, Labels, Settings, check_found, check_labels, check_loaded
from transferlab.data.selection import Selection, select
from transferlab.errors import UserError, require
from transferlab.map import check_config, imported, modules

__all__ = ["Found", "config_class", "find", "names"]


def names() -> list[str]:
    """What the data sets are called: the public modules of the rooms."""
    return list(modules("data"))


def _module(name: str) -> Any:
    file = modules("data")[name]
    module = imported(file)
    for part in ("Config", "find"):
        require(hasattr(module, part), f"{file}: a data set needs Config and find; there is no {part}")
    check_config(file, module.Config, Selection)
    return module


def config_class(name: str) -> type:
    """The options of data set ``name``: the dataclass ``Config`` of its module."""
    return _module(name).Config


def find(name: str, options: Any, settings: Settings) -> Found:
    """Where data set ``name`` will come from: its edition, classes and shape; downloads what is missing.

    Raises :class:`~transferlab.errors.UserError` with one line where it is not to be had.
    """
    if options.classes is not None:  # accents may be coded in two ways
        options = dataclasses.replace(options, classes=[unicodedata.normalize("NFC", name) for name in options.classes])
    module, file = _module(name), str(modules("data")[name])
    with _blamed(f"{file}: find"):
        found = module.find(options, settings)
    check_found(file, found)
    return select(_checked(file, found), options)


@contextmanager
def _blamed(where: str) -> Iterator[None]:
    """What a module of the user's own may raise, as a line that says where."""
    try:
        yield
    except (UserError, OSError):  # they say it themselves
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{where}: {reason}; with HYDRA_FULL_ERROR=1 Python says in which line") from error


def _checked(file: str, found: Found) -> Found:
    """``found`` whose ``load`` and ``labels`` refuse what is not as :mod:`~transferlab.data.contract` says."""

    def load(split: str) -> Dataset:
        where = f'{file}: load("{split}")'
        with _blamed(where):
            data = found.load(split)
        check_loaded(where, found, data)
        return data

    def labels(split: str) -> Labels:
        assert found.labels is not None
        where = f'{file}: labels("{split}")'
        with _blamed(where):
            known = found.labels(split)
        require(isinstance(known, Labels), f"{where}: must return Labels, not {type(known).__name__}")
        check_labels(where, found, known)
        return known

    return dataclasses.replace(found, load=load, labels=labels if found.labels else None)
