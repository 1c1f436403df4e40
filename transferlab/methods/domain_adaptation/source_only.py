"""Train on the labelled source alone: the lower baseline of every adaptation table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.heads import classifier
from transferlab.methods.source import source_model
from transferlab.models.predictor import Classifier
from transferlab.options import Options
from transferlab.problem import Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=NOTHING)


@dataclass
class Config(Options):
    """Options of source_only."""

    head: Literal["softmax", "svm"] = "softmax"
    """softmax: the net's own last layer; svm: a linear SVM in its place, as in the papers' tables."""


def fit(config: Config, problem: Problem, run: Run) -> Classifier:
    return classifier(config.head, problem, run, source_model(problem, run, measured=True))
