"""What zero-shot methods share: the task, its folds over seen classes, and the choice of hyperparameters on them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferlab.config import require
from transferlab.evaluation.metrics import mean_class_accuracy
from transferlab.models.zero_shot import Lift, ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Run
from transferlab.training.randomness import key

Setting = dict[str, Any]
FOLDS = 3


@dataclass(frozen=True)
class Task:
    """Lifted inputs [N, D] with labels [N] of seen classes, and signatures of seen [C, M] and unseen classes [U, M]."""

    lift: Lift
    inputs: Tensor
    labels: Tensor
    seen: Tensor
    unseen: Tensor

    @property
    def signatures(self) -> Tensor:
        return torch.cat([self.seen, self.unseen])

    def fold(self, number: int, seed: int) -> tuple[Task, Tensor, Tensor]:
        """A task in which a fifth of the seen classes are unseen, with their inputs and labels, to choose by."""
        count = len(self.seen)
        order = np.random.default_rng(key("zero-shot fold", seed, count)).permutation(count)
        size = max(2, count // 5)
        held_out = np.sort(np.roll(order, number * size)[:size])
        kept = np.setdiff1d(np.arange(count), held_out)
        own, rows = self._of(kept)
        others, other_rows = self._of(held_out)
        task = dataclasses.replace(
            self, inputs=self.inputs[rows], labels=own, seen=self.seen[kept], unseen=self.seen[held_out]
        )
        return task, self.inputs[other_rows], others

    def _of(self, classes: np.ndarray) -> tuple[Tensor, Tensor]:
        """New labels and row numbers of the samples of ``classes``."""
        new = torch.full((len(self.seen),), -1, device=self.labels.device)
        new[torch.from_numpy(classes).to(new.device)] = torch.arange(len(classes), device=new.device)
        labels = new[self.labels]
        rows = (labels >= 0).nonzero().squeeze(1)
        return labels[rows], rows


def make_task(problem: Problem, run: Run, kernel: str, signatures: str, features: int = 1500) -> Task:
    """The problem as a :class:`Task`.

    kernel: linear, or rbf through ``features`` random Fourier features of the median distance's bandwidth.
    signatures: unit (rows of length 1), standard (columns standardised over the seen classes), or as they are.
    """
    assert isinstance(problem.source, Labelled)
    require(problem.signatures is not None, "zero-shot needs a signature of each class; this data has none")
    require(problem.source.inputs.dim() == 2, "zero-shot needs vectors; for images give another network's features")
    assert problem.signatures is not None
    x, seen = problem.source.inputs, len(problem.source_classes)
    table = problem.signatures
    if signatures == "unit":
        table = table / table.norm(dim=1, keepdim=True).clamp_min(1e-9)
    elif signatures == "standard":
        deviation = table[:seen].std(0)
        table = (table - table[:seen].mean(0)) / torch.where(deviation > 1e-6, deviation, 1.0)
    elif signatures == "binary":
        table = (table > table[:seen].mean()).float()
    mean = x.mean(0)
    scale = (x - mean).square().mean().sqrt()
    frequencies = None
    if kernel == "rbf":
        with run.seeded("random Fourier features"):
            some = (x[torch.randperm(len(x))[:1000].to(x.device)] - mean) / scale
            frequencies = (torch.randn(x.shape[1], features) / torch.pdist(some.cpu()).median()).to(x.device)
    lift = Lift(mean, scale, frequencies).to(run.device)
    return Task(lift, lift(x), problem.source.labels, table[:seen], table[seen:])


def choose(task: Task, grid: Mapping[str, Sequence[Any]], seed: int, fit: Callable[..., ZeroShot]) -> Setting:
    """The setting of ``grid`` with the best mean per-class accuracy on held-out seen classes, over :data:`FOLDS` folds.

    fit(task, setting, fold) -> predictor. No unseen class and no target sample is looked at.
    """
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(settings) == 1:
        return settings[0]
    folds = [task.fold(number, seed) for number in range(FOLDS)]
    scores = [
        sum(_score(fit(own, setting, number), x, y) for number, (own, x, y) in enumerate(folds)) for setting in settings
    ]
    return settings[int(np.argmax(scores))]


def _score(predictor: ZeroShot, lifted: Tensor, labels: Tensor) -> float:
    scores = predictor.scores_of_lifted(lifted)[:, predictor.seen :]
    return mean_class_accuracy(scores.cpu().numpy(), labels.cpu().numpy(), scores.shape[1])
