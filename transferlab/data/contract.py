"""What every data set looks like to the rest of the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from transferlab.data.stored import Samples
from transferlab.errors import require

Kind = Literal["images", "spectrograms", "vectors"]
"""What an input is: uint8 [C, H, W], float32 [1, T, F] or float32 [D]. A data set says it, and nothing else guesses."""
IMAGES: Kind = "images"
SPECTROGRAMS: Kind = "spectrograms"
VECTORS: Kind = "vectors"


@dataclass(frozen=True)
class Labels:
    """What is known of one split before its inputs are read: labels int64 [N], and groups as in :class:`Dataset`."""

    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """One split of one domain, read-only.

    inputs: uint8 images [N, C, H, W], float32 spectrograms [N, 1, T, F] or float32 vectors [N, D], in memory or in a
    file.
    labels: int64 [N], indices into ``classes``; None where the data has none.
    provenance: name, edition, split, count, sha256 of the files, and what else made the data.
    signatures: float32 [C, M], a description of each class, where the data has them.
    groups: int64 [N], where rows of one value, such as frames of one video, must not be parted.
    """

    inputs: Samples
    labels: np.ndarray | None
    classes: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    signatures: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for array in (self.inputs, self.labels, self.signatures, self.groups):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        if self.labels is not None and len(self.labels):
            low, high, count = int(self.labels.min()), int(self.labels.max()), len(self.classes)
            wrong = low if low < 0 else high
            where = f"{self.provenance.get('name', 'data')}: label {wrong}"
            require(0 <= wrong < count, f"{where} is out of range; {count} classes allow 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.inputs)


class Settings(Protocol):
    """Where data may come from; see ``config.DataConfig``."""

    @property
    def root(self) -> str | None: ...
    @property
    def edition(self) -> str: ...
    @property
    def download(self) -> str: ...


@dataclass(frozen=True)
class Found:
    """A data set that is available; load("train" | "test") reads a split.

    classes is empty where the data has no labels. kind and shape: of one sample, (C, H, W), (1, T, F) or (D,). digest:
    of all that determines the samples but the options, files by their content; see
    :func:`~transferlab.data.content.digest`. signature_size: how many numbers describe each class, 0 where nothing
    does. remark: what was met on the way that is not in the data. labels: those of a split, in its order, where they
    are known without reading the inputs: then what they do not allow is refused before a run begins. idle: options of
    the data set that change nothing here, each with what makes it so. classes_in: a folder in which each folder is a
    class.
    """

    name: str
    edition: str
    classes: tuple[str, ...]
    kind: Kind
    shape: tuple[int, ...]
    load: Callable[[str], Dataset]
    digest: str
    signature_size: int = 0
    remark: str = ""
    labels: Callable[[str], Labels] | None = None
    idle: Mapping[str, str] = field(default_factory=dict)
    classes_in: Path | None = None
