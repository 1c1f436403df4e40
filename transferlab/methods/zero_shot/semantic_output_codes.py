"""Semantic output codes: regress the class's signature, then take the nearest class.

Palatucci, Pomerleau, Hinton, Mitchell, Zero-shot Learning with Semantic Output Codes, NIPS 2009: ridge regression
W = (X^T X + lambda I)^-1 X^T A with A [N, M] the signature of each sample's class, then the nearest neighbour among the
classes' signatures. lambda is chosen on held-out seen classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Described, Setting, Task, make_task, solved
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, steps=False, seen=4)


@dataclass
class Config(Described):
    """Options of semantic_output_codes."""

    lam: list[float] = field(default_factory=lambda: [1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
    """Ridge penalties to choose from."""
    signatures: Literal["centred", "unit", "standard", "raw"] = "standard"


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(task.lift, weight, bias, task.signatures, len(task.seen), "euclidean", penalty=config.penalty)

    def solve(task: Task, setting: Setting) -> tuple[Tensor, Tensor]:
        return ridge(task, setting["lam"])

    return solved(task, problem, run, {"lam": config.lam}, solve, predictor)


def ridge(task: Task, lam: float) -> tuple[Tensor, Tensor]:
    """Regression of the signatures of the inputs' classes: weight [D, M] and bias [M], which is not penalised."""
    weight, bias = task.ridge(task.seen, lam)
    return weight.float(), bias.float() + task.seen.mean(0)
