"""What is being trained, as named tensors and plain numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferlab import storage
from transferlab.training.average import Average

Scalars = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class TrainingState:
    """Modules with their optimiser, the average of their weights where there is one, and the state chosen so far."""

    modules: nn.ModuleDict
    optimiser: torch.optim.Optimizer
    average: Average | None
    chosen: dict[str, Tensor] = field(default_factory=dict)
    """What the modules were at the best step by ``select``; empty where there is none yet."""


def pack(state: TrainingState) -> tuple[dict[str, Tensor], Scalars]:
    """Tensors called module/<name>, chosen/<name>, optimiser/<parameter>/<name> and average/<number>.

    What is no tensor comes apart.
    """
    tensors = {f"module/{name}": tensor for name, tensor in state.modules.state_dict().items()}
    tensors |= {f"chosen/{name}": tensor for name, tensor in state.chosen.items()}
    if state.average:
        tensors |= {f"average/{i}": tensor for i, tensor in enumerate(state.average.values)}
    scalars: Scalars = {}
    for index, entry in state.optimiser.state_dict()["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser/{index}/{name}"] = value
            else:
                scalars.setdefault(str(index), {})[name] = value
    return tensors, scalars


def unpack(tensors: Mapping[str, Tensor], scalars: Scalars, state: TrainingState, path: Path) -> None:
    """The inverse of :func:`pack`, into what is of the same make; ``path`` is named where it is not.

    Raises :class:`~transferlab.errors.UserError` for a checkpoint of another architecture.
    """
    of_modules = {k.removeprefix("module/"): v for k, v in tensors.items() if k.startswith("module/")}
    storage.fill(state.modules, of_modules, path)
    device = next(state.modules.parameters()).device
    chosen = {k.removeprefix("chosen/"): v.to(device) for k, v in tensors.items() if k.startswith("chosen/")}
    state.chosen.update(chosen)
    for i, value in enumerate(state.average.values if state.average else ()):
        value.copy_(tensors[f"average/{i}"])
    optimiser = state.optimiser
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in scalars.items()}
    for key, value in tensors.items():
        if key.startswith("optimiser/"):
            _, index, name = key.split("/", 2)
            like = parameters[int(index)]
            # Fused optimisers read memory in order: the state must lie as its parameter does.
            laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            moments.setdefault(int(index), {})[name] = laid_out
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
