"""SVHN, cropped digits: 73,257 + 26,032 house numbers, 32x32 colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.content import Files, remembered
from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote, files_or_sample
from transferlab.data.pictures import _samples
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection
from transferlab.errors import UserError

_URL = "http://ufldl.stanford.edu/housenumbers/"
FILES: dict[str, Remote | None] = {
    "train_32x32.mat": Remote(_URL + "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test_32x32.mat": Remote(_URL + "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
}

COUNT = 73_257 + 26_032


@dataclass
class Config(Selection):
    """Street View House Numbers, format 2 (Netzer et al. 2011)."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    paths = files_or_sample("svhn", ("svhn", "SVHN", "."), FILES, settings, sample=False)
    assert paths is not None
    files = {split: [paths[f"{split}_32x32.mat"]] for split in ("train", "test")}
    count = sum(len(_labels(path)) for path in paths.values())
    edition = "full" if count == COUNT else f"subset-{count}"
    return _samples.found("svhn", edition, CLASSES, (3, 32, 32), files, read, _labels)


@remembered(maxsize=4)
def _labels(path: Files) -> np.ndarray:
    """int64 [N]; none where the file is damaged, as :func:`read` will say."""
    import scipy.io

    assert isinstance(path, Path)
    try:
        return scipy.io.loadmat(path, variable_names=["y"])["y"].ravel().astype(np.int64) % 10
    except Exception:  # SciPy raises many kinds for a damaged file
        return np.empty(0, np.int64)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3, 32, 32] and int64 [N] from a MATLAB 5 file with X [32, 32, 3, N] and y [N, 1], where 10 is 0."""
    import scipy.io

    try:
        arrays = scipy.io.loadmat(path, variable_names=["X", "y"])
        x, y = arrays["X"], arrays["y"].ravel().astype(np.int64)
    except Exception as error:  # SciPy raises many kinds for a damaged file
        raise UserError(
            f"{path}: damaged or not SVHN's .mat ({type(error).__name__}: {error}); fetch it again"
        ) from None
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.shape[3] != len(y) or not len(y) or x.dtype != np.uint8:
        raise UserError(f"{path}: X is {x.dtype} {x.shape} for {len(y)} labels instead of uint8 (32, 32, 3, N)")
    if y.min() < 1 or y.max() > 10:
        raise UserError(f"{path}: labels {y.min()} to {y.max()}, allowed are 1 to 10")
    return np.ascontiguousarray(x.transpose(3, 2, 0, 1)), y % 10
