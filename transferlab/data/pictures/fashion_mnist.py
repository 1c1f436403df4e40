"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28x28 grey."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote
from transferlab.data.pictures import _idx
from transferlab.data.pictures.mnist import SPLITS
from transferlab.data.selection import Selection

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FILES: dict[str, Remote | None] = {
    "train-images-idx3-ubyte.gz": Remote(_URL + "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte.gz": Remote(_URL + "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte.gz": Remote(_URL + "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte.gz": Remote(_URL + "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
}


@dataclass
class Config(Selection):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    folders = ("fashion-mnist", "FashionMNIST/raw", "fashion_mnist")
    return _idx.find("fashion_mnist", folders, SPLITS, FILES, CLASSES, settings, (60_000, 10_000))
