"""Lists of images: a line for each, its path and then its label."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from transferlab.data.pictures._tree import Tree
from transferlab.errors import UserError, nearest, printable, require, some

NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
LINE = "each line is <path> <label>"


def read_lists(root: Path, files: Mapping[str, Path], names: Sequence[str] = (), by_folder: bool = False) -> Tree:
    """The images that the lists of splits ("train" alone, or "test" too) name, by paths from ``root`` on.

    Labels are whole numbers from 0, which ``names`` may name, or the classes' names. by_folder: an image's class is
    called as its folder is, and its label says nothing. Classes are those that have images, by number or by name.
    Raises :class:`UserError`, which says file and line, for a line that is none, an image that is not there or has
    two labels, and a number that ``names`` do not have.
    """
    root = Path(os.path.normpath(root.absolute()))
    read = {split: _images(root, file, names) for split, file in files.items()}
    both = [path for path in read.get("test", {}) if path in read["train"]]
    if both:
        theirs = f"{files['test']} line {read['test'][both[0]][1]}"
        advice = (
            "leave it out of one; transductive=true sees all images without labels, and tests on all, with one list"
        )
        raise UserError(f"{theirs}: {_name(root, both[0])} is in {files['train']} too; {advice}")
    labelled = {split: {path: path.parent.name if by_folder else label for path, (label, _) in images.items()}
                for split, images in read.items()}  # fmt: skip
    labels = {label for images in labelled.values() for label in images.values()}
    numbers = {label: bool(NUMBER.fullmatch(label)) for label in labels}
    if len(set(numbers.values())) == 2 and not by_folder:
        _refuse_mixture(files, read)
    counted = all(numbers.values()) and not by_folder
    classes = sorted(labels, key=int) if counted else sorted(labels)
    where = files["train"]
    require(len(classes) >= 2, f"{where}: needs images of at least 2 classes, has {len(classes)}")
    called = {label: names[int(label)] if counted and names else printable(label) for label in classes}
    images: dict[str, dict[str, list[Path]]] = {split: {called[label]: [] for label in classes} for split in read}
    for split, of_split in labelled.items():
        for path in sorted(of_split):
            images[split][called[of_split[path]]].append(path)
    _check_counts(files, images)
    return Tree(
        root, images, told=_told(images, names), named=False, divided=files["test"].name if "test" in files else ""
    )


def read_names(file: Path) -> list[str]:
    """The classes' names, one a line, of which labels are the places."""
    names = [printable(line.strip()) for line in _lines(file) if line.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(twice is None, f"{file}: {twice} is there twice; each class needs a name of its own")
    return names


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UserError(f"{file}: not readable ({error.strerror})") from None


def _images(root: Path, file: Path, names: Sequence[str]) -> dict[Path, tuple[str, int]]:
    """Of each image its label, and the line that says it."""
    found: dict[Path, tuple[str, int]] = {}
    for number, line in enumerate(_lines(file), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"{file} line {number}"
        path, label = _parted(root, text, where)
        if NUMBER.fullmatch(label):
            label = str(int(label))
            require(not label.startswith("-"), f"{where}: label {label} is negative; labels are whole numbers from 0")
            fits = not names or int(label) < len(names)
            require(
                fits, f"{where}: label {label} is too large: names has {len(names)}, which are 0 to {len(names) - 1}"
            )
        else:
            require(not names, f"{where}: label {printable(label)} is no whole number, which names would be for")
        known, line_of_it = found.setdefault(path, (label, number))
        twice = f"{_name(root, path)} has label {label}, and {known} in line {line_of_it}"
        require(known == label, f"{where}: {printable(twice)}; an image has one")
    require(len(found) > 0, f"{file}: names no image; {LINE}")
    return found


def _parted(root: Path, text: str, where: str) -> tuple[Path, str]:
    """The image that a line names, and its label; a path may hold spaces."""
    words = text.rsplit(maxsplit=1)
    require(len(words) == 2, f"{where}: {printable(text)} has no label; {LINE}")
    path = Path(os.path.normpath(root / words[0]))
    inside = path.is_relative_to(root)
    require(inside, f"{where}: {printable(words[0])} is not in {root}; say root=<folder that the paths begin at>")
    if not path.is_file():
        whole = Path(os.path.normpath(root / text)).is_file()
        raise UserError(f"{where}: {f'{printable(text)} has no label; {LINE}' if whole else _missing(root, path)}")
    return path, words[1]


def _missing(root: Path, path: Path) -> str:
    there = path.parent.is_dir()
    hint = (
        nearest(path.name, [one.name for one in path.parent.iterdir()])
        if there
        else f"; are paths to begin at root={root}?"
    )
    return f"{_name(root, path)}: no such image{hint}"


def _refuse_mixture(files: Mapping[str, Path], read: Mapping[str, Mapping[Path, tuple[str, int]]]) -> None:
    """Name a line of each kind."""
    lines = {bool(NUMBER.fullmatch(label)): f"{files[split]} line {line}: {printable(label)}"
             for split, images in read.items() for label, line in images.values()}  # fmt: skip
    raise UserError(f"labels are whole numbers or names, not both: {lines[False]} and {lines[True]}")


def _check_counts(files: Mapping[str, Path], images: Mapping[str, Mapping[str, Sequence[Path]]]) -> None:
    if "test" not in images:
        few = [name for name, of_class in images["train"].items() if len(of_class) < 2]
        advice = "one is for testing; add images, or say test_file=…"
        require(not few, f"{files['train']}: class {some(few)} has 1 image, and 2 are needed, of which {advice}")


def _told(images: Mapping[str, Mapping[str, Sequence[Path]]], names: Sequence[str]) -> str:
    """Which classes have no images, in a few words."""
    parts = []
    for split, what in (("train", "to train on"), ("test", "to test on")):
        empty = [name for name, of_class in images.get(split, {}).items() if not of_class]
        parts += [f"no images {what} of {some(empty)}"] if empty else []
    unused = len(names) - len(images["train"]) if names else 0
    return ", ".join([*parts, *([f"no images of {unused} of {len(names)} names"] if unused else [])])


def _name(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())
