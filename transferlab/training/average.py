"""The moving average of weights: steadier than the last ones, where a critic keeps them moving."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Exponential moving average of a module's parameters and running statistics (Polyak & Juditsky 1992)."""

    def __init__(self, modules: nn.Module, decay: float):
        self._live = [tensor for tensor in modules.state_dict().values() if tensor.is_floating_point()]
        self._update = get_ema_multi_avg_fn(decay)
        self.values = [tensor.clone() for tensor in self._live]

    def update(self) -> None:
        """Take in the values as they are now, after a step."""
        self._update(self.values, self._live, 0)

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
