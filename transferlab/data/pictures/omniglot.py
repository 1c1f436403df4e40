"""Omniglot's background set: 964 handwritten characters of 30 alphabets by 20 drawers each, 28x28 grey.

Ink is bright on black, as in MNIST; the originals are 105x105, black on white.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

import numpy as np

from transferlab.data.archives import Paths, members, names
from transferlab.data.content import digest, digests
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.files import Remote, at_hand, files_or_sample
from transferlab.data.pictures import _samples
from transferlab.data.selection import Selection, of_classes
from transferlab.errors import UserError, nearest, require

FOLDERS = ("omniglot", "omniglot-py", "Omniglot")
FULL: dict[str, Remote | None] = {
    "images_background.zip": Remote(
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background.zip",
        "68d2efa1b9178cc56df9314c21c6e718",
    )
}
SMALL = ("images_background_small1.zip", "images_background_small2.zip")
CHOICES = [("images_background",), tuple(FULL), SMALL, SMALL[:1], SMALL[1:]]
SAMPLE = {"Greek": 24, "Latin": 26}
"""How many characters of which alphabets the package has."""
SIZE = 28
DRAWERS = frozenset(range(1, 21))
TRAINING_DRAWERS = 16
"""The last fifth of the drawers is for testing."""
_NAME = re.compile(r"([^/]+)/(character\d+)/\d+_(\d+)\.png$")


@dataclass
class Config(Selection):
    """Omniglot (Lake, Salakhutdinov, Tenenbaum, Science 2015), MIT licence. Classes are called Greek/character01."""

    alphabets: list[str] = field(default_factory=list)
    """Only these; empty: all."""


def find(options: Config, settings: Settings) -> Found:
    """Reads the whole background set, or both or one of the small ones, whose repeats count once.

    Raises :class:`~transferlab.errors.UserError` naming a character without its 20 drawings.
    """
    paths = _paths(settings)
    if paths:
        everything = _characters(paths)
        edition = "+".join(path.stem.removeprefix("images_background").removeprefix("_") or "full" for path in paths)
    else:
        everything = tuple(f"{name}/character{i + 1:02}" for name, count in SAMPLE.items() for i in range(count))
        edition = "sample"
    alphabets = sorted({name.partition("/")[0] for name in everything})
    for name in options.alphabets:
        allowed = ", ".join(alphabets) + nearest(name, alphabets)
        require(name in alphabets, f"omniglot.alphabets: no {name} in edition {edition}; allowed are {allowed}")
    wanted = options.alphabets or alphabets
    classes = tuple(name for name in everything if name.partition("/")[0] in wanted)
    shape = (1, SIZE, SIZE)
    if not paths:
        return _samples.sample(
            "omniglot", classes, shape, lambda split: of_classes(_samples.load("omniglot", split, everything), classes)
        )
    content = digest(paths, check=lambda: [_read(paths, everything, split) for split in ("train", "test")])

    def of_split(split: str) -> Labels:
        training = sum(drawer <= TRAINING_DRAWERS for drawer in DRAWERS)
        return Labels(np.repeat(np.arange(len(classes)), len(DRAWERS) - training if split == "test" else training))

    def load(split: str) -> Dataset:
        images, labels = _read(paths, classes, split)
        record = {
            "name": "omniglot", "edition": edition, "split": split, "count": len(images), "files": digests(paths),
            "alphabets": wanted,
        }  # fmt: skip
        return Dataset(images, labels, classes, record)

    return Found("omniglot", edition, classes, IMAGES, shape, load, content, labels=of_split)


def _characters(paths: Paths) -> tuple[str, ...]:
    """Every character there is, each of which must have its 20 drawings."""
    drawers: dict[str, set[int]] = {}
    for name in names(paths):
        if parts := _parse(name):
            drawers.setdefault(parts[0], set()).add(parts[1])
    require(len(drawers) > 0, f"{paths[0]}: holds no <alphabet>/character01/0001_01.png")
    for character, there in drawers.items():
        missing = len(DRAWERS - there)
        require(there == DRAWERS, f"{paths[0]}: {character} lacks {missing} of {len(DRAWERS)} drawings")
    return tuple(sorted(drawers))


def _paths(settings: Settings) -> Paths:
    """What to read; nothing for the packaged sample."""
    paths = [] if settings.edition == "sample" else at_hand(FOLDERS, CHOICES, settings)
    files = {} if paths else files_or_sample("omniglot", FOLDERS, FULL, settings, sample=True)
    return tuple(paths or (files or {}).values())


def _parse(name: str) -> tuple[str, int] | None:
    """ "Greek/character01" and the drawer, from 1, of a drawing's path; None for another file."""
    match = _NAME.search(name)
    return (f"{match[1]}/{match[2]}", int(match[3])) if match else None


def _read(paths: Paths, classes: tuple[str, ...], split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 1, 28, 28] and int64 [N], sorted by class, then drawer."""
    label = {name: i for i, name in enumerate(classes)}

    def wanted(name: str) -> bool:
        parts = _parse(name)
        return parts is not None and parts[0] in label and (parts[1] > TRAINING_DRAWERS) == (split == "test")

    images: dict[tuple[int, int], np.ndarray] = {}
    for name, content in members(paths, wanted):
        parts = _parse(name)
        assert parts is not None
        images[label[parts[0]], parts[1]] = _image(content, f"{paths[0].parent}: {name}")
    keys = sorted(images)
    return np.stack([images[key] for key in keys]), np.array([label for label, _ in keys], np.int64)


def _image(content: bytes, where: str) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            ink = ImageOps.invert(image.convert("L"))
            return np.asarray(ink.resize((SIZE, SIZE), Image.Resampling.BILINEAR))[None]
    except Exception as error:  # Pillow's readers raise many kinds
        raise UserError(f"{where}: not a readable image ({error})") from None
