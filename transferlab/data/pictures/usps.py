"""USPS: 7,291 + 2,007 handwritten digits from envelopes, 16x16 grey."""

from __future__ import annotations

import bz2
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.content import Files, remembered
from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote, files_or_sample
from transferlab.data.pictures import _samples
from transferlab.data.pictures._glyphs import described
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection
from transferlab.errors import UserError

_URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
FILES: dict[str, Remote | None] = {
    "usps.bz2": Remote(_URL + "usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
    "usps.t.bz2": Remote(_URL + "usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
}

COUNTS = [7291, 2007]


@dataclass
class Config(Selection):
    """USPS digits (Le Cun et al. 1990), in LIBSVM's text form as torchvision reads it."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    paths = files_or_sample("usps", ("usps", "USPS", "."), FILES, settings, sample=True)
    files = {"train": [paths["usps.bz2"]], "test": [paths["usps.t.bz2"]]} if paths else None
    counts = [len(_labels(path)) for path in (paths or {}).values()]
    edition = "full" if not paths or 0 in counts or counts == COUNTS else f"subset-{counts[0]}+{counts[1]}"
    return described(_samples.found("usps", edition, CLASSES, (1, 16, 16), files, read, _labels))


@remembered(maxsize=4)
def _labels(path: Files) -> np.ndarray:
    """int64 [N]; none where the file is damaged, as :func:`read` will say."""
    assert isinstance(path, Path)
    try:
        lines = bz2.decompress(path.read_bytes()).splitlines()
        return np.array([int(float(line.split(None, 1)[0])) - 1 for line in lines], np.int64)
    except (OSError, EOFError, ValueError, IndexError):
        return np.empty(0, np.int64)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 1, 16, 16] and int64 [N] from lines "LABEL 1:v … 256:v" with v in [-1, 1], LABEL from 1."""
    try:
        lines = bz2.decompress(path.read_bytes()).decode("ascii").splitlines()
        cells = [[cell.rpartition(":")[2] for cell in line.split()] for line in lines]
        table = np.array(cells, dtype=np.float32)
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: damaged or not USPS in LIBSVM's form ({error}); fetch it again") from None
    if table.ndim != 2 or table.shape[1] != 257:
        raise UserError(f"{path}: holds a table of shape {table.shape} instead of (N, 257)")
    labels = table[:, 0].astype(np.int64) - 1
    if labels.min() < 0 or labels.max() > 9 or not np.abs(table[:, 1:]).max() <= 1:
        raise UserError(f"{path}: labels must be 1 to 10 and values -1 to 1")
    # torchvision's scaling.
    return ((table[:, 1:] + 1) / 2 * 255).astype(np.uint8).reshape(-1, 1, 16, 16), labels
