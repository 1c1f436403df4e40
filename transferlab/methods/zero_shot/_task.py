"""What zero-shot methods share: the task, its folds over seen classes, and the choice of hyperparameters on them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferlab.evaluation.metrics import mean_class_accuracy
from transferlab.models.zero_shot import Lift, ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Run
from transferlab.training.randomness import key

Setting = dict[str, Any]
FOLDS = 5
"""Each fifth of the seen classes is held out once."""
LANDMARKS = 1000


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

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs' mean [D]; eigenvalues [D] and eigenvectors [D, D] of their scatter about it, in float64.

        One decomposition serves every regulariser.
        """
        x = self.inputs.double()
        mean = x.mean(0)
        return mean, *torch.linalg.eigh((x - mean).T @ (x - mean))

    def ridge(self, wanted: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        """W = (X^T X + penalty I)^-1 X^T A for A [N, M] and centred inputs X: float64 [D, M], and -mean W [M]."""
        mean, values, directions = self._spectrum
        moments = self.inputs.T.double() @ wanted.double() - mean[:, None] * wanted.double().sum(0)
        weight = directions @ ((directions.T @ moments) / (values + penalty)[:, None])
        return weight, -mean @ weight

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


def make_task(problem: Problem, run: Run, kernel: str, signatures: str) -> Task:
    """The problem as a :class:`Task`.

    kernel: linear, or rbf through :data:`LANDMARKS` inputs and the median distance's bandwidth.
    signatures: unit (rows of length 1), standard (columns standardised over the seen classes), or as they are.
    """
    assert isinstance(problem.source, Labelled) and problem.signatures is not None  # plan.editions sees to it
    x, seen, table = problem.source.inputs, len(problem.source_classes), problem.signatures
    if signatures == "unit":
        table = table / table.norm(dim=1, keepdim=True).clamp_min(1e-9)
    elif signatures == "standard":
        deviation = table[:seen].std(0)
        table = (table - table[:seen].mean(0)) / torch.where(deviation > 1e-6, deviation, 1.0)
    elif signatures == "binary":
        table = (table > table[:seen].mean()).float()
    rows = None
    if kernel == "rbf":
        with run.seeded("landmarks"):
            rows = torch.randperm(len(x))[:LANDMARKS].to(x.device)
    lift = Lift.fitted(x, rows).to(run.device)
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
