"""Your own images: one folder of them for each class."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.files import provenance
from transferlab.data.pictures._images import Spans, check, read_image, spans
from transferlab.data.pictures._tree import Tree, read_tree
from transferlab.data.selection import Selection
from transferlab.data.split import held_out
from transferlab.errors import require, some
from transferlab.files import expanded, sha256
from transferlab.options import place

log = logging.getLogger(__name__)
VERSION = 2
"""Of how pictures become pixels; to be raised with every change of that."""
TEST_FRACTION = 0.2
"""Share of each class for testing where neither the data nor the user says which."""


@dataclass
class Sized(Selection):
    """Images of many sizes."""

    size: int = 32
    """Height and width that images are brought to: the shorter side scaled, the centre kept."""

    def __post_init__(self) -> None:
        require(8 <= self.size <= 512, f"size={self.size}: allowed is 8 to 512 pixels")


@dataclass
class Config(Sized):
    """Images in class-per-folder layout: root/<class>/*.png, or root/train/<class> and root/test/<class>."""

    root: str = place()
    """The folder."""
    test_fraction: float = TEST_FRACTION
    """Share of each class that is kept for testing where there is no train/ and test/."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction = self.test_fraction
        require(0 < fraction < 1, f"folder.test_fraction={fraction}: must lie between 0 and 1")


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.root != "", "folder: say which folder, with source.root=… or target.root=…")
    root = expanded(options.root)
    require(root.is_dir(), f"{root}: no such folder")
    return pictures("folder", root, options)


def pictures(name: str, root: Path, options: Sized, whole: int | None = None, without: str = "", **more: str) -> Found:
    """The images in ``root`` as data set ``name``, uint8 [N, 3, size, size].

    whole: how many images the data set has; with fewer it is another edition. without: a folder that is no class.
    more: goes into the provenance.
    """
    fraction = options.test_fraction if isinstance(options, Config) else TEST_FRACTION
    tree = read_tree(root, {without}, options.classes)
    divided = "test" in tree.images
    edition = "full" if whole in (None, len(tree.files)) else f"subset-{len(tree.files)}"
    classes = tuple(tree.images["train"])
    split_of: dict[Path, str] = {}
    for split, part in tree.images.items():
        for label, files in enumerate(part.values()):
            test = held_out(len(files), fraction, label) if not divided else [split == "test"] * len(files)
            split_of |= {path: "test" if tests else "train" for path, tests in zip(files, test, strict=True)}
    labels = {path: label for part in tree.images.values() for label, name in enumerate(classes) for path in part[name]}

    @cache
    def whole_set() -> tuple[Spans, dict[str, str]]:
        """What deep pictures are scaled by, and the checksum of each image."""
        checksums = {tree.name(path): sha256(path) for path in tree.files}
        _note_repeats(tree, checksums, split_of)
        return spans(tree.files), checksums

    named = {path.relative_to(root).as_posix(): path for path in tree.files}
    content = digest(named, VERSION, check=lambda: check(tree.files))

    def of_split(split: str) -> Labels:
        return Labels(np.array([labels[path] for path in tree.files if split_of[path] == split], np.int64))

    def load(split: str) -> Dataset:
        scale, checksums = whole_set()
        paths = [path for path in tree.files if split_of[path] == split]
        pixels = np.stack([read_image(path, path, options.size, scale) for path in paths])
        record = provenance(name, edition, split, len(paths), [], **more)
        record["files"] = {tree.name(path): checksums[tree.name(path)] for path in paths}
        return Dataset(pixels, of_split(split).labels, classes, record)

    shape = (3, options.size, options.size)
    idle = {"test_fraction": "train/ and test/"} if divided else {}
    return Found(
        name, edition, classes, IMAGES, shape, load, content, remark=tree.remark, labels=of_split, idle=idle,
        classes_in=None if divided else root,
    )  # fmt: skip


def _note_repeats(tree: Tree, checksums: Mapping[str, str], split_of: Mapping[Path, str]) -> None:
    """Say which images are there twice, byte for byte: in training and test data, or in two classes."""
    same: dict[str, list[Path]] = defaultdict(list)
    for path in tree.files:
        same[checksums[tree.name(path)]].append(path)
    class_of = {path: name for part in tree.images.values() for name, files in part.items() for path in files}
    for of, where in ((split_of, "both in training and test data"), (class_of, "in two classes")):
        pairs = []
        for paths in same.values():
            other = next((path for path in paths if of[path] != of[paths[0]]), None)
            if other is not None:
                pairs.append(f"{tree.name(paths[0])} = {tree.name(other)}")
        if pairs:
            count = "1 image is" if len(pairs) == 1 else f"{len(pairs)} images are"
            log.warning("%s: %s %s, byte for byte: %s", tree.root, count, where, some(sorted(pairs)))
