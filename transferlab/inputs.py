"""Inputs of a domain, on the device or in a file: what methods may rely on is the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.data.stored import Samples, Stored

GIB = 2**30
PIECE = 64
"""Images that are read and brought to another size at a time."""


def at_once(shape: Sequence[int]) -> int:
    """How many of inputs [N, ...] a net is given at a time where it only answers: fewer of large images, to bound its
    layers' memory."""
    return max(16, min(500, 500 * 3 * 64 * 64 // math.prod(shape[1:])))


class Inputs(Protocol):
    """Inputs [N, ...]: a tensor on the device, or :class:`Mapped`, which has of a tensor what stands here."""

    @property
    def shape(self) -> Any: ...
    @property
    def device(self) -> torch.device: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> Tensor: ...
    def index_select(self, dim: int, index: Tensor, /) -> Tensor: ...
    def split(self, size: int, /) -> Iterable[Tensor]: ...


class Mapped:
    """Inputs that stay in a file: rows of it come to ``device`` when they are asked for, images at ``size`` pixels.

    What is kept from a method may lie in the same file, so nothing here leads to it.
    """

    __slots__ = ("device", "shape", "size")

    def __init__(self, stored: Stored, device: torch.device, size: int | None):
        _files[id(self)] = stored
        self.device, self.size = device, size
        self.shape = (len(stored), *(stored.shape[1:] if size is None else (stored.shape[1], size, size)))

    def __del__(self) -> None:
        _files.pop(id(self), None)

    def __deepcopy__(self, memo: Any) -> Mapped:
        return self  # nothing changes it

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Inputs of these rows, int64 or bool [n] on any device, or a slice."""
        stored = _files[id(self)].of(rows if isinstance(rows, slice) else rows.cpu().numpy())
        starts = range(0, max(len(stored), 1), PIECE)
        parts = [resize(torch.from_numpy(stored[start : start + PIECE]), self.size) for start in starts]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.device)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Inputs of rows int64 [n]; ``dim`` is 0."""
        return self[index]

    def split(self, size: int) -> Iterator[Tensor]:
        """All of them, so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def digest(self) -> str:
        """What they are known by: their file's digest, which rows of it, and their size; no pixel is read."""
        return hashlib.sha256(f"{_files[id(self)].content} {self.size}".encode()).hexdigest()


_files: dict[int, Stored] = {}
"""Where mapped inputs lie, by their ``id``: not an attribute of theirs, which a method could follow, and not by weak
references, which lead back to what holds them."""


def held(samples: Samples, rows: np.ndarray, size: int | None, device: torch.device, resident: float) -> Inputs:
    """The inputs of ``rows`` of ``samples``: on the device, or in their file where they are more than ``resident`` GiB.

    size: in pixels, which images are brought to.
    """
    if isinstance(samples, Stored):
        own = samples.of(rows)
        if own.nbytes > resident * GIB:
            return Mapped(own, device, size)
    return resize(torch.from_numpy(samples[rows]), size).to(device)


def resize(images: Tensor, size: int | None) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, C, size, size], bilinear and antialiased; None: as they are."""
    if size is None or images.shape[-2:] == (size, size):
        return images
    shape = (size, size)
    return torch.cat(
        [
            F.interpolate(part.float(), shape, mode="bilinear", antialias=True).round_().clamp_(0, 255).byte()
            for part in images.split(PIECE)
        ]
    )
