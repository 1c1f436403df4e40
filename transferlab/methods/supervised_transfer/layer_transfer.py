"""Layer transfer: copy some layers of the source's net, train the rest on the target.

Yosinski, Clune, Bengio, Lipson, How transferable are features in deep neural networks?, NeurIPS 2014. In their names,
with B the target: AnB copies n layers from the source and freezes them, AnB+ tunes them as well, BnB and BnB+ copy from
a net of the target itself. The lecture's rule: for images copy the first layers, for speech the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.errors import require
from transferlab.map import LABELLED, Sees
from transferlab.methods.source import source_model
from transferlab.methods.target import LearnsTarget, freeze, train_on_target
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config(LearnsTarget):
    """Options of layer_transfer."""

    donor: Literal["source", "target", "random"] = "source"
    """source: AnB; target: BnB, a first net trained on the target; random: layers that never learned anything."""
    layers: int = 1
    """n, how many layers are copied."""
    end: Literal["first", "last"] = "first"
    """Copy from the input on, or from the output back."""
    frozen: bool = True
    """Copied layers stay as they are; false is the papers' "+"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.layers >= 0, f"method.layers={self.layers}: must not be negative")

    def possible(self, layers: int, same_classes: bool) -> int:
        """How many of so many layers can be copied: a head of other classes cannot."""
        return layers if self.donor != "source" or same_classes else layers - 1

    def idle(self, case: Case) -> Idle:
        if self.layers == 0:
            yield "method.layers=0", ["method.end", "method.frozen"]
        elif self.layers == self.possible(case.layers, case.same_classes is not False):
            yield f"method.layers={self.layers}, all that can be copied", ["method.end"]
        if self.donor == "random" and self.steps is not None:
            yield f"method.donor=random method.steps={self.steps}", ["train.steps"]

    def check(self, case: Case) -> None:
        possible = self.possible(case.layers, case.same_classes is not False)
        require(self.layers <= possible, f"method.layers={self.layers}: {possible} layers can be copied here")
        everything = self.frozen and self.layers == case.layers
        require(not everything, f"method.layers={self.layers}: nothing is left to train; use method.frozen=false")


def fit(config: Config, problem: Problem[Labelled, Labelled], run: Run) -> Classifier:
    donor = {"source": source_model, "target": target_model, "random": random_model}[config.donor](problem, run)
    net = run.net(problem, "target", name="rest")
    net.preprocess = donor.preprocess  # copied layers know their own inputs
    possible = config.possible(len(net.layers), problem.classes == problem.source_classes)
    chosen = range(possible)[: config.layers] if config.end == "first" else range(possible)[possible - config.layers :]
    for depth in chosen:
        net.layers[depth].load_state_dict(donor.layers[depth].state_dict())
        if config.frozen:
            freeze([net.layers[depth]])
    predictor = Classifier(net, domains=("target",))
    train_on_target(problem, run, net, predictor, config.steps)
    return predictor


def target_model(problem: Problem[Labelled, Labelled], run: Run) -> ConvNet:
    """A first net trained on the target, the donor of the selffer control."""
    net = run.net(problem, "target")
    train_on_target(problem, run, net, Classifier(net, domains=("target",)), stage="first target net")
    return net


def random_model(problem: Problem[Labelled, Labelled], run: Run) -> ConvNet:
    """A net as initialised."""
    return run.net(problem, "target", name="random")
