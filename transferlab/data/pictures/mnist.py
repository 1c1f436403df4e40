"""MNIST: 60,000 + 10,000 handwritten digits, 28x28 grey."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote
from transferlab.data.pictures import _idx
from transferlab.data.pictures._glyphs import described
from transferlab.data.selection import Selection

CLASSES = tuple("0123456789")
_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES: dict[str, Remote | None] = {
    "train-images-idx3-ubyte.gz": Remote(_URL + "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte.gz": Remote(_URL + "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte.gz": Remote(_URL + "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte.gz": Remote(_URL + "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
}
SPLITS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


@dataclass
class Config(Selection):
    """MNIST handwritten digits (LeCun, Cortes, Burges 1998)."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    folders = ("mnist", "MNIST/raw", "mnist/raw")
    return described(_idx.find("mnist", folders, SPLITS, FILES, CLASSES, settings, (60_000, 10_000)))
