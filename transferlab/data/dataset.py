"""What every data set looks like to the rest of the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transferlab.errors import require


@dataclass(frozen=True)
class Labels:
    """What is known of one split before its inputs are read: labels int64 [N], and groups as in :class:`Dataset`."""

    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """One split of one domain, resident in memory and read-only.

    inputs: uint8 images [N, C, H, W], float32 spectrograms [N, 1, T, F], or float32 vectors [N, D].
    labels: int64 [N], indices into ``classes``; None where the data has none.
    provenance: name, edition, split, count, sha256 of the files, and what else made the data.
    signatures: float32 [C, M], a description of each class, where the data has them.
    groups: int64 [N], where rows of one value, such as frames of one video, must not be parted.
    """

    inputs: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    signatures: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for array in (self.inputs, self.labels, self.signatures, self.groups):
            if array is not None:
                array.setflags(write=False)
        if self.labels is not None and len(self.labels):
            low, high, count = int(self.labels.min()), int(self.labels.max()), len(self.classes)
            wrong = low if low < 0 else high
            where = f"{self.provenance.get('name', 'data')}: label {wrong}"
            require(0 <= wrong < count, f"{where} is out of range; {count} classes allow 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.inputs)
