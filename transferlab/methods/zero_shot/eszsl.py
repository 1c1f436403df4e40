"""ESZSL: an embarrassingly simple approach to zero-shot learning.

Romera-Paredes & Torr, ICML 2015. A bilinear map in closed form,

    V = (X^T X + gamma I)^-1 X^T Y S (S^T S + lambda I)^-1,

with X [N, D] centred, Y [N, C] of -1 and 1, signatures S [C, M]; a class's score is x V s. Both regularisers are chosen on
held-out seen classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.config import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Task, choose, make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Problem
from transferlab.training.engine import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False)


@dataclass
class Config:
    """Options of eszsl."""

    gamma: list[float] = field(default_factory=lambda: [10.0, 100.0, 1000.0, 10000.0, 100000.0])
    """Regularisers of the inputs to choose from (the authors': 1e-3 to 1e3)."""
    lam: list[float] = field(default_factory=lambda: [0.01, 0.1, 1.0, 10.0, 100.0])
    """Regularisers of the signatures to choose from (the authors': 1e-3 to 1e3)."""
    kernel: Literal["linear", "rbf"] = "linear"
    """linear; rbf: a Gaussian kernel through 1,000 of the inputs (Nystrom)."""
    signatures: Literal["unit", "standard", "raw"] = "unit"
    """unit: rows of length 1; standard: columns standardised over the seen classes; raw: as they are."""
    penalty: float = 0.0
    """Taken from the scores of seen classes where all compete (calibrated stacking)."""


def fit(config: Config, problem: Problem, run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(task.lift, weight, bias, task.signatures, len(task.seen), "dot", penalty=config.penalty)

    def solve(task: Task, setting: dict[str, float], fold: int | None = None) -> ZeroShot:
        return predictor(task, *bilinear(task, setting["gamma"], setting["lam"]))

    def compute() -> dict[str, Tensor]:
        setting = choose(task, {"gamma": config.gamma, "lam": config.lam}, problem.seed, solve)
        solved = solve(task, setting)
        chosen = {name: torch.tensor(value) for name, value in setting.items()}
        return {"weight": solved.weight, "bias": solved.bias, **chosen}

    solved = run.once("solve", compute)
    run.report({"gamma": float(solved["gamma"]), "lambda": float(solved["lam"])})
    return predictor(task, solved["weight"], solved["bias"])


def bilinear(task: Task, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """V [D, M] for centred inputs, and what their mean takes from x V [M]; solved in float64."""
    s = task.seen.double()
    y = 2.0 * F.one_hot(task.labels, len(s)) - 1
    weight, bias = task.ridge(y.double() @ s, gamma)
    right = s.T @ s + lam * torch.eye(s.shape[1], dtype=s.dtype, device=s.device)
    solved = torch.linalg.solve(right, torch.cat([weight, bias[None]]).T).T.float()
    return solved[:-1], solved[-1]
