"""Domain-adversarial training (DANN).

Ganin & Lempitsky, Unsupervised Domain Adaptation by Backpropagation, ICML 2015; Ganin et al.,
Domain-Adversarial Training of Neural Networks, JMLR 17, 2016.

A critic G_d learns to tell the domains apart from the features G_f; the features learn to be useless to it
and useful to the label predictor G_y. With the gradient reversed between features and critic, one descent on

    L_y(G_y(G_f x_s), y_s) + L_d(G_d(G_f x), d)

finds the saddle point of E = sum L_y - lambda sum L_d (equations 9 and 13 to 15 of 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.heads import Headed, classifier
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Idle, added
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run
from transferlab.training.schedules import domain_adaptation

sees = Sees(source=LABELLED, target=UNLABELLED, joint=True, critic=True)


@dataclass
class Config(Headed):
    """Options of dann."""

    critic_weight: float = 1.0
    """Weight of the critic's mean loss beside the label predictor's; 2 gives the equation's sums over samples."""
    gamma: float = 10.0
    """Steepness of lambda's way from 0 to the largest."""
    largest_lambda: float = added(1.0)
    """Where lambda's way ends: the share of the critic's gradient that reaches the features, reversed, at the end. The
    papers' is 1, the authors' released code has 0.1; 0: the critic learns and the features hear nothing of it."""

    def __post_init__(self) -> None:
        require(self.critic_weight > 0, f"method.critic_weight={self.critic_weight}: must be greater than 0")
        require(self.gamma > 0, f"method.gamma={self.gamma}: must be greater than 0")
        largest = f"method.largest_lambda={self.largest_lambda}: must not be negative"
        require(self.largest_lambda >= 0, largest)

    def idle(self, case: Case) -> Idle:
        if self.largest_lambda == 0:
            yield "method.largest_lambda=0", ["method.gamma"]


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Classifier:
    net = run.net(problem)
    critic = run.critic(net)

    def loss(batch, progress):
        features = net.features(batch.inputs, batch.domains)
        # All features pass the label predictor, so that its batch normalisation knows both domains.
        logits, _ = batch.split(net.classify(features, batch.domains))
        # Lambda scales what reaches the features; the critic itself learns at full strength.
        factor = config.largest_lambda * domain_adaptation(progress, config.gamma)
        told_apart = critic(reverse_gradient(features, factor))
        return {
            "label": F.cross_entropy(logits, batch.source.labels),
            "critic": config.critic_weight * F.binary_cross_entropy_with_logits(told_apart, batch.is_target),
        }

    size = run.batch_size
    draw = problem.batches(source=size, target=size)
    predictor = Classifier(net, critic=critic)
    run.train("adapt", {"net": net, "critic": critic}, loss, draw, predictor)
    return classifier(config.head, problem, run, net, critic)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(features: Tensor, factor: float) -> Tensor:
    """The gradient reversal layer: the identity forwards, times -factor backwards (equations 16 and 17)."""
    return _ReverseGradient.apply(features, factor)
