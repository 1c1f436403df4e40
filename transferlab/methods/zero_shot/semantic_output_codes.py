"""Semantic output codes: regress the class's signature, then take the nearest class.

Palatucci, Pomerleau, Hinton, Mitchell, Zero-shot Learning with Semantic Output Codes, NIPS 2009: ridge regression
W = (X^T X + lambda I)^-1 X^T A with A [N, M] the signature of each sample's class, then the nearest neighbour among the
classes' signatures. lambda is chosen on held-out seen classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from transferlab.config import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Task, choose, make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Problem
from transferlab.training.engine import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False)


@dataclass
class Config:
    """Options of semantic_output_codes."""

    lam: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0, 1000.0, 10000.0])
    """Ridge penalties to choose from."""
    nearest: Literal["euclidean", "cosine"] = "euclidean"
    """How near is measured; the paper's is Euclidean."""
    kernel: Literal["linear", "rbf"] = "linear"
    """linear; rbf: a Gaussian kernel through 1,000 of the inputs (Nystrom)."""
    signatures: Literal["unit", "standard", "raw"] = "standard"
    """unit: rows of length 1; standard: columns standardised over the seen classes; raw: as they are."""
    penalty: float = 0.0
    """Taken from the scores of seen classes where all compete (calibrated stacking)."""


def fit(config: Config, problem: Problem, run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(
            task.lift, weight, bias, task.signatures, len(task.seen), config.nearest, penalty=config.penalty
        )

    def solve(task: Task, setting: dict[str, float], fold: int | None = None) -> ZeroShot:
        return predictor(task, *ridge(task, setting["lam"]))

    def compute() -> dict[str, Tensor]:
        setting = choose(task, {"lam": config.lam}, problem.seed, solve)
        solved = solve(task, setting)
        return {"weight": solved.weight, "bias": solved.bias, "lam": torch.tensor(setting["lam"])}

    solved = run.once("solve", compute)
    run.report({"lambda": float(solved["lam"])})
    return predictor(task, solved["weight"], solved["bias"])


def ridge(task: Task, lam: float) -> tuple[Tensor, Tensor]:
    """Regression of the signatures of the inputs' classes: weight [D, M] and bias [M], which is not penalised."""
    wanted = task.seen[task.labels].double()
    weight, bias = task.ridge(wanted, lam)
    return weight.float(), (bias + wanted.mean(0)).float()
