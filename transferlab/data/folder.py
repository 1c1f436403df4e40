"""Your own images: one folder of them for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from transferlab.config import require
from transferlab.data._files import Found, Settings, provenance, sha256
from transferlab.data._selection import Selection
from transferlab.data._split import held_out
from transferlab.data.dataset import Dataset
from transferlab.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


TEST_FRACTION = 0.2
"""Share of each class for testing where neither the data nor the user says which."""


@dataclass
class Sized(Selection):
    """Images of many sizes."""

    size: int = 32
    """Height and width that images are brought to: the shorter side scaled, the centre kept."""

    def __post_init__(self) -> None:
        require(8 <= self.size <= 512, f"size={self.size}: allowed is 8 to 512 pixels")


@dataclass
class Config(Sized):
    """Images in class-per-folder layout: root/<class>/*.png, or root/train/<class> and root/test/<class>."""

    root: str = ""
    """The folder."""
    test_fraction: float = TEST_FRACTION
    """Share of each class that is kept for testing where there is no train/ and test/."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction = self.test_fraction
        require(0 < fraction < 1, f"folder.test_fraction={fraction}: must lie between 0 and 1")


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.root != "", "folder: say which folder, with source.root=… or target.root=…")
    root = Path(options.root).expanduser()
    require(root.is_dir(), f"{root}: no such folder")
    return pictures("folder", root, options)


def pictures(name: str, root: Path, options: Sized, whole: int | None = None, without: str = "", **more: str) -> Found:
    """The images in ``root`` as data set ``name``, uint8 [N, 3, size, size].

    whole: how many images the data set has; with fewer it is another edition. without: a folder that is no class.
    more: goes into the provenance.
    """
    fraction = options.test_fraction if isinstance(options, Config) else TEST_FRACTION
    # A class may be called train, but then its folder has no sub-folders.
    parts = [part for part in ("train", "test") if (root / part).is_dir() and _subfolders(root / part)]
    divided = len(parts) == 2
    require(len(parts) != 1, f"{root}: has {''.join(parts)}/ with classes in it; both train/ and test/ are needed")
    classes = _classes(root / "train", 1) if divided else _classes(root, 2, without)
    if divided:
        others = _classes(root / "test", 1)
        missing = sorted(set(classes) ^ set(others))
        require(not missing, f"{root}: class {', '.join(missing)} is in only one of train/ and test/")

    count = whole and sum(len(_images(root / name)) for name in classes)
    edition = "full" if count == whole else f"subset-{count}"

    def load(split: str) -> Dataset:
        paths, labels = [], []
        for label, class_name in enumerate(classes):
            files = _images(root / split / class_name if divided else root / class_name)
            if not divided:
                test = held_out(len(files), fraction, label)
                files = [path for path, tests in zip(files, test) if tests == (split == "test")]
            paths += files
            labels += [label] * len(files)
        pixels = np.stack([read_image(path, path, options.size) for path in paths])
        record = provenance(name, edition, split, len(paths), [], **more)
        record["files"] = {str(path.relative_to(root)): sha256(path) for path in paths}
        return Dataset(pixels, np.array(labels, np.int64), classes, record)

    return Found(name, edition, classes, (3, options.size, options.size), load)


def _subfolders(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def _classes(folder: Path, images: int, without: str = "") -> tuple[str, ...]:
    """The classes in ``folder``, each with at least so many images."""
    names = tuple(name for name in _subfolders(folder) if name != without)
    require(len(names) >= 2, f"{folder}: needs a sub-folder for each of at least 2 classes, has {len(names)}")
    for name in names:
        count = len(_images(folder / name))
        require(count >= images, f"{folder / name}: needs at least {images} images, has {count}")
    return names


def _images(folder: Path) -> list[Path]:
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in paths if p.is_file())


def read_image(file: Path | BinaryIO, where: object, size: int) -> np.ndarray:
    """uint8 [3, size, size]. Raises :class:`UserError`, which says ``where`` it is, for a damaged image."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):  # Pillow would clip it: all but the darkest 256 levels white
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            fitted = ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            return np.asarray(fitted).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{where}: not a readable image ({error})") from None
