"""CIFAR-10: 50,000 + 10,000 pictures of ten classes, 32x32 colour."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from transferlab.data.archives import Paths, members, names
from transferlab.data.arrays import ArraysOnly
from transferlab.data.content import digest, digests
from transferlab.data.contract import IMAGES, Dataset, Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures._images import read_image
from transferlab.data.selection import Selection
from transferlab.errors import UserError, require

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
BATCH = 10_000
"""Images in each."""


@dataclass
class Config(Selection):
    """CIFAR-10 (Krizhevsky 2009); no licence is stated."""


def find(options: Config, settings: Settings) -> Found:
    """The official batches for Python, or a zip of {train,test}/<class>/*.jpg.

    Images that were saved as JPEG are near the official ones, not equal: an edition of their own.
    """
    choices = [("cifar-10-batches-py",), ("cifar-10-python.tar.gz",), ("cifar10-jpeg.zip",)]
    origin = "the version for Python; from https://www.cs.toronto.edu/~kriz/cifar.html"
    paths = tuple(by_hand("cifar10", ("cifar10", "CIFAR10", "."), choices, settings, origin))
    if paths[0].suffix == ".zip":
        count = sum(_place(name) is not None for name in names(paths))
        edition, read = f"subset-{count}-jpeg", _pictures
    else:
        edition, read = "full", _batches

    def load(split: str) -> Dataset:
        images, labels = read(paths, split)
        record = {"name": "cifar10", "edition": edition, "split": split, "count": len(images), "files": digests(paths)}
        return Dataset(images, labels, CLASSES, record)

    content = digest(paths, check=lambda: [read(paths, split) for split in BATCHES])
    return Found("cifar10", edition, CLASSES, IMAGES, (3, 32, 32), load, content)


def _batches(paths: Paths, split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3, 32, 32] and int64 [N] from pickles of {"data": uint8 [10000, 3072], "labels": …}."""
    found = {}
    for name, content in members(paths, lambda name: PurePosixPath(name).name in BATCHES[split]):
        found[PurePosixPath(name).name] = _batch(content, f"{paths[0].parent / name}")
    missing = sorted(set(BATCHES[split]) - set(found))
    require(not missing, f"{paths[0]}: lacks {', '.join(missing)}")
    images, labels = zip(*(found[name] for name in BATCHES[split]), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _batch(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images, labels = batch["data"], np.array(batch["labels"])
        right = images.dtype == np.uint8 and images.shape == (BATCH, 3072) and labels.shape == (BATCH,)
        right = right and labels.dtype.kind == "i" and labels.min() >= 0 and labels.max() < len(CLASSES)
    except Exception as error:  # a damaged pickle raises many kinds
        raise UserError(f"{where}: not a batch of CIFAR-10 ({type(error).__name__}: {error})") from None
    require(bool(right), f"{where}: not {BATCH} images of 3x32x32 bytes with labels 0 to 9")
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _pictures(paths: Paths, split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3, 32, 32] and int64 [N], in the order of the files' paths."""
    images, labels = {}, {}
    for name, content in members(paths, lambda name: (_place(name) or ("",))[0] == split):
        place = _place(name)
        assert place is not None
        images[name] = read_image(io.BytesIO(content), f"{paths[0]}: {name}", 32)
        labels[name] = CLASSES.index(place[1])
    require(set(labels.values()) == set(range(len(CLASSES))), f"{paths[0]}: a class has no {split} images")
    order = sorted(images)
    return np.stack([images[name] for name in order]), np.array([labels[name] for name in order], np.int64)


def _place(name: str) -> tuple[str, str] | None:
    """Split and class of a picture; None for another file."""
    parts = PurePosixPath(name).parts[-3:]
    right = len(parts) == 3 and parts[0] in BATCHES and parts[1] in CLASSES and parts[2].endswith((".jpg", ".png"))
    return (parts[0], parts[1]) if right else None
