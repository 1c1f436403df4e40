"""What zero-shot methods share: the task, its folds over seen classes, and the choice of hyperparameters on them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.evaluation.metrics import mean_class_accuracy
from transferlab.models.normalisation import or_one
from transferlab.models.zero_shot import Lift, ZeroShot
from transferlab.options import Options
from transferlab.problem import Labelled, Problem
from transferlab.randomness import key
from transferlab.training.run import Run

Setting = dict[str, Any]
FOLDS = 5
"""Each fifth of the seen classes is held out once."""
LANDMARKS = 1000


@dataclass
class Lifted(Options):
    """Options of every zero-shot method."""

    kernel: Literal["linear", "rbf"] = "rbf"
    """linear; rbf: a Gaussian kernel through 1,000 of the inputs (Nystrom)."""
    penalty: float = 0.0
    """Taken from the scores of seen classes where all compete (calibrated stacking)."""


@dataclass
class Described(Lifted):
    """Options of those that may take a description of the classes in several forms."""

    signatures: Literal["centred", "unit", "standard", "raw"] = "centred"
    """All of length 1: less the seen classes' mean; as they are; standardised. raw: not even that."""


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
    def _moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The inputs' mean [D]; eigenvalues [D] and -vectors [D, D] of their scatter about it; sums per class [D, C].

        In float64, every class weighing the same, as it does in the mean accuracy per class. One decomposition serves
        every penalty.
        """
        x, own = self.inputs.double(), F.one_hot(self.labels, len(self.seen)).double()
        weight = (own / own.sum(0)).sum(1, keepdim=True) * len(x) / own.shape[1]
        mean = (weight * x).mean(0)
        x = x - mean
        return mean, *torch.linalg.eigh((weight * x).T @ x), (weight * x).T @ own

    def ridge(self, wanted: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        """Regression of ``wanted`` [C, M], a row for each class: float64 weight [D, M] and bias [M].

        weight = (X^T X + penalty I)^-1 X^T A for centred inputs X and A [N, M] what is wanted of each; the bias makes
        an input at the mean come out as 0.
        """
        mean, values, directions, sums = self._moments
        weight = directions @ ((directions.T @ sums @ wanted.double()) / (values + penalty)[:, None])
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


def make_task(problem: Problem[Labelled, None], run: Run, kernel: str, signatures: str) -> Task:
    """The problem as a :class:`Task`.

    kernel: linear, or rbf through :data:`LANDMARKS` inputs and the median distance's bandwidth.
    signatures: of length 1, before that centred (less the seen classes' mean), standard (divided by their deviation as
    well) or unit (neither); or raw, as they are; or binary, 1 above the mean of all.
    """
    assert problem.signatures is not None  # compatibility.find sees to it
    x, seen, table = problem.source.inputs[:], len(problem.source_classes), problem.signatures
    if signatures in ("centred", "standard"):
        of_seen = table[:seen].cpu().double()  # not every accelerator has it
        table = table - of_seen.mean(0).to(table)
    if signatures == "standard":
        table = table / or_one(of_seen.std(0), of_seen.mean(0)).to(table)
    if signatures in ("unit", "centred", "standard"):
        table = table / table.norm(dim=1, keepdim=True).clamp_min(1e-9)
    elif signatures == "binary":
        table = (table > table[:seen].mean()).float()
    rows = None
    if kernel == "rbf":
        with run.seeded("landmarks"):
            rows = torch.randperm(len(x))[:LANDMARKS].to(x.device)
    lift = Lift.fitted(x, problem.kind, rows).to(run.device)
    return Task(lift, lift(x), problem.source.labels, table[:seen], table[seen:])


def choose(task: Task, grid: Mapping[str, Sequence[Any]], seed: int, fit: Callable[..., ZeroShot]) -> Setting:
    """The setting of ``grid`` with the best mean per-class accuracy on held-out seen classes, over :data:`FOLDS` folds.

    fit(task, setting, fold) -> predictor. No unseen class and no target sample is looked at. Where there was a choice,
    the setting has that accuracy as ``held_out``.
    """
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(settings) == 1:
        return settings[0]
    scores = np.zeros(len(settings))
    for number in range(FOLDS):  # one after the other: each keeps its own decomposition
        own, x, y = task.fold(number, seed)
        scores += [_score(fit(own, setting, number), x, y) / FOLDS for setting in settings]
    best = int(np.argmax(scores))
    return {**settings[best], "held_out": float(scores[best])}


def solved(
    task: Task,
    problem: Problem[Labelled, None],
    run: Run,
    grid: Mapping[str, Sequence[Any]],
    solve: Callable[[Task, Setting], tuple[Tensor, Tensor]],
    predictor: Callable[[Task, Tensor, Tensor], ZeroShot],
) -> ZeroShot:
    """The predictor of what ``solve(task, setting)`` finds, weight and bias, in the chosen setting of ``grid``."""

    def compute() -> dict[str, Tensor]:
        setting = choose(task, grid, problem.seed, lambda own, setting, fold: predictor(own, *solve(own, setting)))
        weight, bias = solve(task, setting)
        chosen = {name: torch.tensor(value, dtype=torch.float64) for name, value in setting.items()}
        return {"weight": weight, "bias": bias, **chosen}

    found = run.once("solve", compute)
    weight, bias = found.pop("weight"), found.pop("bias")
    run.report({name: float(value) for name, value in found.items()})
    return predictor(task, weight, bias)


def _score(predictor: ZeroShot, lifted: Tensor, labels: Tensor) -> float:
    scores = predictor.scores_of_lifted(lifted)[:, predictor.seen :]
    return mean_class_accuracy(scores.cpu().numpy(), labels.cpu().numpy(), scores.shape[1])
