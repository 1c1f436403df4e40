"""scikit-learn's digits: 1,797 handwritten digits, 8x8 grey, inside the library."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection


@dataclass
class Config(Selection):
    """Optical recognition of handwritten digits (Alpaydin & Kaynak 1998), the test part, as in scikit-learn."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    spec = importlib.util.find_spec("sklearn")  # to import it takes a second
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"

    def labels(split: str) -> Labels:
        lines = gzip.decompress(path.read_bytes()).split()
        every = np.array([int(float(line.rpartition(b",")[2])) for line in lines], np.int64)
        return Labels(every[_rows(every, split)])

    return Found("digits", "full", CLASSES, IMAGES, (1, 8, 8), load, digest([path]), labels=labels)


def _rows(labels: np.ndarray, split: str) -> np.ndarray:
    """bool [N]: every fifth image of each class is for testing."""
    test = np.zeros(len(labels), bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[::5]] = True
    return test if split == "test" else ~test


def load(split: str) -> Dataset:
    """8x8 uint8, the 17 grey levels spread over 0 to 255."""
    import sklearn
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    labels = labels.astype(np.int64)
    rows = _rows(labels, split)
    pixels = np.round(images[rows] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    record = {"name": "digits", "edition": "full", "split": split, "count": int(rows.sum()),
              "files": {}, "scikit-learn": sklearn.__version__}  # fmt: skip
    return Dataset(pixels, labels[rows], CLASSES, record)
