"""Patches of natural photographs: unlabelled images to learn features from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transferlab.data.contract import IMAGES, Dataset, Found, Settings
from transferlab.data.generated import _photographs
from transferlab.data.selection import Selection
from transferlab.errors import require


@dataclass
class Config(Selection):
    """Patches of BSDS500's photographs (Arbelaez et al. 2011), as Raina et al. 2007 learn bases from; no labels."""

    size: int = 14
    """Height and width in pixels, cut at the photographs' own resolution."""
    count: int = 10000
    """Training patches; a fifth as many, from other photographs, are for testing."""
    colour: bool = False
    """Three channels instead of grey."""
    seed: int = 0
    """Seed of the places; the same for all runs that are to be compared."""

    def __post_init__(self) -> None:
        # The smallest photograph's test part is 171 pixels wide.
        require(4 <= self.size <= 128, f"patches.size={self.size}: allowed is 4 to 128 pixels")
        require(5 <= self.count <= 10**6, f"patches.count={self.count}: allowed is 5 to 1,000,000")
        require(self.seed >= 0, f"patches.seed={self.seed}: must not be negative")


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    photographs = _photographs.best("patches", settings)
    edition = photographs.edition
    channels = 3 if options.colour else 1

    def load(split: str) -> Dataset:
        count = options.count if split == "train" else options.count // 5
        rng = np.random.default_rng([options.seed, split == "test"])
        cut = _photographs.patches(photographs.read(split), count, options.size, rng)
        record = {
            "name": "patches", "edition": edition, "split": split, "count": count, "seed": options.seed, "files": {},
            "photographs": f"{photographs.name} ({photographs.parts[split]})",
            "photographs_sha256": photographs.digest,
        }  # fmt: skip
        return Dataset(cut if options.colour else grey(cut), None, (), record)

    return Found("patches", edition, (), IMAGES, (channels, options.size, options.size), load, photographs.digest)


def grey(images: np.ndarray) -> np.ndarray:
    """Luma of ITU-R 601 as Pillow rounds it: uint8 [N, 3, H, W] -> uint8 [N, 1, H, W]."""
    red, green, blue = (images[:, i : i + 1].astype(np.uint32) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)
