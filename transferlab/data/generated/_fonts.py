"""Digits in the fonts that come inside Python packages: matplotlib's, and those of the extra ``fonts``."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from transferlab.data.content import digest, drawn, remembered
from transferlab.errors import require

SIZE = 48
"""Pixels of a digit's cell."""
HEIGHT = 32
"""Pixels from the lowest to the highest ink of a font's ten digits."""
FAMILIES: dict[str, dict[str, tuple[str, ...]]] = {
    "matplotlib": {
        "DejaVu Sans": ("DejaVuSans.ttf", "DejaVuSans-*.ttf", "DejaVuSansMono*.ttf"),
        "DejaVu Serif": ("DejaVuSerif.ttf", "DejaVuSerif-*.ttf"),
        "Computer Modern": ("cm[br]10.ttf", "cmss10.ttf", "cmt[it]10.ttf"),
        "STIX": ("STIXGeneral*.ttf",),
    },
    "font_roboto": {"Roboto": ("Roboto-*.ttf",)},
    "font_lato": {"Lato": ("Lato-*.ttf",)},
    "font_source_sans_pro": {"Source Sans": ("SourceSansPro-*.ttf",)},
    "font_source_serif_pro": {"Source Serif": ("SourceSerifPro-*.ttf",)},
    "font_manrope": {"Manrope": ("Manrope-*[a-z].ttf",)},
    "font_hanken_grotesk": {"Hanken Grotesk": ("HankenGrotesk-*.otf",)},
    "font_caladea": {"Caladea": ("Caladea-*.ttf",)},
    "font_amatic_sc": {"Amatic SC": ("AmaticSC-*.ttf",)},
    "font_fredoka_one": {"Fredoka One": ("FredokaOne-*.ttf",)},
    "font_intuitive": {"Intuitive": ("Intuitive.ttf",)},
}  # fmt: skip
"""Each package's families, and which of its files are of one."""
TEST = frozenset({"STIX", "Caladea", "Source Sans", "Fredoka One"})
"""Families that training never sees."""


@cache
def missing() -> tuple[str, ...]:
    """Packages of the extra that are not installed."""
    return tuple(package for package in FAMILIES if importlib.util.find_spec(package) is None)


@cache
def files(packages: tuple[str, ...], split: str) -> tuple[Path, ...]:
    """The fonts of a split: of families of its own."""
    paths: list[Path] = []
    for package in packages:
        for family, patterns in FAMILIES[package].items():
            if (family in TEST) == (split == "test"):
                found = sorted(path for pattern in patterns for path in _folder(package).glob(pattern))
                require(
                    len(found) > 0, f"{_folder(package)}: has no font {', '.join(patterns)}; install {package} again"
                )
                paths += found
    return tuple(paths)


def _folder(package: str) -> Path:
    if package == "matplotlib":
        import matplotlib

        return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "files"


def ink_digest(paths: tuple[Path, ...]) -> str:
    """SHA-256 of the ink of :func:`digits`."""
    return drawn(lambda: digits(paths)[0], digest(paths))


@remembered(maxsize=2)
def digits(paths: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Ink uint8 [fonts, 10, 48, 48] of the digits, in the middle of their cells, and its width in pixels [fonts, 10].

    All of a font stand on one line, and from the lowest to the highest ink are 32 pixels.
    """
    ink = np.stack([_font(path) for path in paths])
    columns = np.arange(SIZE)
    there = ink.max(2) > 0
    widths = np.where(there, columns, -1).max(2) - np.where(there, columns, SIZE).min(2) + 1
    return ink, widths


def _font(path: Path) -> np.ndarray:
    """uint8 [10, 48, 48], drawn four times larger and averaged."""
    from PIL import Image, ImageDraw, ImageFont

    boxes = np.array([ImageFont.truetype(str(path), 400).getbbox(digit, anchor="ls") for digit in "0123456789"])
    top, bottom = boxes[:, 1].min(), boxes[:, 3].max()
    fine = 4
    font = ImageFont.truetype(str(path), round(400 * fine * HEIGHT / (bottom - top)))
    base = fine * SIZE / 2 - (top + bottom) / 2 * font.size / 400
    cells = []
    for digit in "0123456789":
        cell = Image.new("L", (fine * SIZE, fine * SIZE))
        left, _, right, _ = font.getbbox(digit, anchor="ls")
        place = (fine * SIZE / 2 - (left + right) / 2, base)
        ImageDraw.Draw(cell).text(place, digit, fill=255, font=font, anchor="ls")
        cells.append(np.asarray(cell.resize((SIZE, SIZE), Image.Resampling.BOX)))
    return np.stack(cells)
