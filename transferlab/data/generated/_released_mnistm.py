"""MNIST-M as it was released or passed on: a folder of pictures, a pickle of arrays, or torch files.

No code runs from any of these files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from transferlab.data.arrays import ArraysOnly
from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.files import cache_place, provenance, roots
from transferlab.data.pictures import mnist
from transferlab.data.pictures._images import rgb
from transferlab.errors import UserError

FOLDERS = ("mnist_m", "MNIST-M", "mnistm", "MNISTM", ".")
COUNTS = [59_001, 9_001]
"""The authors' pictures for training and testing."""
PICKLES = ("mnist_m_data.pkl", "mnistm_data.pkl", "mnistm.pkl", "keras_mnistm.pkl")


def find(settings: Settings, classes: tuple[str, ...]) -> Found:
    """The released set in one of its layouts. Raises :class:`UserError` where there is none.

    Only the authors' pictures, all of them, are the edition released. Arrays are what others have rebuilt, with
    other patches, and some with other digits: each an edition of its own.
    """
    for folder in (root / name for root in roots(settings) for name in FOLDERS):
        files = [folder / f"mnist_m_{name}" for name in ("train_labels.txt", "test_labels.txt", "train", "test")]
        if files[0].is_file() and files[1].is_file():
            counts = [len(path.read_bytes().split()) // 2 for path in files[:2]]
            edition = "released" if counts == COUNTS else f"released-subset-{counts[0]}+{counts[1]}"
            there = [path for path in files if path.exists()]
            return _found(classes, edition, partial(_pictures, folder), there, labels=partial(_labels, folder))
        files = [folder / f"mnist_m_{split}.pt" for split in ("train", "test")]
        if all(path.is_file() for path in files):
            return _found(classes, "rebuild-torch", partial(_tensors, folder), files)
        for pickled in (folder / name for name in PICKLES if (folder / name).is_file()):
            digits = mnist.find(mnist.Config(), settings)
            read = partial(_arrays, pickled, digits)
            return _found(classes, f"rebuild-{pickled.stem}", read, [pickled], digits.digest, labels=digits.labels)
    raise UserError(
        "mnistm.build=released: not found; put mnist_m_train/, mnist_m_train_labels.txt and the same for test, "
        f"or mnist_m_train.pt and mnist_m_test.pt, or {PICKLES[0]} "
        f"into <data.root>/mnist_m{cache_place('mnist_m')}"
    )


def _found(
    classes: tuple[str, ...],
    edition: str,
    read: Callable[[str], tuple[np.ndarray, np.ndarray, Path]],
    files: Sequence[Path],
    *ingredients: str,
    labels: Callable[[str], Labels] | None = None,
) -> Found:
    def checked(split: str) -> tuple[np.ndarray, np.ndarray, Path]:
        images, labels, path = read(split)
        if images.dtype != np.uint8 or images.shape[1:] != (3, 28, 28) or len(images) != len(labels):
            raise UserError(
                f"{path}: {images.dtype} {images.shape} with {len(labels)} labels, not uint8 (N, 3, 28, 28)"
            )
        if labels.min() < 0 or labels.max() > 9:
            raise UserError(f"{path}: labels {labels.min()} to {labels.max()}, allowed are 0 to 9")
        return images, labels, path

    def load(split: str) -> Dataset:
        images, labels, path = checked(split)
        return Dataset(images, labels, classes, provenance("mnistm", edition, split, len(images), [path]))

    content = digest(files, *ingredients, check=lambda: [checked(split) for split in ("train", "test")])
    idle = dict.fromkeys(["photographs", "seed"], "mnistm.build=released")
    return Found("mnistm", edition, classes, IMAGES, (3, 28, 28), load, content, labels=labels, idle=idle)


def _index(folder: Path, split: str) -> Path:
    return folder / f"mnist_m_{split}_labels.txt"


def _listed(folder: Path, split: str) -> Iterator[tuple[Path, int]]:
    """Picture and digit of each line "00000000.png 5"."""
    index = _index(folder, split)
    for number, line in enumerate(index.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        name, _, label = line.strip().partition(" ")
        if not label.strip().isdecimal():
            raise UserError(f"{index}: line {number} is not 'file label': {line!r}")
        yield folder / f"mnist_m_{split}" / name, int(label)


def _labels(folder: Path, split: str) -> Labels:
    return Labels(np.array([label for _, label in _listed(folder, split)], np.int64))


def _pictures(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, Path]:
    """mnist_m_train/00000000.png … with lines "00000000.png 5"; pictures are 32x32 and lose their 2-pixel rim."""
    index = _index(folder, split)
    images = []
    for path, _ in _listed(folder, split):
        pixels = np.asarray(rgb(path, path))
        rim = (pixels.shape[0] - 28) // 2
        images.append(pixels[rim : rim + 28, rim : rim + 28].transpose(2, 0, 1))
    if len({pixels.shape for pixels in images}) != 1:
        raise UserError(f"{index}: names no pictures, or pictures of several sizes")
    return np.stack(images), _labels(folder, split).labels, index


def _tensors(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, Path]:
    """A torch file of (images [N, 28, 28, 3] uint8, labels [N])."""
    import torch

    path = folder / f"mnist_m_{split}.pt"
    try:
        images, labels = torch.load(path, weights_only=True)
        return np.ascontiguousarray(images.numpy().transpose(0, 3, 1, 2)), labels.numpy().astype(np.int64), path
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(f"{path}: not a torch file of two tensors ({type(error).__name__})") from None


def _arrays(path: Path, digits: Found, split: str) -> tuple[np.ndarray, np.ndarray, Path]:
    """A pickle of {"train": uint8 [N, 28, 28, 3], "test": …}, in MNIST's order, whose labels it takes.

    Where there is also "valid", it is MNIST's FIRST images: TensorFlow's reader, with which such files were
    made, cuts them off the front of the training set.
    """
    labels = digits.load(split).labels
    assert labels is not None
    try:
        with path.open("rb") as file:
            content = ArraysOnly(file, encoding="latin1").load()
        images = content[split]
        if split == "train" and "valid" in content and len(images) < len(labels):
            images = np.concatenate([content["valid"], images])
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    except Exception as error:  # a damaged or crafted pickle raises many kinds
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a pickle of arrays named train and test ({reason})") from None
    if len(labels) != len(images):
        raise UserError(f"{path}: {len(images)} {split} images, MNIST ({digits.edition}) has {len(labels)} labels")
    return images, labels, path
