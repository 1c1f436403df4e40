"""Pictures of any kind as 8-bit RGB: with their grey levels, their ink, and upright."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from transferlab.errors import UserError, unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""A file that is called so must be a readable image; others are images where they begin as one."""
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
_SYSTEM = frozenset({
    "__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "#snapshot", "@tmp", "$recycle.bin", "recycler",
    "lost+found", "found.000", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
})  # fmt: skip
ORIENTATION = 0x0112
FEW = 16
"""Floats that stay below are shares, not whole grey levels: there would be too few of these to see anything by."""
LIGHT = 240
"""Mean grey level from which ink could not be seen on white."""

Spans = dict[str, tuple[float, float]]
"""For a mode of Pillow's with more than 8 bits, the least and the greatest value of a data set's pictures."""


def is_system(name: str) -> bool:
    """Whether a file or folder called so is hidden, or what a desktop, notebook or file server leaves behind."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def is_image(path: Path) -> bool:
    """By its name, or else by its first bytes; what is not a file, such as a pipe or a dead link, is none."""
    try:
        if not path.is_file():
            return False
        if path.suffix.lower() in SUFFIXES:
            return True
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as error:
        unreadable(error)
    webp = start[:4] == b"RIFF" and start[8:] == b"WEBP"
    return webp or start[4:] == b"ftypavif" or start.startswith(_BEGINNINGS)


def folders_of(folder: Path) -> set[Path]:
    """Where ``folder`` and the folders in it really lie."""
    try:
        return {folder.resolve(), *(path.resolve() for path in folder.iterdir() if path.is_dir())}
    except OSError as error:
        unreadable(error)


def images_in(folder: Path, seen: set[Path]) -> tuple[list[Path], list[Path]]:
    """The images in ``folder`` and in its sub-folders, sorted, and what is passed over.

    A linked folder is followed, but not to a place that is ``seen`` already or holds one that is; what is followed is
    seen then. So no class gets another's images, and nothing goes round in a circle. Raises :class:`UserError` for a
    folder that cannot be read.
    """
    images: list[Path] = []
    passed: list[Path] = []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        kept = []
        for name in sorted(folders):
            path = Path(place, name)
            end = path.resolve() if path.is_symlink() else None
            again = end is not None and any(end.is_relative_to(one) or one.is_relative_to(end) for one in seen)
            if again or is_system(name):
                passed.append(path)
            else:
                if end is not None:
                    seen.add(end)
                kept.append(name)
        folders[:] = kept
        for name in files:
            path = Path(place, name)
            (images if not is_system(name) and is_image(path) else passed).append(path)
    return sorted(images), sorted(passed)


def read_image(file: Path | BinaryIO, where: object, size: int, spans: Spans | None = None) -> np.ndarray:
    """uint8 [3, size, size], the shorter side scaled and the centre kept; otherwise as :func:`rgb`."""
    return _opened(file, where, lambda image: _fitted(image, size, spans))


def read_images(paths: Sequence[Path], size: int, spans: Spans | None = None) -> np.ndarray:
    """:func:`read_image` of each of ``paths``, in several threads: uint8 [N, 3, size, size]."""
    with _quiet(), ThreadPoolExecutor() as pool:
        decode = partial(_use, use=lambda image: _fitted(image, size, spans))
        return np.stack(list(pool.map(decode, paths, paths)))


def read_each(paths: Sequence[Path], size: int, spans: Spans | None = None) -> list[np.ndarray | UserError]:
    """:func:`read_image` of each of ``paths``, in several threads, or what is wrong with it."""

    def decode(path: Path) -> np.ndarray | UserError:
        try:
            return _use(path, path, lambda image: _fitted(image, size, spans))
        except UserError as error:
            return error

    with _quiet(), ThreadPoolExecutor() as pool:
        return list(pool.map(decode, paths))


def pixels_of(picture: Image, size: int) -> np.ndarray:
    """uint8 [3, size, size] of a picture of Pillow's, as :func:`read_image` makes it of one in a file."""
    with _quiet():
        return _fitted(picture, size, None)


