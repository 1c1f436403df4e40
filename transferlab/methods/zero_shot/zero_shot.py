"""Attribute embedding: inputs and class signatures are mapped into one space, where the nearest class wins.

The lecture's loss for x_n of class y_n is max(0, k - f(x_n).g(y_n) + max_{m: y_m != y_n} f(x_n).g(y_m)). Pulling alone,
||f(x_n) - g(y_n)||^2 (loss=l2), has a trivial minimum: f and g map everything to one point. ``embedding_spread`` in
results.json shows it: the mean squared distance of embedded inputs from their mean, as a share of their mean square.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.config import LABELLED, NOTHING, Sees, require
from transferlab.methods.zero_shot._bilinear import violations
from transferlab.methods.zero_shot._task import make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False)


@dataclass
class Config:
    """Options of zero_shot."""

    loss: Literal["max_margin", "l2"] = "max_margin"
    """max_margin: the lecture's; l2: pulling alone, which collapses."""
    negatives: Literal["sum", "hardest"] = "sum"
    """Over which wrong classes the hinge goes: all of them, or the highest alone, as printed (stalls early)."""
    margin: float = 0.2
    """k; embeddings have length 1."""
    size: int = 64
    """Dimensions of the common space."""
    kernel: Literal["linear", "rbf"] = "rbf"
    """linear; rbf: a Gaussian kernel through 1,000 of the inputs (Nystrom)."""
    signatures: Literal["centred", "unit", "standard", "raw"] = "centred"
    """All of length 1: less the seen classes' mean; as they are; standardised. raw: not even that."""
    penalty: float = 0.0
    """Taken from the scores of seen classes where all compete (calibrated stacking)."""

    def __post_init__(self) -> None:
        require(self.margin > 0, f"method.margin={self.margin}: must be greater than 0")
        require(self.size >= 1, f"method.size={self.size}: must be at least 1")


def fit(config: Config, problem: Problem, run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)
    with run.seeded("embeddings"):
        f = nn.Linear(task.inputs.shape[1], config.size).to(run.device)
        g = nn.Linear(task.seen.shape[1], config.size).to(run.device)

    def loss(batch, progress):
        x, y, labels = f(batch.source.inputs).float(), g(task.seen).float(), batch.source.labels
        if config.loss == "l2":
            return {"pull": (x - y[labels]).square().sum(1).mean()}
        return {"margin": max_margin(F.normalize(x) @ F.normalize(y).T, labels, config.margin, config.negatives)}

    own = replace(problem, source=Labelled(task.inputs, task.labels))
    run.train("embed", {"f": f, "g": g}, loss, own.batches(source=run.config.train.batch_size))
    codes, comparison = g(task.signatures).detach(), "euclidean" if config.loss == "l2" else "cosine"
    with torch.no_grad():
        embedded = f(task.inputs)
    spread = (embedded - embedded.mean(0)).square().sum(1).mean()
    total, codes_total = embedded.square().sum(1).mean(), codes.square().sum(1).mean()
    code_spread = (codes - codes.mean(0)).square().sum(1).mean()
    run.report({"embedding_spread": float(spread / total), "code_spread": float(code_spread / codes_total)})
    weight, bias = f.weight.detach().T, f.bias.detach()
    return ZeroShot(task.lift, weight, bias, codes, len(task.seen), comparison, penalty=config.penalty)


def max_margin(scores: Tensor, labels: Tensor, margin: float, negatives: str) -> Tensor:
    """Hinges of scores [B, C] against the true class of each row, over all wrong classes or the hardest; the mean."""
    hinge = violations(scores, labels, margin)
    return (hinge.sum(1) if negatives == "sum" else hinge.amax(1)).mean()
