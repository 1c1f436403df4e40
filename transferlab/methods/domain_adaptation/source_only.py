"""Train on the labelled source alone: the lower baseline of every adaptation table."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.heads import Headed, classifier
from transferlab.methods.source import is_head_alone, source_model
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING)


@dataclass
class Config(Headed):
    """Options of source_only."""


def fit(config: Config, problem: Problem[Labelled, None], run: Run) -> Classifier:
    net = source_model(problem, run, measured=True)
    if is_head_alone(net):  # no step of training at which it could have been measured
        run.candidate("head", Classifier(net))
    return classifier(config.head, problem, run, net)