def rgb(file: Path | BinaryIO, where: object, spans: Spans | None = None) -> Image:
    """The first picture in ``file``, upright, in 8-bit RGB.

    Grey levels of more than 8 bits are scaled by ``spans``, or by the picture's own span; see :func:`grey`.
    Transparent pictures lie on white; where all the ink is as light as paper, on black.
    Raises :class:`UserError`, which says ``where`` it is, for what is not a readable image.
    """
    return _opened(file, where, lambda image: _rgb(image, spans))


def _fitted(image: Image, size: int, spans: Spans | None) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(_rgb(image, spans), (size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def _rgb(image: Image, spans: Spans | None = None) -> Image:
    from PIL import Image

    upright = _upright(image)
    if _deep(upright.mode):
        levels = np.asarray(upright)
        upright = Image.fromarray(grey(levels, *(spans or {}).get(upright.mode, _span(levels))))
    if "A" in upright.getbands() or "transparency" in upright.info:
        return _on_ground(upright.convert("RGBA"))
    return upright.convert("RGB")


def check(paths: Iterable[Path]) -> None:
    """Raise :class:`UserError` naming the first of ``paths`` that :func:`rgb` could not read.

    JPEGs are decoded at an eighth of their size where they may be, which finds all that is wrong with the file.
    """

    def decode(image: Image) -> None:
        image.draft("RGB", (1, 1))
        _rgb(image)

    for path in paths:
        _opened(path, path, decode)


def spans(paths: Iterable[Path]) -> Spans:
    """What :func:`rgb` scales the deep pictures among ``paths`` by, all alike, so that darker ones stay darker.

    Raises :class:`UserError` naming the first that has not the header of an image.
    """
    found: Spans = {}

    def note(image: Image) -> None:
        image.getbands()
        if _deep(image.mode):
            low, high = _span(np.asarray(image))
            known = found.get(image.mode, (low, high))
            found[image.mode] = min(low, known[0]), max(high, known[1])

    for path in paths:
        _opened(path, path, note)
    return found


def grey(levels: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of grey levels of more bits, floats or integers, between ``low`` and ``high``.

    Numbers from 0 to 1 fill the whole range; floats somewhat above it, as resampling leaves them, up to ``high``.
    Others are known by their bits, 8 or 10, 12, 14, … of which the upper 8 are kept: cameras and scanners fill 12 of
    16. Where there are negative ones, ``low`` is black and ``high`` white.
    """
    if low < 0:
        unit = (high - low) / 255 or 1.0
    elif levels.dtype.kind == "f" and high < FEW:
        low, unit = 0.0, max(high, 1.0) / 255
    else:
        bits = max(8, int(high).bit_length())
        low, unit = 0.0, 2.0 ** (bits + bits % 2 - 8)
    # A thousandth, so that 99.9999 is 100.
    return np.clip(np.floor((levels.astype(np.float64) - low) / unit + 1e-3), 0, 255).astype(np.uint8)


def _opened(file: Path | BinaryIO, where: object, use: Callable[[Image], T]) -> T:
    with _quiet():
        return _use(file, where, use)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, nothing is said of a camera's odd notes or a large picture; not to be entered in several threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _use(file: Path | BinaryIO, where: object, use: Callable[[Image], T]) -> T:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return use(image)
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{where}: not a readable image ({reason}); mend or remove it") from None


def _deep(mode: str) -> bool:
    return mode == "F" or mode.startswith("I")


def _span(levels: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(levels).all():
        raise ValueError("it has pixels that are not numbers")
    return float(levels.min()), float(levels.max())


def _upright(image: Image) -> Image:
    """As the camera's note says; whatever else it notes, damaged or not, changes nothing."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    image.load()  # first: what is wrong with the pixels is not to be taken for the note's fault
    try:
        turn = turns.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # as in _opened
        turn = None
    return image if turn is None else image.transpose(turn)


def _on_ground(image: Image) -> Image:
    from PIL import Image

    alpha = np.asarray(image.getchannel("A"), np.float64)
    ink = np.asarray(image.convert("RGB").convert("L"), np.float64)
    light = alpha.any() and (alpha < 255).any() and (ink * alpha).sum() / alpha.sum() > LIGHT
    ground = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(ground, image).convert("RGB")
