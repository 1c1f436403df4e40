"""SYN SIGNS: the traffic signs of GTSRB drawn, and photographed by arithmetic.

Ganin et al. 2016 train on 100,000 such images, made by others (Moiseev et al. 2013) and not released. These here are a
function of the drawings, the photographs behind them, the seed and :data:`VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.generated import _photographs, _sign_drawings
from transferlab.data.generated._generated import (
    Draws,
    balanced,
    bytes_of,
    camera,
    check,
    column,
    places,
    poses,
    slope,
    versioned,
    warped,
)
from transferlab.data.pictures.gtsrb import CLASSES
from transferlab.data.selection import Selection
from transferlab.data.stored import kept

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
BATCH = 500
"""Images made at a time, from random numbers of their own."""


@dataclass
class Config(Selection):
    """Generated traffic signs, after SYN SIGNS (Moiseev, Konev, Chigorin, Konushin 2013; Ganin et al. 2016)."""

    count: int = 100000
    """Training images; a tenth as many, before other photographs, are for testing."""
    size: int = 40
    """Height and width in pixels, a multiple of 8."""
    seed: int = 0
    """Seed of the images; the same for all runs that are to be compared."""

    def __post_init__(self) -> None:
        check("syn_signs", self.count, 10 * len(CLASSES), self.size, self.seed)


def find(options: Config, settings: Settings) -> Found:
    """The edition is that of the photographs behind the signs: all or a part of BSDS500's, or the packaged ones."""
    photographs = _photographs.best("syn_signs", settings)
    edition = versioned(photographs.edition, VERSION)
    size = options.size
    drawings = _sign_drawings.digest()
    content = digest([], VERSION, options.seed, options.count, size, drawings, photographs.digest)

    def of_split(split: str) -> Labels:
        count = options.count if split == "train" else options.count // 10
        return Labels(balanced(count, len(CLASSES), options.seed, split))

    def load(split: str) -> Dataset:
        labels = of_split(split).labels
        count = len(labels)
        images = kept(
            "syn_signs",
            [content, split],
            count,
            lambda: [generate(labels, size, photographs.read(split), options.seed, split)],
        )
        record = {
            "name": "syn_signs", "edition": edition, "split": split, "count": count, "generator": VERSION,
            "drawings_sha256": drawings, "seed": options.seed, "size": size, "files": {},
            "photographs": f"{photographs.name} ({photographs.parts[split]})", "photographs_sha256": photographs.digest,
        }  # fmt: skip
        return Dataset(images, labels, CLASSES, record)

    return Found("syn_signs", edition, CLASSES, IMAGES, (3, size, size), load, content, labels=of_split)


def generate(labels: np.ndarray, size: int, photographs: list[np.ndarray], seed: int, split: str) -> np.ndarray:
    """uint8 [N, 3, size, size] of signs ``labels`` [N] before pieces of ``photographs``, each uint8 [H, W, 3]."""
    import torch
    from tqdm import tqdm

    signs = torch.tensor(_sign_drawings.drawings()) / 255
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for start in tqdm(range(0, len(labels), BATCH), desc="syn_signs", disable=None, leave=False):
        rng = np.random.default_rng([seed, split == "test", start])
        part = labels[start : start + BATCH]
        behind = torch.from_numpy(_photographs.patches(photographs, len(part), size, rng)).float() / 255
        images[start : start + BATCH] = bytes_of(photographed(signs, part, behind, rng))
    return images


def photographed(signs: Tensor, labels: np.ndarray, behind: Tensor, rng: np.random.Generator) -> Tensor:
    """Images [B, 3, S, S] of signs ``labels`` [B] before ``behind`` [B, 3, S, S].

    signs: [classes, 4, h, w], colours and opacity, all in [0, 1].
    """
    draws = Draws(rng, len(labels))
    size = behind.shape[-1]
    scale, place = draws.uniform(0.58, 0.92), draws.normal(0.04, 2)
    light = np.exp(draws.uniform(np.log(0.15), np.log(2)))
    narrow = draws.uniform(0.7, 1, share=0.3, other=1)  # seen from the side
    to_image = poses(place, draws.normal(5), scale * narrow, scale, scale * draws.normal(0.05), draws.normal(0.06, 2))
    reach = np.diag([_sign_drawings.REACH, _sign_drawings.REACH, 1])
    seen = warped(signs[labels], np.linalg.inv(to_image @ reach), size)
    grey = behind.mean(1, keepdim=True)
    behind = grey + (behind - grey) * column(draws.uniform(0, 1))
    behind = behind * column(light * np.exp(draws.normal(0.6))) * column(np.exp(draws.normal(0.06, 3)))
    behind = _post(draws, behind, scale, place, light)
    image = behind.clamp(0, 1.3) * (1 - seen[:, 3:]) + _lit(draws, seen) * column(light)
    return camera(draws, image)


def _lit(draws: Draws, seen: Tensor) -> Tensor:
    """Colours [B, 3, S, S], times opacity, of signs [B, 4, S, S] whose paint has faded, half in the shade."""
    opacity = seen[:, 3:]
    paint = seen[:, :3]
    grey = paint.mean(1, keepdim=True)
    paint = grey + (paint - grey) * column(draws.uniform(0.45, 1.25))
    paint = paint + (0.75 * opacity - paint) * column(draws.uniform(0, 0.5, share=0.25))
    paint = paint.clamp(0, 1) * column(np.exp(draws.normal(0.07, 3)))
    across = slope(draws, seen.shape[-1])
    edge = ((across - column(draws.uniform(-0.6, 0.6))) * column(draws.uniform(2, 30))).sigmoid()
    return paint * (1 - column(draws.uniform(0.2, 0.7, share=0.3)) * edge) * (1 + column(draws.normal(0.1)) * across)


def _post(draws: Draws, behind: Tensor, scale: np.ndarray, place: np.ndarray, light: np.ndarray) -> Tensor:
    """``behind`` with a post under most signs, and a plate or another sign's edge above or below some."""
    x, y = places(behind.shape[-1])
    middle, height = column(place[:, 0]), column(place[:, 1])
    shown = column(draws.uniform(1, 1, share=0.6))
    post = ((x - middle).abs() < column(draws.uniform(0.03, 0.1))) & (y > height)
    behind = behind + post * shown * (column(light * draws.uniform(0.15, 0.7)) - behind)
    side = np.sign(draws.uniform(-1, 2))
    from_sign = (y - height) * column(side) - column(scale * draws.uniform(0.95, 1.15))
    plate = (
        (from_sign > 0)
        & (from_sign < column(draws.uniform(0.1, 0.6)))
        & ((x - middle).abs() < column(scale * draws.uniform(0.5, 1)))
    )
    colour = column(draws.rng.uniform(0.05, 0.95, (draws.count, 3)) * light[:, None])
    return behind + plate * column(draws.uniform(1, 1, share=0.25)) * (colour - behind)
