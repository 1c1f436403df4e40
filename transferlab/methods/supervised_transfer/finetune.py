"""Fine-tuning: start on the target with what the source has taught.

With few labelled target samples a whole network overfits; freezing layers or slowing them down is the first remedy.
``initial=scratch`` and ``trainable=head`` are the two baselines between which it lies.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

from transferlab.config import LABELLED, Sees, require
from transferlab.methods.source import measured_source_model
from transferlab.methods.target import freeze, layer_rates, new_head, train_on_target
from transferlab.models.predictor import Classifier
from transferlab.problem import Problem
from transferlab.training.engine import Run

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config:
    """Options of finetune."""

    initial: Literal["source", "scratch"] = "source"
    """source: the net trained on the source; scratch: a fresh one, the baseline."""
    head: Literal["new", "shared"] = "new"
    """new: a fresh last layer; shared: the source's own, where both domains have the same classes."""
    trainable: Literal["all", "head"] = "all"
    """all: every layer but the frozen ones; head: the last layer alone."""
    freeze: int = 0
    """How many layers, from the input on, stay as they are."""
    layer_decay: float = 1.0
    """Learning rate of a layer as a share of the next one's; 1: the same for all."""
    steps: int | None = None
    """Steps on the target; null: train.steps."""

    def __post_init__(self) -> None:
        require(self.freeze >= 0, f"method.freeze={self.freeze}: must not be negative")
        require(0 < self.layer_decay <= 1, f"method.layer_decay={self.layer_decay}: allowed is 0 < decay <= 1")
        require(self.steps is None or self.steps >= 1, f"method.steps={self.steps}: must be at least 1")


def fit(config: Config, problem: Problem, run: Run) -> Classifier:
    if config.initial == "scratch":
        net, source_head = run.net(problem, "target"), None
    else:
        net = measured_source_model(problem, run)
        source_head = copy.deepcopy(net.head).requires_grad_(False)
        if config.head == "new":
            new_head(problem, run, net)
        else:
            same = problem.classes == problem.source_classes
            require(same, "method.head=shared: needs the same classes in both domains; use method.head=new")
    layers = net.layers
    frozen = len(layers) - 1 if config.trainable == "head" else config.freeze
    require(frozen < len(layers), f"method.freeze={frozen}: the net has {len(layers)} layers, one must learn")
    freeze(layers[:frozen])
    # The old head on the layers as they are now tells what of the source is forgotten.
    domains = ("source", "target") if source_head else ("target",)
    predictor = Classifier(net, source_head=source_head, domains=domains)
    train_on_target(problem, run, net, predictor, config.steps, layer_rates(net, config.layer_decay))
    return predictor
