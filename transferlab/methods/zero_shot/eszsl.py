"""ESZSL: an embarrassingly simple approach to zero-shot learning.

Romera-Paredes & Torr, ICML 2015. A bilinear map in closed form,

    V = (X^T X + gamma I)^-1 X^T Y S (S^T S + lambda I)^-1,

with X [N, D] centred, Y [N, C] of -1 and 1, signatures S [C, M]; a class's score is x V s. Both regularisers are chosen
on held-out seen classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Described, Setting, Task, make_task, solved
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, steps=False, seen=4)


@dataclass
class Config(Described):
    """Options of eszsl."""

    gamma: list[float] = field(default_factory=lambda: [3.0, 10.0, 30.0, 100.0, 300.0])
    """Regularisers of the inputs to choose from (the authors': 1e-3 to 1e3)."""
    lam: list[float] = field(default_factory=lambda: [0.03, 0.1, 0.3, 1.0, 3.0])
    """Regularisers of the signatures to choose from (the authors': 1e-3 to 1e3)."""


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(task.lift, weight, bias, task.signatures, len(task.seen), "dot", penalty=config.penalty)

    def solve(task: Task, setting: Setting) -> tuple[Tensor, Tensor]:
        return bilinear(task, setting["gamma"], setting["lam"])

    return solved(task, problem, run, {"gamma": config.gamma, "lam": config.lam}, solve, predictor)


def bilinear(task: Task, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """V [D, M] for centred inputs, and what the mean adds to x V [M]; solved in float64."""
    s = task.seen.double()
    weight, bias = task.ridge(2 * s - s.sum(0), gamma)  # the rows of Y S
    right = s.T @ s + lam * torch.eye(s.shape[1], dtype=s.dtype, device=s.device)
    solved = torch.linalg.solve(right, torch.cat([weight, bias[None]]).T).T.float()
    return solved[:-1], solved[-1]
