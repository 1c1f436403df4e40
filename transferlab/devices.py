"""Which device a run computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transferlab.errors import require

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``; auto is the best one here. Raises UserError where it is missing."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    there = (device.index or 0) < counts.get(device.type, 1)
    require(there, f"device.name={name}: there is none on this machine; use device=cpu")
    return device
