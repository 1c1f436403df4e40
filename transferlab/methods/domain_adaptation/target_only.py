"""Train on the labelled target: the upper bound of every adaptation table ("train on target")."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.map import LABELLED, NOTHING, Sees
from transferlab.methods.heads import Headed, classifier
from transferlab.methods.source import is_head_alone, label_loss, with_solved_head
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=NOTHING, target=LABELLED)


@dataclass
class Config(Headed):
    """Options of target_only."""


def fit(config: Config, problem: Problem[None, Labelled], run: Run) -> Classifier:
    net = run.net(problem)
    if is_head_alone(net):
        with_solved_head(net, problem.target, "target", run)
    else:
        draw = problem.batches(target=run.batch_size)
        run.train("target", {"net": net}, label_loss(net), draw, predictor=Classifier(net))
    return classifier(config.head, problem, run, net)
