"""Training on the labelled target, from whatever net a method starts with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.errors import require
from transferlab.models.convnet import ConvNet, initialise
from transferlab.models.predictor import Predictor
from transferlab.options import Options
from transferlab.problem import Labelled, Problem
from transferlab.training.run import ParameterOptions, Run


@dataclass
class LearnsTarget(Options):
    """Options of every method that learns on the target after its source."""

    steps: int | None = None
    """Steps on the target; null: train.steps."""

    def __post_init__(self) -> None:
        require(self.steps is None or self.steps >= 1, f"method.steps={self.steps}: must be at least 1")


def new_head(problem: Problem[Any, Labelled], run: Run, net: ConvNet) -> nn.Linear:
    """Put a fresh last layer for the target's classes on ``net``; the old one comes back."""
    old = net.head
    with run.seeded("head"):
        net.head = nn.Linear(net.hidden_size, len(problem.classes))
        initialise(net.head, run.model)
    net.head.to(run.device)
    return old


def freeze(modules: Iterable[nn.Module]) -> None:
    """Take modules out of training; the engine then keeps their batch statistics as well."""
    for module in modules:
        module.requires_grad_(False)


def batch_size(problem: Problem[Any, Labelled], run: Run) -> int:
    """The configured batch, or all there is of a small target."""
    return min(run.batch_size, len(problem.target.labels))


def train_on_target(
    problem: Problem[Any, Labelled],
    run: Run,
    net: ConvNet,
    predictor: Predictor,
    steps: int | None = None,
    options: ParameterOptions | None = None,
    stage: str = "target",
    begin: Callable[[float], None] | None = None,
) -> None:
    """Minimise the cross-entropy of ``net`` (inputs -> logits) on the target's labelled samples.

    begin: what is done at the beginning of each step, told of the progress.
    """

    def loss(batch, progress):
        if begin:
            begin(progress)
        return {"label": F.cross_entropy(net(batch.target.inputs, "target"), batch.target.labels)}

    draw = problem.batches(target=batch_size(problem, run))
    run.train(stage, {"net": net}, loss, draw, predictor, steps=steps, options=options)


def layer_rates(net: ConvNet, decay: float) -> dict[str, dict[str, float]]:
    """Options for :meth:`Run.train`: each layer learns ``decay`` times as fast as the one after it, the head at 1."""
    names = {module: name for name, module in net.named_modules()}
    layers = net.layers
    return {
        f"net.{names[module]}.": {"lr": decay ** (len(layers) - 1 - depth)}
        for depth, layer in enumerate(layers)
        for module in layer
    }


def weights(net: ConvNet) -> dict[str, Tensor]:
    """Weights and biases of convolutions and dense layers by name: what batch normalisation learns is left out."""
    return {
        f"{name}.{part}": tensor
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        for part, tensor in module.named_parameters(recurse=False)
    }


def half_squared_distance(now: dict[str, Tensor], then: dict[str, Tensor]) -> Tensor:
    """Half the squared Euclidean distance between two sets of weights, over the names in ``then``."""
    return torch.stack([(now[name] - start).square().sum() for name, start in then.items()]).sum() / 2
