"""ConSE: a convex combination of the seen classes' signatures.

Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014: nothing is trained but a
classifier of the seen classes. An input's embedding is the mean of its T likeliest seen classes' signatures, weighed by
their probabilities; the class with the nearest signature by cosine wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Described, Setting, Task, make_task, solved
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, steps=False, seen=4)


@dataclass
class Config(Described):
    """Options of conse."""

    top: int = 10
    """T, how many of the likeliest seen classes are combined."""
    decay: list[float] = field(default_factory=lambda: [1e-5, 1e-4, 1e-3])
    """L2 penalties of the seen classes' classifier to choose from, beside the mean loss."""
    kernel: Literal["linear", "rbf"] = "linear"

    def __post_init__(self) -> None:
        require(self.top >= 1, f"method.top={self.top}: must be at least 1")


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(
            task.lift, weight, bias, task.signatures, len(task.seen), "cosine", penalty=config.penalty, top=config.top
        )

    def solve(task: Task, setting: Setting) -> tuple[Tensor, Tensor]:
        return softmax_regression(task.inputs, task.labels, len(task.seen), setting["decay"])

    return solved(task, problem, run, {"decay": config.decay}, solve, predictor)


def softmax_regression(x: Tensor, labels: Tensor, classes: int, decay: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression on x [N, D] by L-BFGS: weight [D, C], bias [C]."""
    weight = torch.zeros(x.shape[1], classes, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, labels) + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach(), bias.detach()
