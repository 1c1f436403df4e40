"""Which parameters learn, and how fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from transferlab.config import TrainConfig
from transferlab.models.architectures import is_pretrained
from transferlab.models.convnet import ConvNet
from transferlab.training.run import ParameterOptions


def optimiser(train: TrainConfig, modules: nn.Module, options: ParameterOptions) -> torch.optim.Optimizer:
    """Of all parameters not frozen, in groups of those for which ``options`` say something of their own.

    A backbone that began with trained weights learns at ``train.backbone_rate`` of the rate.
    """
    begun = {parameter for net in modules.modules() if isinstance(net, ConvNet) and is_pretrained(net.config)
             for parameter in net.extractor.parameters()}  # fmt: skip
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in modules.named_parameters():
        if parameter.requires_grad:
            prefix = max((p for p in options if name.startswith(p)), key=len, default="")
            own = options.get(prefix, {})
            decay = own.get("weight_decay", train.weight_decay)
            rate = own.get("lr", 1.0) * (train.backbone_rate if parameter in begun else 1.0)
            group = {"params": [], "factor": rate, "weight_decay": decay}
            groups.setdefault((prefix, parameter in begun), group)["params"].append(parameter)
    common: dict[str, Any] = {"lr": train.lr, "fused": True}
    if train.optimiser == "adam":
        return torch.optim.Adam(groups.values(), **common)
    if train.optimiser == "adamw":
        return torch.optim.AdamW(groups.values(), **common)
    return torch.optim.SGD(groups.values(), momentum=train.momentum, nesterov=train.nesterov, **common)


@contextmanager
def learning_alone(modules: nn.ModuleDict, names: Sequence[str]) -> Iterator[None]:
    """Inside, no parameter of ``modules`` but the named ones' gets a gradient; without names nothing changes."""
    own = {parameter for name in names for parameter in modules[name].parameters()}
    others = [p for p in modules.parameters() if p.requires_grad and p not in own] if names else []
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def set_training(modules: nn.Module) -> None:
    """Training mode for what is trained; a part whose parameters are all frozen keeps its statistics too."""
    modules.train()
    for part in modules.modules():
        parameters = list(part.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            part.eval()
