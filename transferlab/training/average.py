"""The moving average of weights: steadier than the last ones, where a critic keeps them moving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

YOUTH = 8
"""Before ``decay`` takes over, values count as the YOUTH-th power of their step: it is the last ninth that counts."""


class Average:
    """Exponential moving average of a module's parameters and running statistics (Polyak & Juditsky 1992).

    It begins as a polynomial-decay average (Shamir & Zhang, ICML 2013), so that what training started from has no
    weight at all and early steps hardly any; where a stage has less than some 9 / (1 - decay) steps it stays one. The
    usual correction of the bias, division by 1 - decay^t, would weigh all steps of a short stage alike, the first too.
    A tensor that several modules share is averaged once.
    """

    def __init__(self, modules: nn.Module, decay: float):
        tensors = [*modules.parameters(), *modules.buffers()]  # in which shared ones stand once, unlike in state_dict
        self._live = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self.decay, self.values = decay, [tensor.clone() for tensor in self._live]

    def update(self, step: int) -> None:
        """Take in the values as they are now, after the stage's ``step``-th step."""
        decay = min(self.decay, (step - 1) / (step + YOUTH))
        get_ema_multi_avg_fn(decay)(self.values, self._live, 0)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's values and the average."""
        for live, value in zip(self._live, self.values, strict=True):
            before = live.clone()
            live.copy_(value)
            value.copy_(before)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module has the average's values."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
