"""Multitask learning: one net for the source's and the target's task at once, with a head for each.

The lecture's two forms. One input: all hidden layers are shared (for languages: Huang et al., ICASSP 2013). Different
inputs: each domain has its own first layers, the middle ones are shared, then come separate heads.

The weights of the tasks' losses: equal; by learned uncertainty (Kendall, Gal, Cipolla, CVPR 2018: e^-s L + s/2, with
s = log sigma^2); or equal with conflicting gradients projected (PCGrad: Yu et al., NeurIPS 2020).

Source classes called "task/class", such as an alphabet's characters, are separate tasks, each with its own softmax;
with equal weights T of them weigh T times as much as the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.errors import require
from transferlab.map import LABELLED, Sees
from transferlab.methods.target import batch_size
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Options
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Losses, Run, Update, minimise_sum

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config(Options):
    """Options of multitask."""

    private: int = 0
    """Layers, from the input on, that each domain has for itself; 0: all hidden layers are shared."""
    weighting: Literal["equal", "uncertainty", "pcgrad"] = "equal"
    """How the tasks' losses are brought together."""

    def __post_init__(self) -> None:
        require(self.private >= 0, f"method.private={self.private}: must not be negative")

    def check(self, case: Case) -> None:
        hidden = case.layers - 1
        require(self.private < hidden, f"method.private={self.private}: the net has {hidden} hidden layers to share")


def fit(config: Config, problem: Problem[Labelled, Labelled], run: Run) -> Classifier:
    source = run.net(problem, "source", joint=True)
    target = run.net(problem, "target", name="target", joint=True)
    shared = share(source, target, config.private)
    tasks = task_of_class(problem.source_classes).to(run.device)
    weights = LogVariances(1 + int(tasks.max()) + 1).to(run.device)

    def loss(batch, progress):
        losses = {"target": F.cross_entropy(target(batch.target.inputs, "target"), batch.target.labels)}
        losses |= task_losses(source(batch.source.inputs, "source"), batch.source.labels, tasks)
        if config.weighting == "uncertainty":  # the target's own loss stands beside what is made of it
            return {"label": losses["target"].detach(), **weights.weighted(losses)}
        return {"label": losses.pop("target"), **losses}

    def projected(losses: Losses) -> None:
        project_conflicting(losses, [p for module in shared for p in module.parameters()])

    update = Update(loss, gradients=projected if config.weighting == "pcgrad" else minimise_sum)
    draw = problem.batches(source=run.batch_size, target=batch_size(problem, run))
    modules = {"source": source, "target": target, "weights": weights}
    one_task = int(tasks.max()) == 0 and config.private == 0
    predictor = Classifier(
        target, source_head=source.head if one_task else None, domains=("source", "target") if one_task else ("target",)
    )
    run.train("together", modules, [update], draw, predictor, options={"weights": {"weight_decay": 0}})
    return predictor


def share(source: ConvNet, target: ConvNet, private: int) -> list[nn.ModuleList]:
    """Make all layers of ``target`` but the first ``private`` and the head the source's own; the layers shared."""
    ours = [module for layer in target.layers[private:-1] for module in layer]
    theirs = [module for layer in source.layers[private:-1] for module in layer]
    for sequence in (target.extractor, target.trunk):
        for place, module in enumerate(sequence):
            matches = [new for old, new in zip(ours, theirs, strict=True) if old is module]
            if matches:
                sequence[place] = matches[0]
    if private == 0:
        target.preprocess = source.preprocess
    return source.layers[private:-1]


def task_of_class(classes: Sequence[str]) -> Tensor:
    """Number of each class's task, int64 [C]: the part before "/" where all names have one, else one task for all."""
    names = [name.partition("/")[0] if all("/" in other for other in classes) else "" for name in classes]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])


def task_losses(logits: Tensor, labels: Tensor, tasks: Tensor) -> Losses:
    """Mean cross-entropy of each task, over that task's classes alone; 0 where the batch has none of its samples.

    logits [B, C], labels [B], tasks [C] as from :func:`task_of_class`. No other task's head gets a gradient.
    """
    of_sample = tasks[labels]
    own = logits.masked_fill(of_sample[:, None] != tasks[None], -torch.inf)
    losses = F.cross_entropy(own, labels, reduction="none")
    count = int(tasks.max()) + 1
    return {f"task{task}": (losses * (of_sample == task)).sum() / (of_sample == task).sum().clamp_min(1)
            for task in range(count)}  # fmt: skip


class LogVariances(nn.Module):
    """A learned s = log sigma^2 for each task."""

    def __init__(self, tasks: int):
        super().__init__()
        self.s = nn.Parameter(torch.zeros(tasks))

    def weighted(self, losses: Losses) -> Losses:
        """e^-s L + s/2 for each classification loss (Kendall et al. 2018, equation 10); s is kept within -2 and 5.

        Few labels are soon memorised, and e^-s would grow without end as their loss falls.
        """
        with torch.no_grad():
            self.s.clamp_(-2, 5)
        # A task of which the batch has no sample has a loss of 0, and must not move its s.
        return {name: (-self.s[i]).exp() * value + (value.detach() > 0) * self.s[i] / 2
                for i, (name, value) in enumerate(losses.items())}  # fmt: skip


def project_conflicting(losses: Losses, shared: Sequence[nn.Parameter]) -> None:
    """PCGrad: of two tasks' gradients of the shared parameters that conflict, each loses its part along the other."""
    grads = [torch.autograd.grad(value, shared, retain_graph=True) for value in losses.values()]
    flat = [torch.cat([part.flatten() for part in grad]) for grad in grads]
    total = sum(projections(flat))
    minimise_sum(losses)  # the heads' gradients; the shared ones are put in their place below
    assert isinstance(total, Tensor)
    for parameter, part in zip(shared, total.split([p.numel() for p in shared]), strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(part.view_as(parameter))  # in place: laid out as its parameter


def projections(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Each gradient [P] without its components against the others, taken in random order (algorithm 1)."""
    projected = []
    for i, gradient in enumerate(gradients):
        g = gradient.clone()
        for j in torch.randperm(len(gradients)).tolist():
            along = g @ gradients[j]
            if j != i and along < 0:
                g -= along / gradients[j].square().sum() * gradients[j]
        projected.append(g)
    return projected
