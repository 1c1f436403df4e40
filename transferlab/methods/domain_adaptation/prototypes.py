"""Target prototypes: what the target's own features say of its classes, begun by the source's classifier.

The pseudo-labels of SHOT (Liang, Hu, Feng, Do We Really Need to Access the Source Data?, ICML 2020, equations 5 and 6)
on features that stay as they are. With x the last hidden layer of a target sample, at length 1, and p(x) what the net
that was trained on the source makes of it, each class k has the prototype

    c_k = sum_x p_k(x) x / sum_x p_k(x),    then    c_k = mean of the x whose nearest prototype in angle it is,

which is repeated until no sample changes its class, as in spherical k-means (Dhillon & Modha, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.heads import hidden, linear
from transferlab.methods.source import source_model
from transferlab.models.predictor import Classifier
from transferlab.options import Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=UNLABELLED)


@dataclass
class Config(Options):
    """Options of prototypes."""

    rounds: int = 20
    """How often prototypes are computed again from the samples nearest to them, at most; 0: the first ones, from the
    source classifier's probabilities."""

    @property
    def probabilities(self) -> bool:
        """Cosines are none."""
        return False

    def __post_init__(self) -> None:
        require(self.rounds >= 0, f"method.rounds={self.rounds}: must not be negative")


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Classifier:
    net = source_model(problem, run)

    def compute() -> dict[str, Tensor]:
        features = hidden(run, net, problem.target.inputs, "target")
        with torch.no_grad():
            probabilities = net.head(features).float().softmax(1)
        weight, changes = prototypes(features, probabilities, config.rounds)
        return {"weight": weight, "bias": torch.zeros_like(weight[:, 0]), "rounds": torch.tensor(changes)}

    found = run.once("prototypes", compute)
    run.report({"rounds": int(found["rounds"])})
    predictor = Classifier(net, head=linear(found), source_head=net.head, scores_are_logits=False)
    run.candidate("prototypes", predictor)
    return predictor


def prototypes(features: Tensor, probabilities: Tensor, rounds: int) -> tuple[Tensor, int]:
    """Prototypes [K, D] of length 1 for float32 features [N, D] with class probabilities [N, K]; the rounds it took.

    A class that is nearest to no sample keeps the prototype that it had.
    """
    x = F.normalize(features, dim=1)
    centres = F.normalize(probabilities.T @ x, dim=1)
    nearest = (x @ centres.T).argmax(1)
    for done in range(rounds):
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        there = torch.bincount(nearest, minlength=len(centres)) > 0
        centres = torch.where(there[:, None], F.normalize(sums, dim=1), centres)
        before, nearest = nearest, (x @ centres.T).argmax(1)
        if torch.equal(before, nearest):
            return centres, done + 1
    return centres, rounds
