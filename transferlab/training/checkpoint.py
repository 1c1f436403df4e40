"""Modules and their optimiser as named tensors and plain numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferlab.training import storage

Scalars = dict[str, dict[str, Any]]


def pack(modules: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], Scalars]:
    """Tensors called module/<name> and optimiser/<parameter>/<name>; what is no tensor apart, as numbers."""
    tensors = {f"module/{name}": tensor for name, tensor in modules.state_dict().items()}
    scalars: Scalars = {}
    for index, entry in optimiser.state_dict()["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser/{index}/{name}"] = value
            else:
                scalars.setdefault(str(index), {})[name] = value
    return tensors, scalars


def unpack(
    tensors: Mapping[str, Tensor], scalars: Scalars, modules: nn.Module, optimiser: torch.optim.Optimizer, path: Path
) -> None:
    """The inverse of :func:`pack`, into modules and an optimiser of the same make; ``path`` is named if they are not.

    Raises :class:`~transferlab.errors.UserError` for a checkpoint of another architecture.
    """
    of_modules = {k.removeprefix("module/"): v for k, v in tensors.items() if k.startswith("module/")}
    storage.fill(modules, of_modules, path)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in scalars.items()}
    for key, value in tensors.items():
        if key.startswith("optimiser/"):
            _, index, name = key.split("/", 2)
            like = parameters[int(index)]
            # Fused optimisers read memory in order: the state must lie as its parameter does.
            laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(index), {})[name] = laid_out
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
