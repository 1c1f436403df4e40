"""Arrays in NumPy's and MATLAB's files, and in pickles. None of them runs code."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transferlab.config import require
from transferlab.errors import UserError

LARGEST = 2**28
"""Numbers in a sparse matrix that is held without its sparsity: a gigabyte."""
SHOWN = 5


def read(path: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays called ``keys``, and those of ``optional`` that are there, from an .npz or .mat file.

    A sparse matrix comes as the usual one, in float32. The one that scipy.sparse.save_npz writes has no name: it is the
    first of ``keys`` where there is no other of that name. Runs no code that a file may hold.
    Raises :class:`UserError` naming a damaged file or a missing array.
    """
    matlab = path.suffix.lower() == ".mat"
    try:
        arrays, there = (_mat if matlab else _npz)(path, {*keys, *optional})
        arrays = {key: _dense(path, key, array) for key, array in arrays.items()}
    except UserError:
        raise
    except Exception as error:  # NumPy, zipfile and SciPy raise many kinds for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        if matlab and isinstance(error, NotImplementedError):
            reason = "MATLAB's 7.3 format is not read; save it with -v7"
        raise UserError(f"{path}: damaged or not {path.suffix or 'an array file'} ({reason})") from None
    if not matlab and keys[0] not in arrays and {"data", "shape"} <= set(there):
        arrays[keys[0]] = _saved_by_scipy(path, keys[0])
    for key in keys:
        if key not in arrays:
            names = [*there[:SHOWN], f"… ({len(there)} arrays)"] if len(there) > 2 * SHOWN else there
            raise UserError(f"{path}: has no array {key!r}; it holds {', '.join(names) or 'none'}")
    return arrays


def _dense(path: Path, key: str, array: Any) -> np.ndarray:
    """A sparse matrix as an array; what has more than one column in float32."""
    if isinstance(array, np.ndarray):
        return array
    count = array.shape[0] * array.shape[1]
    require(count <= LARGEST, f"{path}: {key} {array.shape} is too large to hold without its sparsity; take fewer rows")
    array.check_format(full_check=True)
    return (array.astype(np.float32) if min(array.shape) > 1 else array).toarray()


def _saved_by_scipy(path: Path, key: str) -> np.ndarray:
    """The matrix of scipy.sparse.save_npz, whose parts may have other arrays beside them."""
    import scipy.sparse

    parts = read(path, ["data", "shape"], ["indices", "indptr", "row", "col", "format"])
    try:
        kind = str(np.asarray(parts["format"]).astype(str)) if "format" in parts else "csr"
        compressed = {"csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}
        shape = tuple(int(n) for n in parts["shape"])
        if kind == "coo":
            matrix = scipy.sparse.coo_matrix((parts["data"], (parts["row"], parts["col"])), shape).tocsr()
        else:
            matrix = compressed[kind]((parts["data"], parts["indices"], parts["indptr"]), shape)
        return _dense(path, key, matrix)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a sparse matrix in SciPy's form csr, csc or coo ({reason})") from None


def _npz(path: Path, keys: set[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    # Opened here, since np.load leaves a damaged file open.
    with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
        return {key: _plain(path, key, file) for key in file.files if key in keys}, file.files


def _plain(path: Path, key: str, file: Any) -> np.ndarray:
    try:
        return file[key]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UserError(
            f"{path}: {key} holds Python objects, as a column of pandas does; save words with .astype(str), numbers "
            "with .astype(float)"
        ) from None


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
