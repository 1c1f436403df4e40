"""Animals with Attributes: 30,475 images of 50 animals as vectors, and a description of each animal.

Two files of NumPy arrays, made from the authors' (the licence of neither features nor attributes is stated):

- features.npz: features float [N, D], labels int [N], from 0 in the order of class_names.
- attributes.npz: class_names [C]; binary and continuous [C, 85], the official predicate matrices; unseen_classes and
  ps_unseen_classes, the two splits, from 0; xlsa17_att [C, 85] and word_vectors [C, M] where they are wanted.

With features other than the deep ones that papers after 2015 use, their numbers do not apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from transferlab.data.archives import Paths
from transferlab.data.arrays import read_arrays
from transferlab.data.content import digest, remembered
from transferlab.data.contract import VECTORS, Dataset, Found, Labels, Settings
from transferlab.data.files import by_hand, provenance
from transferlab.data.selection import Selection
from transferlab.data.split import held_out
from transferlab.data.vectors._words import glove
from transferlab.errors import UserError, require

TABLES = {"continuous": "continuous", "binary": "binary", "xlsa17": "xlsa17_att", "word_vectors": "word_vectors"}
"""The array in attributes.npz for each kind of signature; GloVe's are made from the names."""
TEST_FRACTION = 0.2


@dataclass
class Config(Selection):
    """AwA (Lampert, Nickisch, Harmeling, CVPR 2009): features of 2009, whose licence is not stated."""

    part: Literal["seen", "unseen"] = "seen"
    """The classes of this domain. Unseen ones have no training images: all their images are for testing."""
    split: Literal["standard", "proposed"] = "standard"
    """Which ten classes are unseen: Lampert's, or those of Xian et al. 2017, which ImageNet lacks."""
    signatures: Literal["continuous", "binary", "xlsa17", "word_vectors", "glove"] = "continuous"
    """continuous: 85 attributes, 0 to 100; binary: 0 or 1; xlsa17: unit rows; word_vectors, glove: of the names."""


def find(options: Config, settings: Settings) -> Found:
    """A fifth of each seen class is for testing, so that seen test images are there for generalised zero-shot learning.

    Missing attributes (-1) count as 0.
    """
    origin = "arrays as transferlab/data/vectors/awa1.py names them, made from https://cvml.ista.ac.at/AwA"
    paths = by_hand("awa1", ("awa1", "AwA1"), [("features.npz", "attributes.npz")], settings, origin)
    features, labels = _images(tuple(paths))
    names, parts, table = _classes(paths[1], options)
    if options.signatures == "glove":
        paths += by_hand("glove", ("words", "glove"), [("glove.npz",)], settings, "arrays words and vectors of GloVe")
        signatures = glove(paths[2], names)
    else:
        signatures = table
    wanted = parts[options.part]
    for label in wanted:
        fits = label < len(signatures) and np.isfinite(signatures[label]).all() and signatures[label].any()
        require(fits, f"{paths[-1]}: class {names[label]} has no {options.signatures} signature; choose another kind")
    classes = tuple(names[label] for label in wanted)

    # 320 numbers are reduced from five of the six descriptors of 2009; other features are named by their length.
    edition = "reduced-320" if features.shape[1] == 320 else f"features-{features.shape[1]}"

    def rows_of(split: str) -> list[np.ndarray]:
        return [_rows(labels, label, options.part, split) for label in wanted]

    def of_split(split: str) -> Labels:
        return Labels(np.repeat(np.arange(len(wanted)), [len(rows) for rows in rows_of(split)]))

    def load(split: str) -> Dataset:
        chosen = np.concatenate(rows_of(split))
        record = provenance("awa1", edition, split, len(chosen), paths, part=options.part, classes_split=options.split)
        inputs = features[chosen].astype(np.float32)
        return Dataset(inputs, of_split(split).labels, classes, record, signatures[wanted])

    shape, described = features.shape[1:], signatures.shape[1]
    return Found(
        "awa1", edition, classes, VECTORS, shape, load, digest(paths), signature_size=described, labels=of_split
    )


def _rows(labels: np.ndarray, label: int, part: str, split: str) -> np.ndarray:
    rows = np.flatnonzero(labels == label)
    if part == "unseen":
        return rows if split == "test" else rows[:0]
    return rows[held_out(len(rows), TEST_FRACTION, label) == (split == "test")]


@remembered(maxsize=1)  # the two domains are parts of one table
def _images(paths: Paths) -> tuple[np.ndarray, np.ndarray]:
    """float16 or float32 [N, D] and int64 [N]."""
    path, attributes = paths
    arrays = read_arrays(path, ["features", "labels"])
    features, labels = arrays["features"], arrays["labels"].astype(np.int64)
    if features.ndim != 2 or features.dtype.kind != "f" or labels.shape != features.shape[:1]:
        raise UserError(
            f"{path}: features {features.dtype} {features.shape}, labels {labels.shape}; needed is (N, D), (N,)"
        )
    require(bool(np.isfinite(features).all()), f"{path}: features hold values that are not finite")
    count = len(read_arrays(attributes, ["class_names"])["class_names"])
    sizes = np.bincount(labels, minlength=count) if labels.min(initial=0) >= 0 else np.zeros(1)
    if len(sizes) != count or sizes.min() < 2:
        raise UserError(f"{path}: labels must be 0 to {count - 1}, with at least 2 images each")
    return features, labels


def _classes(path: Path, options: Config) -> tuple[list[str], dict[str, list[int]], np.ndarray]:
    """All classes' names, those that are seen and unseen, and the signatures float32 [C, M]."""
    split = {"standard": "unseen_classes", "proposed": "ps_unseen_classes"}[options.split]
    key = TABLES.get(options.signatures, "binary")
    arrays = read_arrays(path, ["class_names", split, key])
    names = [str(name) for name in arrays["class_names"]]
    unseen = [int(label) for label in arrays[split]]
    require(set(unseen) < set(range(len(names))), f"{path}: {split} must be some of 0 to {len(names) - 1}")
    table = arrays[key].astype(np.float32)
    require(table.ndim == 2, f"{path}: {key} has shape {table.shape} instead of (C, M)")
    if key == "continuous":
        table = np.maximum(table, 0)
    return names, {"seen": [i for i in range(len(names)) if i not in unseen], "unseen": unseen}, table
