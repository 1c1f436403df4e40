"""SYN NUMBERS: numbers of one to three digits in many fonts and colours, labelled by the digit in the middle.

Ganin & Lempitsky 2015 made some 500,000 from Windows' fonts, which are not released. These here are a function of
the fonts, the seed and :data:`VERSION`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.generated import _fonts
from transferlab.data.generated._generated import (
    Draws,
    balanced,
    bytes_of,
    camera,
    check,
    column,
    poses,
    slope,
    versioned,
    warped,
)
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection
from transferlab.data.stored import kept
from transferlab.errors import DataMissing

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
VERSION = 1
BATCH = 500
"""Images made at a time, from random numbers of their own."""


@dataclass
class Config(Selection):
    """Generated numbers, after SYN NUMBERS (Ganin & Lempitsky, ICML 2015, section 4)."""

    count: int = 100000
    """Training images; a tenth as many, in other families of fonts, are for testing."""
    size: int = 32
    """Height and width in pixels, a multiple of 8."""
    seed: int = 0
    """Seed of the images; the same for all runs that are to be compared."""

    def __post_init__(self) -> None:
        check("syn_numbers", self.count, 100, self.size, self.seed)


def find(options: Config, settings: Settings) -> Found:
    """The edition is full with all fonts of the extra ``fonts``, sample with matplotlib's alone."""
    missing = _fonts.missing()
    everything = settings.edition != "sample" and not missing
    if missing:
        todo = f"pip install 'transferlab[fonts]' for {', '.join(missing)}"
        if settings.edition == "full":
            raise DataMissing(f"syn_numbers: data.edition=full: fonts are missing; {todo}", "fonts")
        if settings.edition == "auto":
            log.warning("syn_numbers: taking matplotlib's fonts alone; %s", todo)
    edition = versioned("full" if everything else "sample", VERSION)
    packages = tuple(_fonts.FAMILIES) if everything else ("matplotlib",)
    size = options.size
    fonts = {split: _fonts.files(packages, split) for split in ("train", "test")}
    ink = {split: _fonts.ink_digest(paths) for split, paths in fonts.items()}
    content = digest([], VERSION, options.seed, options.count, size, ink)

    def of_split(split: str) -> Labels:
        count = options.count if split == "train" else options.count // 10
        return Labels(balanced(count, 10, options.seed, split))

    def load(split: str) -> Dataset:
        labels = of_split(split).labels
        count = len(labels)
        images = kept(
            "syn_numbers",
            [content, split],
            count,
            lambda: [generate(labels, size, *_fonts.digits(fonts[split]), options.seed, split)],
        )
        record = {
            "name": "syn_numbers", "edition": edition, "split": split, "count": count, "generator": VERSION,
            "seed": options.seed, "size": size, "fonts": [path.name for path in fonts[split]],
            "digits_sha256": ink[split], "files": {},
        }  # fmt: skip
        return Dataset(images, labels, CLASSES, record)

    return Found("syn_numbers", edition, CLASSES, IMAGES, (3, size, size), load, content, labels=of_split)


def generate(labels: np.ndarray, size: int, ink: np.ndarray, widths: np.ndarray, seed: int, split: str) -> np.ndarray:
    """uint8 [N, 3, size, size] with digits ``labels`` [N] in the middle, in the fonts of :func:`_fonts.digits`."""
    import torch
    from tqdm import tqdm

    glyphs = torch.from_numpy(ink)
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for start in tqdm(range(0, len(labels), BATCH), desc="syn_numbers", disable=None, leave=False):
        draws = Draws(np.random.default_rng([seed, split == "test", start]), len(labels[start : start + BATCH]))
        numbers = written(draws, labels[start : start + BATCH], glyphs, widths, size)
        images[start : start + BATCH] = bytes_of(camera(draws, coloured(draws, numbers)))
    return images


def written(draws: Draws, labels: np.ndarray, glyphs: Tensor, widths: np.ndarray, size: int) -> Tensor:
    """Ink [B, 1, S, S] in [0, 1] of numbers of one to three digits, one of which, ``labels`` [B], is in the middle."""
    import torch

    length = draws.rng.integers(1, 4, draws.count)
    before = (draws.rng.random(draws.count) * length).astype(np.int64)
    font = draws.rng.integers(len(glyphs), size=draws.count)
    digits = draws.rng.integers(10, size=(draws.count, 5))
    digits[:, 2] = labels
    gap = draws.uniform(0.04, 0.4) * _fonts.HEIGHT
    to_image = _poses(draws)
    ink = torch.zeros(draws.count, 1, size, size)
    for slot in range(-2, 3):
        rows = np.flatnonzero((slot >= -before) & (slot < length - before))
        digit, which = digits[rows, slot + 2], font[rows]
        # From the middle digit's centre to this one's: half of each of them, whole ones between, and the gaps.
        path = widths[which[:, None], digits[rows][:, min(2, slot + 2) : max(2, slot + 2) + 1]]
        far = path.sum(1) - (path[:, 0] + path[:, -1]) / 2 + abs(slot) * gap[rows]
        shift = np.tile(np.eye(3), (len(rows), 1, 1))
        shift[:, 0, 2] = np.sign(slot) * far * 2 / _fonts.SIZE
        picked = glyphs[torch.from_numpy(which), torch.from_numpy(digit)][:, None].float() / 255
        rows_ = torch.from_numpy(rows)
        ink[rows_] = torch.maximum(ink[rows_], warped(picked, np.linalg.inv(to_image[rows] @ shift), size))
    return ink


def _poses(draws: Draws) -> np.ndarray:
    """[B, 3, 3] from places in the middle digit's cell to places in the image; both reach from -1 to 1."""
    tall = draws.uniform(0.5, 0.95) * _fonts.SIZE / _fonts.HEIGHT
    wide, slant = tall * draws.uniform(0.7, 1.2), tall * draws.normal(0.12)
    return poses(draws.normal(0.04, 2), draws.normal(8), wide, tall, slant, draws.normal(0, 2))


def _colours(draws: Draws) -> np.ndarray:
    """float64 [B, 3] in [0, 1], from grey to vivid."""
    colours = draws.rng.random((draws.count, 3))
    grey = colours.mean(1, keepdims=True)
    return grey + (colours - grey) * draws.uniform(0.1, 1)[:, None]


def coloured(draws: Draws, ink: Tensor) -> Tensor:
    """Images [B, 3, S, S] of ``ink`` [B, 1, S, S]: two shaded colours that differ, some digits with an outline."""
    import torch.nn.functional as F

    below, above, edge = (_colours(draws) for _ in range(3))
    near = np.linalg.norm(above - below, axis=1) < 0.45
    above[near] = (below[near] + 0.5) % 1
    across = slope(draws, ink.shape[-1])
    ground = column(below) + column(draws.normal(0.12, 3)) * across
    blobs = F.interpolate(column(draws.normal(1, 25)).view(-1, 1, 5, 5), ink.shape[2:], mode="bilinear")
    ground = ground + blobs * column(draws.uniform(0, 0.1, share=0.5))
    outline = F.max_pool2d(ink, 3, stride=1, padding=1) * column(draws.uniform(1, 1, share=0.2))
    ground = ground + outline * (column(edge) - ground)
    return ground + ink * (column(above) + column(draws.normal(0.08, 3)) * across - ground)
