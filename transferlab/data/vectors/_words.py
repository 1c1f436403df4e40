"""Word vectors of names, from a file with the arrays words [W] and vectors [W, D]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transferlab.data.arrays import read_arrays
from transferlab.errors import require


def glove(path: Path, names: Sequence[str]) -> np.ndarray:
    """float32 [C, D]: the mean vector of the words of each name, which "+", "_", "-" or spaces part.

    Raises :class:`UserError` that names a class with a word that has no vector.
    """
    row, vectors = _read(path)
    for name in names:
        missing = [word for word in _parts(name) if word not in row]
        require(not missing, f"{path}: has no word {', '.join(missing)} of class {name}; choose other signatures")
    means = [vectors[[row[word] for word in _parts(name)]].astype(np.float32).mean(0) for name in names]
    return np.stack(means)


def known(path: Path, names: Sequence[str]) -> np.ndarray:
    """bool [C]: whether each word of a name has a vector."""
    row, _ = _read(path)
    return np.array([all(word in row for word in _parts(name)) for name in names])


def _read(path: Path) -> tuple[dict[str, int], np.ndarray]:
    arrays = read_arrays(path, ["words", "vectors"])
    require(len(arrays["words"]) == len(arrays["vectors"]), f"{path}: words and vectors differ in number")
    return {str(word): i for i, word in enumerate(arrays["words"])}, arrays["vectors"]


def _parts(name: str) -> list[str]:
    return name.lower().translate(str.maketrans("+_-", "   ")).split()
