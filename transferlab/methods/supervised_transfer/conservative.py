"""Conservative training: learn the target, but stay near what the source has taught.

Near in outputs. With the same classes, KL divergence regularised adaptation (Yu, Yao, Su, Li, Seide, ICASSP 2013):
cross-entropy against (1 - rho) times the label plus rho times the source model's own answer, which is
(1 - rho) CE + rho KL up to a constant. With other classes, learning without forgetting (Li & Hoiem, ECCV 2016): the
old head's softened answers on the new inputs are to stay.

Near in weights. L2-SP (Li, Grandvalet, Davoine, ICML 2018): alpha/2 ||w - w_0||^2 + beta/2 ||w_head||^2.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, Sees
from transferlab.methods.source import measured_source_model
from transferlab.methods.target import LearnsTarget, batch_size, half_squared_distance, new_head, weights
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config(LearnsTarget):
    """Options of conservative."""

    keep: Literal["outputs", "weights", "both"] = "both"
    """What stays near the source model: its outputs (KLD or LwF), its weights (L2-SP), or both."""
    rho: float = 0.5
    """KLD: share of the source model's answer in the training target; 0 is fine-tuning, 1 is no learning."""
    old_weight: float = 1.0
    """LwF: weight of the old head's distillation loss, lambda_o."""
    temperature: float = 2.0
    """LwF: softening of the old head's answers."""
    warmup: int = 100
    """Steps in which a new head learns alone, before the rest may move, as LwF does it; 0: none."""
    alpha: float = 0.1
    """L2-SP: pull towards the source model's weights."""
    beta: float = 0.01
    """L2-SP: decay of a new head."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rho <= 1, f"method.rho={self.rho}: allowed is 0 to 1")
        require(self.temperature > 0, f"method.temperature={self.temperature}: must be greater than 0")
        for name in ("warmup", "old_weight", "alpha", "beta"):
            require(getattr(self, name) >= 0, f"method.{name}={getattr(self, name)}: must not be negative")

    def idle(self, case: Case) -> Idle:
        if self.keep == "weights":
            yield "method.keep=weights", ["method.rho", "method.old_weight", "method.temperature"]
        if self.keep == "outputs":
            yield "method.keep=outputs", ["method.alpha", "method.beta"]
        if case.same_classes:
            of_new_head = ["method.old_weight", "method.temperature", "method.warmup", "method.beta"]
            yield "the same classes in both domains", of_new_head
        elif case.same_classes is False:
            yield "other classes in the target", ["method.rho"]
        if self.old_weight == 0:
            yield "method.old_weight=0", ["method.temperature"]


def fit(config: Config, problem: Problem[Labelled, Labelled], run: Run) -> Classifier:
    net = measured_source_model(problem, run)
    teacher = copy.deepcopy(net).requires_grad_(False).eval()
    old_head = copy.deepcopy(net.head)
    same = problem.classes == problem.source_classes
    if not same:
        new_head(problem, run, net)
    start = {name: tensor for name, tensor in weights(teacher).items() if same or not name.startswith("head.")}
    predictor = Classifier(net, source_head=old_head)

    def loss(batch, progress):
        inputs, labels = batch.target.inputs, batch.target.labels
        hidden = net.hidden(net.features(inputs, "target"), "target")
        logits = net.head(hidden).float()
        losses = {"label": F.cross_entropy(logits, labels)}
        if config.keep != "weights":
            answer = teacher(inputs, "target")
        if config.keep != "weights" and same:
            losses = {"label": divergence_regularised(logits, labels, answer, config.rho)}
        elif config.keep != "weights":
            losses["old"] = config.old_weight * distillation(old_head(hidden).float(), answer, config.temperature)
        if config.keep != "outputs":
            losses["weights"] = config.alpha * half_squared_distance(weights(net), start)
            if not same:
                losses["head"] = config.beta / 2 * (net.head.weight.square().sum() + net.head.bias.square().sum())
        return losses

    def head_alone(batch, progress):
        with torch.no_grad():  # so that no gradient waits in the trunk for the next stage
            hidden = net.hidden(net.features(batch.target.inputs, "target"), "target")
        return {"label": F.cross_entropy(net.head(hidden).float(), batch.target.labels)}

    draw = problem.batches(target=batch_size(problem, run))
    if config.warmup and not same:
        run.train("warm-up", {"head": net.head}, head_alone, draw, steps=config.warmup)
    run.train("target", {"net": net, "old_head": old_head}, loss, draw, predictor, steps=config.steps)
    return predictor


def divergence_regularised(logits: Tensor, labels: Tensor, answer: Tensor, rho: float) -> Tensor:
    """Cross-entropy of logits [B, C] against (1 - rho) onehot(labels [B]) + rho softmax(answer [B, C]), the mean."""
    wanted = (1 - rho) * F.one_hot(labels, logits.shape[1]) + rho * answer.softmax(1)
    return F.cross_entropy(logits, wanted)


def distillation(logits: Tensor, answer: Tensor, temperature: float) -> Tensor:
    """Knowledge distillation of [B, C]: cross-entropy between answers softened to p^(1/T), renormalised; the mean."""
    return F.cross_entropy(logits / temperature, (answer / temperature).softmax(1))
