"""ALE, attribute label embedding.

Akata, Perronnin, Harchaoui, Schmid, Label-Embedding for Attribute-Based Classification, CVPR 2013; TPAMI 2016:
F(x, y) = x W s_y, learned by weighted approximate ranking. Wrong classes are drawn until one violates the margin, after
N tries; its hinge is weighed by beta_r = sum_{i <= r} 1/i with r = floor((C - 1) / N), the estimated rank of the true
class.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.zero_shot._bilinear import learn, violations
from transferlab.methods.zero_shot._task import Described, make_task
from transferlab.models.zero_shot import ZeroShot
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING, classes="disjoint", net=False, seen=4)


@dataclass
class Config(Described):
    """Options of ale."""

    margin: list[float] = field(default_factory=lambda: [0.1, 1.0])
    """Margins to choose from (the paper's is 1)."""

    def idle(self, case: Case) -> Idle:
        yield "method=ale", ["train.evaluations"]  # nothing is measured on the way


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> ZeroShot:
    task = make_task(problem, run, config.kernel, config.signatures)
    return learn(task, problem, run, config.margin, weighted_approximate_ranking, config.penalty)


def weighted_approximate_ranking(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The mean over the batch of beta_r times the first violation found; scores [B, C], labels [B]."""
    hinge = violations(scores, labels, margin)
    classes = scores.shape[1]
    # A random order of the wrong classes; the true one comes last and never violates.
    keys = torch.rand(scores.shape).to(scores.device).scatter(1, labels[:, None], 2.0)
    drawn = hinge.gather(1, keys.argsort(1))[:, :-1]
    found, tries = (drawn > 0).max(1)
    beta = (1 / torch.arange(1, classes, device=scores.device)).cumsum(0)
    rank = torch.div(classes - 1, tries + 1, rounding_mode="floor")
    first = drawn.gather(1, tries[:, None]).squeeze(1)
    return (found * beta[rank - 1] * first).mean()
