"""Data sets in MNIST's idx format (LeCun, Cortes, Burges 1998), and their packaged samples."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote, files_or_sample
from transferlab.data.pictures import _samples
from transferlab.errors import UserError


def read(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, gzipped or not. Raises :class:`UserError` naming a damaged file."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged or truncated ({error}); fetch it again") from None
    if len(content) < 8 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        raise UserError(f"{path}: not an idx file of bytes (it starts with {content[:4].hex() or 'nothing'})")
    dims = content[3]
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    if len(content) != 4 + 4 * dims + math.prod(shape):
        raise UserError(f"{path}: its header says {shape}, its length {len(content)} bytes says otherwise")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape)


def _edition(train: Path, test: Path, counts: tuple[int, int]) -> str:
    """full, subset-<training images>, or subset-<training>+<test images> where only some of these are missing."""
    there = [_count(path, whole) for path, whole in zip((train, test), counts, strict=True)]
    if there[0] != counts[0]:
        return f"subset-{there[0]}"
    return "full" if there[1] == counts[1] else f"subset-{there[0]}+{there[1]}"


def _count(path: Path, whole: int) -> int:
    """How many images an idx file has by its header; ``whole`` where that is damaged, as :func:`read` will say."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(8)
    except (OSError, EOFError, zlib.error):
        return whole
    return whole if len(header) < 8 else int.from_bytes(header[4:], "big")


def find(
    name: str,
    folders: Sequence[str],
    splits: Mapping[str, tuple[str, str]],
    remotes: Mapping[str, Remote | None],
    classes: tuple[str, ...],
    settings: Settings,
    counts: tuple[int, int],
    first_label: int = 0,
    arrange: Callable[[np.ndarray], np.ndarray] = lambda images: images,
) -> Found:
    """A data set of 28x28 grey images: splits maps a split to its (images, labels) files.

    counts: how many training and test images the whole set has; files of that name with fewer are another edition.
    """
    last = first_label + len(classes) - 1
    paths = files_or_sample(name, folders, remotes, settings, sample=True)
    edition = "sample" if paths is None else _edition(paths[splits["train"][0]], paths[splits["test"][0]], counts)
    files = {split: [paths[file] for file in pair] for split, pair in splits.items()} if paths else None

    def numbers(images_file: Path, labels_file: Path) -> np.ndarray:
        return read(labels_file).astype(np.int64) - first_label

    def images_and_labels(images_file: Path, labels_file: Path) -> tuple[np.ndarray, np.ndarray]:
        images = read(images_file)
        if images.ndim != 3 or images.shape[1:] != (28, 28):
            raise UserError(f"{images_file}: holds an array of shape {images.shape} instead of (N, 28, 28)")
        labels = numbers(images_file, labels_file)
        if labels.shape != images.shape[:1] or len(labels) == 0:
            raise UserError(f"{labels_file}: {labels.shape} labels for {len(images)} images of {images_file.name}")
        low, high = int(labels.min()) + first_label, int(labels.max()) + first_label
        if low < first_label or high > last:
            raise UserError(f"{labels_file}: labels {low} to {high}, allowed are {first_label} to {last}")
        return np.ascontiguousarray(arrange(images))[:, None], labels

    return _samples.found(name, edition, classes, (1, 28, 28), files, images_and_labels, numbers)
