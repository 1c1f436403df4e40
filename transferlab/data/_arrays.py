"""Named arrays in NumPy's and MATLAB's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
