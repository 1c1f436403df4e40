"""Attribute embedding: inputs and class signatures are mapped into one space, where the nearest class wins.

The lecture's loss for x_n of class y_n is max(0, k - f(x_n).g(y_n) + max_{m: y_m != y_n} f(x_n).g(y_m)). Pulling alone,
||f(x_n) - g(y_n)||^2 (loss=l2), has a trivial minimum: f and g map everything to one point. ``embedding_spread`` in
results.json shows it: the mean squared distance of embedded inputs from their mean, as a share of their mean square.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.errors import require
from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._bilinear import violations
from transferlab.methods.zero_shot._task import Described, Setting, Task, choose, make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, seen=4)


@dataclass
class Config(Described):
    """Options of zero_shot."""

    loss: Literal["max_margin", "l2"] = "max_margin"
    """max_margin: the lecture's; l2: pulling alone, which collapses."""
    negatives: Literal["sum", "hardest"] = "sum"
    """Over which wrong classes the hinge goes: all of them, or the highest alone, as printed (stalls early)."""
    margin: list[float] = field(default_factory=lambda: [0.1, 0.2, 0.5])
    """k to choose from; embeddings have length 1."""
    size: int = 64
    """Dimensions of the common space."""

    def __post_init__(self) -> None:
        require(len(self.margin) > 0, "method.margin=[]: at least one is needed")
        require(min(self.margin) > 0, f"method.margin={self.margin}: must be greater than 0")
        require(self.size >= 1, f"method.size={self.size}: must be at least 1")

    def idle(self, case: Case) -> Idle:
        yield "method=zero_shot", ["train.evaluations"]  # nothing is measured on the way
        if self.loss == "l2":
            yield "method.loss=l2", ["method.margin", "method.negatives"]


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)
    comparison = "euclidean" if config.loss == "l2" else "cosine"

    def train(task: Task, setting: Setting, fold: int | None = None) -> ZeroShot:
        # Named apart: each is a durable stage of its own.
        stage = "embed" if fold is None else f"margin {setting['margin']:g} fold {fold + 1}"
        with run.seeded("embeddings"):
            f = nn.Linear(task.inputs.shape[1], config.size).to(run.device)
            g = nn.Linear(task.seen.shape[1], config.size).to(run.device)

        def loss(batch, progress):
            x, y, labels = f(batch.source.inputs).float(), g(task.seen).float(), batch.source.labels
            if config.loss == "l2":
                return {"pull": (x - y[labels]).square().sum(1).mean()}
            scores = F.normalize(x) @ F.normalize(y).T
            return {"margin": max_margin(scores, labels, setting["margin"], config.negatives)}

        own = replace(problem, source=Labelled(task.inputs, task.labels))
        run.train(stage, {"f": f, "g": g}, loss, own.batches(source=run.batch_size))
        weight, bias, codes = f.weight.detach().T, f.bias.detach(), g(task.signatures).detach()
        return ZeroShot(task.lift, weight, bias, codes, len(task.seen), comparison, penalty=config.penalty)

    margins = config.margin if config.loss == "max_margin" else config.margin[:1]
    setting = choose(task, {"margin": margins}, problem.seed, train)
    predictor = train(task, setting)
    spreads = {"embedding_spread": spread(predictor.embed(task.inputs)), "code_spread": spread(predictor.codes)}
    run.report({**spreads, **(setting if config.loss == "max_margin" else {})})
    return predictor


def spread(points: Tensor) -> float:
    """The mean squared distance of points [N, E] from their mean, as a share of their mean square."""
    return float((points - points.mean(0)).square().sum(1).mean() / points.square().sum(1).mean())


def max_margin(scores: Tensor, labels: Tensor, margin: float, negatives: str) -> Tensor:
    """Hinges of scores [B, C] against the true class of each row, over all wrong classes or the hardest; the mean."""
    hinge = violations(scores, labels, margin)
    return (hinge.sum(1) if negatives == "sum" else hinge.amax(1)).mean()
