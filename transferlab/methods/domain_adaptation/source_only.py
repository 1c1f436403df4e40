"""Train on the labelled source alone: the lower baseline of every adaptation table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F

from transferlab.config import LABELLED, NOTHING, Sees
from transferlab.methods.heads import classifier
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Loss, Run

sees = Sees(source=LABELLED, target=NOTHING)


@dataclass
class Config:
    """Options of source_only."""

    head: Literal["softmax", "svm"] = "softmax"
    """softmax: the net's own last layer; svm: a linear SVM in its place, as in the papers' tables."""


def fit(config: Config, problem: Problem, run: Run) -> Classifier:
    net = run.net(problem)
    draw = problem.batches(source=run.config.train.batch_size)
    run.train("source", {"net": net}, label_loss(net), draw, predictor=Classifier(net))
    return classifier(config.head, problem, run, net)


def label_loss(net: ConvNet) -> Loss:
    """Softmax cross-entropy on the labelled images of a batch, their mean."""

    def loss(batch, progress):
        labelled = batch.source if isinstance(batch.source, Labelled) else batch.target
        return {"label": F.cross_entropy(net(labelled.inputs).float(), labelled.labels)}

    return loss
