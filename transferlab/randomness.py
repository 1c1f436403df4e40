"""Counted randomness: every draw is a function of (seed, stage, step), so nothing is carried along.

torch is imported where it is used, since data too is divided by these numbers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def key(*parts: Any) -> int:
    """A 63-bit number that is a function of ``parts``, the same in every process."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def fair_sample(count: int, most: int) -> np.ndarray:
    """Numbers of at most ``most`` of ``count`` rows, int64, in order: drawn at random, for data may be sorted by class.

    They are a function of both numbers alone, so that whoever asks for the same sample gets it.
    """
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def seed(device: torch.device, *parts: Any) -> None:
    """Make what is drawn next, on ``device`` and on the CPU, a function of ``parts``."""
    import torch

    if device.type == "cpu":  # without a word to all other kinds of device, which takes 0.2 ms
        torch.default_generator.manual_seed(key(*parts))
    else:
        torch.manual_seed(key(*parts))


class Order:
    """An endless stream of row numbers of a data set: one random permutation after another.

    ``take(first, count)`` gives the stream's places first .. first + count - 1, int64 [count]:
    sampling without replacement, in which a batch may straddle two epochs. It keeps no position.
    """

    def __init__(self, rows: int, *parts: Any):
        self.rows, self.parts = rows, parts
        self._epochs: dict[int, Tensor] = {}

    def take(self, first: int, count: int) -> Tensor:
        import torch

        pieces = []
        while count:
            epoch, place = divmod(first, self.rows)
            piece = self._epoch(epoch)[place : place + count]
            pieces.append(piece)
            first, count = first + len(piece), count - len(piece)
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _epoch(self, epoch: int) -> Tensor:
        import torch

        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e == epoch - 1}
            generator = np.random.default_rng(key(*self.parts, epoch))
            self._epochs[epoch] = torch.from_numpy(generator.permutation(self.rows))
        return self._epochs[epoch]
