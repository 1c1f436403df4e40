"""Draw docs/images/syn_signs.png and syn_numbers.png: python scripts/draw_contact_sheets.py <data.root>.

Signs: of each class the drawing, two generated images and one of the clearest photographs of GTSRB. Numbers: a row for
each label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import _sign_drawings

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIDE = 48


def enlarge(image: np.ndarray) -> np.ndarray:
    """uint8 [3, H, W] -> uint8 [48, 48, 3]."""
    return np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def sharpest(images: np.ndarray) -> np.ndarray:
    """Of uint8 [N, 3, H, W] the one with the most contrast in the middle and few white pixels; levels stretched."""
    grey = images.mean(1)
    middle = grey[:, 10:-10, 10:-10].reshape(len(grey), -1)
    low, high = np.percentile(middle, (8, 92), axis=1)
    white = (grey > 250).mean((1, 2))
    best = images[np.argmax(high - low - 200 * np.maximum(white - 0.1, 0))]
    return np.asarray(ImageOps.autocontrast(Image.fromarray(best.transpose(1, 2, 0)), cutoff=2)).transpose(2, 0, 1)


def grid(cells: list[np.ndarray], columns: int) -> Image.Image:
    blank = np.full_like(cells[0], 255)
    cells = [*cells, *[blank] * (-len(cells) % columns)]
    rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return Image.fromarray(np.concatenate(rows))


def signs(root: str) -> None:
    settings = DataConfig(root=root, download="false")
    photographs = data.find("gtsrb", data.config_class("gtsrb")(), settings).load("train")
    generated = data.find("syn_signs", data.config_class("syn_signs")(count=860), settings).load("train")
    assert photographs.labels is not None and generated.labels is not None
    cells = []
    for label, drawing in enumerate(_sign_drawings.drawings()):
        opacity = drawing[3:] / 255
        drawn = (drawing[:3] + 200 * (1 - opacity)).astype(np.uint8)
        made = generated.inputs[generated.labels == label][:2]
        real = sharpest(photographs.inputs[photographs.labels == label])
        cells.append(np.concatenate([enlarge(image) for image in (drawn, *made, real)], 1))
    save(grid(cells, 4), "syn_signs.png")


def numbers(root: str) -> None:
    settings = DataConfig(root=root, download="false")
    generated = data.find("syn_numbers", data.config_class("syn_numbers")(count=1000), settings).load("train")
    assert generated.labels is not None
    cells = [enlarge(image) for label in range(10) for image in generated.inputs[generated.labels == label][:12]]
    save(grid(cells, 12), "syn_numbers.png")


def save(picture: Image.Image, name: str) -> None:
    picture.save(IMAGES / name, optimize=True)
    print(f"{name}: {(IMAGES / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    signs(sys.argv[1])
    numbers(sys.argv[1])
