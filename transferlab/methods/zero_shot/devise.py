"""DeViSE: a linear map into the space of class signatures, with a hinge rank loss.

Frome et al., DeViSE: A Deep Visual-Semantic Embedding Model, NIPS 2013: sum over wrong classes j of
max(0, margin - t_y M v + t_j M v), with signatures t of length 1 (word vectors in the paper) and features v.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._bilinear import learn, violations
from transferlab.methods.zero_shot._task import Lifted, make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, seen=4)


@dataclass
class Config(Lifted):
    """Options of devise."""

    margin: list[float] = field(default_factory=lambda: [0.1, 1.0])
    """Margins to choose from (the paper's is 0.1; on these benchmarks 1 and more are used)."""

    def idle(self, case: Case) -> Idle:
        yield "method=devise", ["train.evaluations"]  # nothing is measured on the way


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, "unit")
    return learn(task, problem, run, config.margin, hinge_rank, config.penalty)


def hinge_rank(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The sum of all violations, its mean over the batch; scores [B, C], labels [B]."""
    return violations(scores, labels, margin).sum(1).mean()
