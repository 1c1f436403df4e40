"""Characters described by their printed form, for zero-shot learning from one set of characters to another.

Larochelle, Erhan, Bengio, Zero-data Learning of New Tasks, AAAI 2008, describe each character by a small bitmap.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from transferlab.data.content import digest, drawn
from transferlab.data.contract import Dataset, Found

SIZE = 7
"""Height and width of the bitmaps; the paper's are 7 by 5."""


def described(found: Found) -> Found:
    """``found``, whose classes are characters, with the bitmaps of :func:`bitmaps` as signatures."""

    def load(split: str) -> Dataset:
        return dataclasses.replace(found.load(split), signatures=bitmaps(found.classes))

    signatures = drawn(lambda: bitmaps(found.classes), found.classes, digest([Path(__file__)]))
    return dataclasses.replace(
        found, load=load, digest=digest([], found.digest, signatures), signature_size=2 * SIZE**2
    )


@cache
def bitmaps(characters: tuple[str, ...]) -> np.ndarray:
    """float32 [C, 2 * SIZE ** 2], 0 to 1: each character in upper case beside the same in lower case."""
    return np.stack([np.concatenate([glyph(c.upper()).ravel(), glyph(c.lower()).ravel()]) for c in characters])


def glyph(character: str) -> np.ndarray:
    """float32 [SIZE, SIZE]: DejaVu Sans, set in a square as MNIST's digits are, 20 of 28 pixels, and averaged."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (160, 160))
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(path), 64)
    ImageDraw.Draw(canvas).text((40, 40), character, fill=255, font=font)
    shape = canvas.crop(canvas.getbbox())
    scale = 20 / max(shape.size)
    width, height = (max(1, round(side * scale)) for side in shape.size)
    square = Image.new("L", (28, 28))
    square.paste(shape.resize((width, height), Image.Resampling.LANCZOS), ((28 - width) // 2, (28 - height) // 2))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255
