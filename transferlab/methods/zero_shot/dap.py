"""DAP, direct attribute prediction.

Lampert, Nickisch, Harmeling, Learning to Detect Unseen Object Classes by Between-Class Attribute Transfer, CVPR 2009:
a probabilistic classifier for each attribute, and the class z with the largest
prod_m p(a_m = a_m^z | x) / p(a_m = a_m^z), the denominator being the attribute's frequency among the seen classes. Here
the classifiers are logistic regressions (the paper's are kernel SVMs with Platt scaling).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._task import Lifted, Setting, Task, make_task, solved
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, steps=False)


@dataclass
class Config(Lifted):
    """Options of dap. Signatures that are not 0 or 1 are set to 1 above their mean over all seen classes."""

    decay: list[float] = field(default_factory=lambda: [1e-5, 1e-4, 1e-3])
    """L2 penalties of the attribute classifiers to choose from, beside the mean loss."""
    kernel: Literal["linear", "rbf"] = "linear"


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, "binary")

    def predictor(task: Task, weight: Tensor, bias: Tensor) -> ZeroShot:
        return ZeroShot(
            task.lift, weight, bias, task.signatures, len(task.seen), "attributes", prior=task.seen.mean(0),
            penalty=config.penalty,
        )  # fmt: skip

    def solve(task: Task, setting: Setting) -> tuple[Tensor, Tensor]:
        return attribute_classifiers(task.inputs, task.seen[task.labels], setting["decay"])

    return solved(task, problem, run, {"decay": config.decay}, solve, predictor)


def attribute_classifiers(x: Tensor, wanted: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Logistic regressions of attributes [N, M] on x [N, D] by L-BFGS: weight [D, M], bias [M]."""
    weight = torch.zeros(x.shape[1], wanted.shape[1], device=x.device, requires_grad=True)
    bias = torch.zeros(wanted.shape[1], device=x.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, wanted, reduction="sum") / len(x)
        loss = loss + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach(), bias.detach()
