"""Arrays in NumPy's and MATLAB's files, and in pickles. None of them runs code."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transferlab.errors import UserError, require

LARGEST = 2**28
"""Numbers in a sparse matrix that is held without its sparsity: a gigabyte."""
SHOWN = 5


def read_arrays(path: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
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

    parts = read_arrays(path, ["data", "shape"], ["indices", "indptr", "row", "col", "format"])
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


_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


class _Kind:
    """A dtype of plain numbers, as a pickle describes it: by name, then by its order of bytes and nothing else."""

    def __init__(self, name: str | bytes, align: bool = False, copy: bool = False):
        text = name.decode("latin1") if isinstance(name, bytes) else name
        if not isinstance(text, str) or not _PLAIN.fullmatch(text):
            raise pickle.UnpicklingError(f"it asks for the dtype {str(text)[:20]}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "=") or tuple(state[2:]) != (None, None, None, -1, -1, 0):
            raise pickle.UnpicklingError("it asks for a dtype with parts")
        self.dtype = self.dtype if order == "|" else self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array as a pickle fills it, after looking at what it is filled with."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        content = content.encode("latin1") if isinstance(content, str) else content
        checked: Any = (1, *_checked(content, kind, shape), bool(fortran), bytes(content))
        super().__setstate__(checked)


def _checked(content: Any, kind: Any, shape: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype, where they fit ``content``."""
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape) and len(shape) <= 8
    if not (whole and isinstance(kind, _Kind) and isinstance(content, bytes | bytearray)):
        raise pickle.UnpicklingError("it holds an array that is not of plain numbers")
    if math.prod(shape) * kind.dtype.itemsize != len(content):
        raise pickle.UnpicklingError(f"it holds an array of shape {shape}, but {len(content)} bytes of it")
    return shape, kind.dtype


def _reconstruct(kind: object, shape: object, code: object) -> np.ndarray:
    """An empty array, to be filled by the state that follows."""
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("it asks for another class than numpy.ndarray")
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _frombuffer(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    shape, dtype = _checked(content, kind, shape)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if order == "F" else "C")


_NDARRAY = object()
"""Stands for numpy.ndarray in a pickle, which may name it, but not call it."""


class ArraysOnly(pickle.Unpickler):
    """Rebuilds NumPy arrays of plain numbers and refuses every other class or function.

    NumPy builds what a pickle says, and a dtype that claims to hold no objects where it does ends the interpreter; so
    dtypes and arrays are looked at before NumPy sees them.
    """

    def find_class(self, module: str, name: str) -> Any:
        # What NumPy itself would name, under its modules' names before and since NumPy 2.
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): _NDARRAY,
            ("numpy", "dtype"): _Kind,
            ("numpy.multiarray", "_reconstruct"): _reconstruct,
            ("numpy.numeric", "_frombuffer"): _frombuffer,
            ("_codecs", "encode"): _latin1,
        }
        plain = module.replace("numpy._core.", "numpy.").replace("numpy.core.", "numpy.")
        if (plain, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[plain, name]
