"""Colour photographs to cut patches from: BSDS500 where it is available, else those inside two libraries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import Settings
from transferlab.data.files import cache_place, roots
from transferlab.data.pictures._images import rgb
from transferlab.errors import DataMissing

log = logging.getLogger(__name__)
BSDS = ("BSDS500/data/images", "BSR/BSDS500/data/images", "data/images")


@dataclass(frozen=True)
class Photographs:
    """name: bsds500 or packaged. paths of the photographs for each split, and of which part of the data set."""

    name: str
    paths: dict[str, tuple[Path, ...]]
    parts: dict[str, str]

    @property
    def edition(self) -> str:
        """What a data set is called that needs nothing but photographs: full is all that BSDS500 has of both parts."""
        if self.name == "packaged":
            return "sample"
        counts = [len(self.paths[split]) for split in ("train", "test")]
        whole = counts == [200, 200] and self.parts["test"] == "test"
        return "full" if whole else "bsds500-" + "+".join(map(str, counts))

    @cached_property
    def digest(self) -> str:
        """Of the content of all photographs, and of which part they are."""
        files = {f"{part}/{path.name}": path for split, part in self.parts.items() for path in self.paths[split]}
        return digest(files)

    def read(self, split: str) -> list[np.ndarray]:
        """uint8 [H, W, 3] for each photograph of the split."""
        photographs = [np.asarray(rgb(path, path)) for path in self.paths[split]]
        return [_crop(photograph, split) for photograph in photographs] if self.name == "packaged" else photographs


def bsds500(settings: Settings) -> Photographs | None:
    """BSDS500's train photographs for training; for testing its test photographs, or val where they are missing."""
    for root in roots(settings):
        for folder in BSDS:
            parts = {part: tuple(sorted((root / folder / part).glob("*.jpg"))) for part in ("train", "val", "test")}
            held_out = "test" if parts["test"] else "val"
            if parts["train"] and parts[held_out]:
                return Photographs(
                    "bsds500", {"train": parts["train"], "test": parts[held_out]}, {"train": "train", "test": held_out}
                )
    return None


def best(name: str, settings: Settings) -> Photographs:
    """BSDS500's where they are available, else the packaged ones, for data set ``name``.

    Raises :class:`DataMissing` where the settings ask for BSDS500's.
    """
    # A sample is the same everywhere, so it never looks for BSDS500.
    found = None if settings.edition == "sample" else bsds500(settings)
    if found is None:
        if settings.edition == "full":
            raise DataMissing(f"{name}: data.edition=full: BSDS500 not found; {where()}", "BSDS500")
        if settings.edition == "auto":
            log.warning("%s: taking the packaged photographs; for BSDS500's %s", name, where())
    return found or packaged()


def where() -> str:
    """What to do to have BSDS500."""
    return f"put BSDS500/data/images/train and test under <data.root>{cache_place()}"


def packaged() -> Photographs:
    """Two photographs of scikit-learn and one of matplotlib: their left two thirds train, the right third tests."""
    import importlib.util

    import matplotlib

    # scikit-learn takes a second to import, and this comes before any run: its folder is enough.
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    images = Path(spec.origin).parent / "datasets" / "images"
    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    paths = (images / "china.jpg", images / "flower.jpg", portrait)
    return Photographs("packaged", {"train": paths, "test": paths}, {"train": "left two thirds", "test": "right third"})


def _crop(photograph: np.ndarray, split: str) -> np.ndarray:
    edge = photograph.shape[1] * 2 // 3
    return photograph[:, :edge] if split == "train" else photograph[:, edge:]


def patches(photographs: Sequence[np.ndarray], count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [count, 3, size, size], each cut at native resolution at a random place of a random photograph."""
    chosen = rng.integers(len(photographs), size=count)
    places = rng.random((count, 2))
    out = np.empty((count, 3, size, size), np.uint8)
    for i, photograph in enumerate(photographs):
        rows = np.flatnonzero(chosen == i)
        room = np.array(photograph.shape[:2]) - size + 1
        y, x = (places[rows] * room).astype(np.int64).T
        windows = np.lib.stride_tricks.sliding_window_view(photograph, (size, size), axis=(0, 1))
        out[rows] = windows[y, x]
    return out
