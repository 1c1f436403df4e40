"""Named arrays in NumPy's and MATLAB's files."""

from __future__ import annotations

import lzma
import zipfile
import zlib
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
    except NotImplementedError:
        raise UserError(f"{path}: MATLAB's 7.3 format; save it with -v7") from None
    except Exception as error:  # SciPy raises many kinds for a damaged file
        if not isinstance(error, _DAMAGED) and path.suffix != ".mat":
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or not {path.suffix or 'an array file'} ({reason})") from None
    for key in keys:
        if key not in arrays:
            raise UserError(f"{path}: has no array {key!r}; it holds {', '.join(there) or 'none'}")
    return arrays


_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def _npz(path: Path, keys: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files if key in keys}, file.files


def _mat(path: Path, keys: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    import scipy.io

    arrays = scipy.io.loadmat(path, variable_names=sorted(keys))
    return {key: arrays[key] for key in keys if key in arrays}, [name for name, *_ in scipy.io.whosmat(path)]
