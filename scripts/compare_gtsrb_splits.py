"""What a split of GTSRB by images is worth beside one by tracks: python scripts/compare_gtsrb_splits.py <data.root>.

The nearest neighbour of grey images of 16x16 pixels, three times: a fifth of the training images at random held out, a
fifth of the tracks held out, and the official test set. Frames of a track are nearly the same picture.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from transferlab import data
from transferlab.config import DataConfig


def grey(images: np.ndarray) -> np.ndarray:
    """uint8 [N, 3, 16, 16] -> float32 [N, 256], each of mean 0 and length 1."""
    x = images.astype(np.float32).mean(1).reshape(len(images), -1)
    x -= x.mean(1, keepdims=True)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def accuracy(x: np.ndarray, y: np.ndarray, other: np.ndarray, truth: np.ndarray) -> float:
    """Of the nearest neighbour in (x, y) on (other, truth)."""
    return float((KNeighborsClassifier(1, algorithm="brute").fit(x, y).predict(other) == truth).mean())


def main(root: str) -> None:
    found = data.find("gtsrb", data.config_class("gtsrb")(size=16), DataConfig(root=root))
    train, test = found.load("train"), found.load("test")
    x, y, tracks = grey(train.inputs), train.labels, train.groups
    rng = np.random.default_rng(0)
    by_image = rng.random(len(x)) < 0.2
    by_track = np.isin(tracks, rng.permutation(np.unique(tracks))[: len(np.unique(tracks)) // 5])
    counts = f"{len(x)} training images in {len(np.unique(tracks))} tracks, {len(test)} test images"
    print(f"edition {found.edition}: {counts}")
    for name, held_out in (("random images", by_image), ("whole tracks", by_track)):
        share = accuracy(x[~held_out], y[~held_out], x[held_out], y[held_out])
        print(f"{name:20} {share:.3f} of {held_out.sum()}")
    print(f"{'official test set':20} {accuracy(x, y, grey(test.inputs), test.labels):.3f} of {len(test)}")


if __name__ == "__main__":
    main(sys.argv[1])
