"""Maximum classifier discrepancy (MCD): classifiers part where the target is unlike the source, features unite them.

Saito, Watanabe, Ushiku, Harada, Maximum Classifier Discrepancy for Unsupervised Domain Adaptation, CVPR 2018.

With d(p_1, p_2) the mean of |p_1 - p_2| over inputs and classes, each step takes, on one batch (section 3.3):

    A   min over G, F_1, F_2   CE(F_1) + CE(F_2)                       on the source
    B   min over F_1, F_2      CE(F_1) + CE(F_2) - d(F_1, F_2)         CE on the source, d on the target
    C   min over G, n times    d(F_1, F_2)                             on the target
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.models.predictor import Classifier
from transferlab.options import Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run, Update

sees = Sees(source=LABELLED, target=UNLABELLED, joint=True)


@dataclass
class Config(Options):
    """Options of mcd."""

    generator_steps: int = 4
    """n: how often in a row the features learn to bring the classifiers together, for each time that these part."""
    weight: float = 1.0
    """Weight of the discrepancy in B and C; the paper's is 1."""

    def __post_init__(self) -> None:
        require(self.generator_steps >= 1, f"method.generator_steps={self.generator_steps}: must be at least 1")
        require(self.weight >= 0, f"method.weight={self.weight}: must not be negative")


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Classifier:
    first, second = run.net(problem), run.net(problem, name="second classifier")

    def answers(batch) -> list[Tensor]:
        features = first.features(batch.inputs, batch.domains)
        return [net.classify(features, batch.domains) for net in (first, second)]

    def label(batch, source_1, source_2):
        labels = batch.source.labels
        return {"label": F.cross_entropy(source_1, labels), "label_2": F.cross_entropy(source_2, labels)}

    def classify(batch, progress):
        (source_1, _), (source_2, _) = map(batch.split, answers(batch))
        return label(batch, source_1, source_2)

    def part(batch, progress):
        (source_1, target_1), (source_2, target_2) = map(batch.split, answers(batch))
        parting = -config.weight * discrepancy(target_1, target_2)
        return {**label(batch, source_1, source_2), "parting": parting}

    def agree(batch, progress):
        one, two = (batch.split(of_both)[1] for of_both in answers(batch))
        return {"discrepancy": config.weight * discrepancy(one, two)}

    modules = {
        "features": first.extractor,
        "classifier_1": nn.ModuleList([first.preprocess, first.trunk, first.head]),
        "classifier_2": nn.ModuleList([second.trunk, second.head]),
    }
    updates = [
        Update(classify),
        Update(part, of=("classifier_1", "classifier_2")),
        Update(agree, of=("features",), times=config.generator_steps),
    ]
    draw = problem.batches(source=run.batch_size, target=run.batch_size)
    predictor = Classifier(first)
    run.train("adapt", modules, updates, draw, predictor)
    return predictor


def discrepancy(logits_1: Tensor, logits_2: Tensor) -> Tensor:
    """Mean over inputs and classes of |softmax - softmax| of logits [B, C] (equation 9 and the authors' code)."""
    return (logits_1.softmax(1) - logits_2.softmax(1)).abs().mean()
