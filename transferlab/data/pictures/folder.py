"""Your own images: one folder of them for each class."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from transferlab.data.content import digest, version
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.files import provenance
from transferlab.data.pictures._images import check, read_images, spans
from transferlab.data.pictures._tree import Tree, read_tree
from transferlab.data.selection import Selection
from transferlab.data.split import held_out
from transferlab.data.stored import Samples, kept, of_rows
from transferlab.errors import require, some
from transferlab.files import expanded, sha256
from transferlab.options import added, place

log = logging.getLogger(__name__)
VERSION = 2
"""Of how pictures become pixels; to be raised with every change of that."""
PIECE = 64
"""Images that are decoded at a time."""
SIZE = 32
"""Pixels that images are read at where no net says how many."""
BOTH = "train and test"
"""Where an image is that the method sees, and that is for testing too."""
TEST_FRACTION = 0.2
"""Share of each class for testing where neither the data nor the user says which."""


@dataclass
class Sized(Selection):
    """Images of many sizes."""

    size: int | None = None
    """Height and width that images are read at, the shorter side scaled, the centre kept; null: model.input_size."""

    test_fraction: float = TEST_FRACTION
    """Share of each class that is kept for testing where there is no train/ and test/."""

    transductive: bool = added(False)
    """true: all images are seen without labels, and all are for testing, as in papers on unsupervised adaptation; for a
    domain whose labels the method does not see."""

    def __post_init__(self) -> None:
        require(self.size is None or 8 <= self.size <= 512, f"size={self.size}: allowed is 8 to 512 pixels")
        fraction = self.test_fraction
        require(0 < fraction < 1, f"test_fraction={fraction}: must lie between 0 and 1")


@dataclass
class Config(Sized):
    """Images in class-per-folder layout: root/<class>/*.png, or root/train/<class> and root/test/<class>."""

    root: str = place()
    """The folder."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.root != "", "folder: say which folder, with source.root=… or target.root=…")
    root = expanded(options.root)
    require(root.is_dir(), f"{root}: no such folder")
    return pictures("folder", root, options)


def pictures(name: str, root: Path, options: Sized, whole: int | None = None, without: str = "", **more: str) -> Found:
    """The images in ``root`` as data set ``name``: :func:`of_tree`. without: a folder that is no class."""
    return of_tree(name, read_tree(root, {without}, options.classes), options, whole, **more)


def of_tree(name: str, tree: Tree, options: Sized, whole: int | None = None, **more: str) -> Found:
    """The images of ``tree`` as data set ``name``, uint8 [N, 3, size, size].

    whole: how many images the data set has; with fewer it is another edition. more: goes into the provenance.
    """
    size, root, files, classes, labels = options.size or SIZE, tree.root, tree.files, tree.classes, tree.labels
    edition = "full" if whole in (None, len(files)) else f"subset-{len(files)}"
    split_of = dict.fromkeys(files, BOTH) if options.transductive else _splits(tree, options.test_fraction)
    named = {path.relative_to(root).as_posix(): path for path in files}
    content = digest(named, VERSION, check=lambda: check(files))
    known = content if tree.named else digest([], content, tree.listing)
    rows = {split: np.array([row for row, path in enumerate(files) if split in split_of[path]], np.int64)
            for split in ("train", "test")}  # fmt: skip

    def unchanged() -> None:
        require(digest(named, VERSION) == content, f"{root}: changed while it was read; start the command again")

    def of_split(split: str) -> Labels:
        return Labels(np.array([labels[files[row]] for row in rows[split]], np.int64))

    @cache
    def checksums() -> dict[str, str]:
        each = _checksums(name, content, tree, unchanged)
        _note_repeats(tree, each, split_of)
        return each

    def load(split: str) -> Dataset:
        record = provenance(name, edition, split, len(rows[split]), [], **more)
        record["files"] = {place: checksums()[place] for place in (tree.name(files[row]) for row in rows[split])}
        pixels = of_rows(_pixels(name, content, tree, size, unchanged), rows[split])
        return Dataset(pixels, of_split(split).labels, classes, record)

    why = "transductive=true" if options.transductive else tree.divided
    return Found(
        name, edition, classes, IMAGES, (3, size, size), load, known, remark=tree.remark,
        labels=of_split, idle={"test_fraction": why} if why else {},
        classes_in=root if tree.named and not tree.divided else None,
    )  # fmt: skip


def _splits(tree: Tree, fraction: float) -> dict[Path, str]:
    """To which split each file belongs: as the folders say, or else a ``fraction`` of each class is for testing."""
    split_of: dict[Path, str] = {}
    for split, part in tree.images.items():
        for label, files in enumerate(part.values()):
            test = [split == "test"] * len(files) if "test" in tree.images else held_out(len(files), fraction, label)
            split_of |= {path: "test" if tests else "train" for path, tests in zip(files, test, strict=True)}
    return split_of


def _pixels(name: str, content: str, tree: Tree, size: int, unchanged: Callable[[], None]) -> Samples:
    """All images in the order of the tree's files, uint8 [N, 3, size, size], decoded once and kept in the cache."""

    def decode() -> Iterator[np.ndarray]:
        from tqdm import tqdm

        files = tree.files
        scale = spans(files)
        with tqdm(total=len(files), desc=f"decoding {name}", unit="images", disable=None) as bar:
            for start in range(0, len(files), PIECE):
                yield read_images(files[start : start + PIECE], size, scale)
                bar.update(len(files[start : start + PIECE]))
        unchanged()  # before anything is kept under the content's name

    return kept(name, [content, size, version("pillow")], len(tree.files), decode)


def _checksums(name: str, content: str, tree: Tree, unchanged: Callable[[], None]) -> dict[str, str]:
    """SHA-256 of each file by its name in the tree, computed once and kept as the images are."""

    def compute() -> Iterator[np.ndarray]:
        yield np.stack([np.frombuffer(bytes.fromhex(sha256(path)), np.uint8) for path in tree.files])
        unchanged()

    each = np.asarray(kept(f"{name}-checksums", [content], len(tree.files), compute))
    return {tree.name(path): bytes(row).hex() for path, row in zip(tree.files, each, strict=True)}


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
