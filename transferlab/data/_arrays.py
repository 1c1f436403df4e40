"""Arrays in NumPy's and MATLAB's files, and in pickles. None of them runs code."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transferlab.errors import UserError


def read(path: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays called ``keys``, and those of ``optional`` that are there, from an .npz or .mat file.

    Runs no code that a file may hold. Raises :class:`UserError` naming a damaged file or a missing array.
    """
    try:
        arrays, there = (_mat if path.suffix == ".mat" else _npz)(path, {*keys, *optional})
    except Exception as error:  # NumPy, zipfile and SciPy raise many kinds for a damaged file
        reason = " ".join(str(error).split())
        if path.suffix == ".mat" and isinstance(error, NotImplementedError):
            reason = "MATLAB's 7.3 format is not read; save it with -v7"
        raise UserError(f"{path}: damaged or not {path.suffix or 'an array file'} ({reason})") from None
    for key in keys:
        if key not in arrays:
            raise UserError(f"{path}: has no array {key!r}; it holds {', '.join(there) or 'none'}")
    return arrays


def _npz(path: Path, keys: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    # Opened here, since np.load leaves a damaged file open.
    with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
        return {key: file[key] for key in file.files if key in keys}, file.files


def _mat(path: Path, keys: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    import scipy.io

    arrays = scipy.io.loadmat(path, variable_names=sorted(keys))
    return {key: arrays[key] for key in keys if key in arrays}, [name for name, *_ in scipy.io.whosmat(path)]


def _latin1(text: str, encoding: str) -> bytes:
    """How pickles of before protocol 3 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode(encoding)


class ArraysOnly(pickle.Unpickler):
    """Rebuilds NumPy arrays and refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        # What NumPy itself would name, under its modules' names before and since NumPy 2.
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.multiarray", "_reconstruct"): np.empty(1).__reduce_ex__(2)[0],
            ("numpy.numeric", "_frombuffer"): np.empty(1).__reduce_ex__(5)[0],
            ("_codecs", "encode"): _latin1,
        }
        plain = module.replace("numpy._core.", "numpy.").replace("numpy.core.", "numpy.")
        if (plain, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[plain, name]
