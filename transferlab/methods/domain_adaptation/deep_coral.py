"""Deep CORAL: match the second-order statistics of the two domains.

Sun & Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.models.predictor import Classifier
from transferlab.options import Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=UNLABELLED, joint=True, batch=2)  # one sample has no covariance


@dataclass
class Config(Options):
    """Options of deep_coral."""

    weight: float = 1.0
    """Weight of the CORAL loss; the paper sets it so that both losses are of like size at the end."""

    def __post_init__(self) -> None:
        require(self.weight >= 0, f"method.weight={self.weight}: must not be negative")


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Classifier:
    net = run.net(problem)

    def loss(batch, progress):
        # The last layer's outputs, where the paper puts the loss (its fc8).
        source, target = batch.split(net(batch.inputs, batch.domains))
        return {
            "label": F.cross_entropy(source, batch.source.labels),
            "coral": config.weight * coral(source, target),
        }

    size = run.batch_size
    draw = problem.batches(source=size, target=size)
    predictor = Classifier(net, features_at="logits")
    run.train("adapt", {"net": net}, loss, draw, predictor)
    return predictor


def coral(source: Tensor, target: Tensor) -> Tensor:
    """||C_S - C_T||_F^2 / (4 d^2) of the covariances of float32 [N, d] and [M, d] (equations 1 to 3)."""
    # Differences of covariances need all the bits of float32.
    with torch.autocast(source.device.type, enabled=False):
        return (source.T.cov() - target.T.cov()).square().sum() / (4 * source.shape[1] ** 2)
