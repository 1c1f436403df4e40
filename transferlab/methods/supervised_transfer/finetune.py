"""Fine-tuning: start on the target with what the source has taught.

With few labelled target samples a whole network overfits; freezing layers or slowing them down is the first remedy.
``initial=scratch`` and ``trainable=head`` are the two baselines between which it lies.

With trained features a random head spoils them before it has learned; ``trainable=head_then_all`` solves the head first
(LP-FT: Kumar, Raghunathan, Jones, Ma, Liang, ICLR 2022). ``interpolation`` goes back some way from where fine-tuning
ended towards where it began (WiSE-FT: Wortsman et al., CVPR 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, Sees
from transferlab.methods.heads import linear, solved
from transferlab.methods.source import measured_source_model
from transferlab.methods.target import LearnsTarget, freeze, layer_rates, new_head, train_on_target
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Idle, added
from transferlab.problem import Labelled, Problem
from transferlab.training.parameters import set_training
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config(LearnsTarget):
    """Options of finetune."""

    initial: Literal["source", "scratch"] = "source"
    """source: the net trained on the source; scratch: a fresh one, the baseline, which trained weights begin too where
    model.weights names some."""
    head: Literal["new", "shared"] = "new"
    """new: a fresh last layer; shared: the source's own, where both domains have the same classes."""
    trainable: Literal["all", "head", "head_then_all"] = "all"
    """all: every layer but the frozen ones; head: a linear probe, logistic regression on the last hidden layer as it
    is, solved to convergence without steps, its L2 penalty chosen by cross-validation on the labelled samples;
    head_then_all: every layer, from that head on."""
    interpolation: float = added(1.0)
    """Which weights the run ends with, between those before (0) and after (1) the steps of head_then_all."""
    freeze: int = 0
    """How many layers, from the input on, stay as they are."""
    layer_decay: float = 1.0
    """Learning rate of a layer as a share of the next one's; 1: the same for all. Howard & Ruder have 1 / 2.6."""
    unfreeze: Literal["at_once", "gradually"] = added("at_once")
    """gradually: the head learns first, and after equal parts of the steps one more layer each, from the top down
    (ULMFiT: Howard & Ruder, ACL 2018)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.freeze >= 0, f"method.freeze={self.freeze}: must not be negative")
        require(0 < self.layer_decay <= 1, f"method.layer_decay={self.layer_decay}: allowed is 0 < decay <= 1")
        for name, unused in (("freeze", self.freeze > 0), ("head", self.head == "shared")):
            where = f"method.{name}={getattr(self, name)}"
            require(
                not unused or self.initial == "source", f"{where}: not with method.initial=scratch, without a source"
            )
            require(
                not unused or self.trainable != "head", f"{where}: not with method.trainable=head, a new head alone"
            )
        shared = self.head == "shared" and self.trainable == "head_then_all"
        require(not shared, "method.head=shared: not with method.trainable=head_then_all, which begins with a new head")
        between = 0 <= self.interpolation <= 1
        require(between, f"method.interpolation={self.interpolation}: allowed is 0 to 1")
        decays = self.layer_decay < 1 and self.trainable == "head"
        require(not decays, f"method.layer_decay={self.layer_decay}: not with method.trainable=head, a new head alone")

    def idle(self, case: Case) -> Idle:
        if self.trainable != "head_then_all":
            yield f"method.trainable={self.trainable}", ["method.interpolation"]
        if self.trainable == "head":
            if self.initial == "scratch":
                yield "method.initial=scratch method.trainable=head", ["train", "model.dropout"]
            yield "method.trainable=head", ["method.steps", "train.evaluations"]
        elif self.initial == "scratch" and self.steps is not None:
            yield f"method.initial=scratch method.steps={self.steps}", ["train.steps"]
        if self.trainable == "head":
            yield "method.trainable=head", ["method.unfreeze"]
        if self.freeze == case.layers - 1:
            yield f"method.freeze={self.freeze}, all but one layer", ["method.layer_decay", "method.unfreeze"]

    def check(self, case: Case) -> None:
        shared = "method.head=shared: needs the same classes in both domains; use method.head=new"
        require(self.head == "new" or case.same_classes is not False, shared)
        too_many = f"method.freeze={self.freeze}: the net has {case.layers} layers, one must learn"
        require(self.freeze < case.layers, too_many)


def fit(config: Config, problem: Problem[Labelled, Labelled], run: Run) -> Classifier:
    if config.initial == "scratch":
        net, source_head = run.net(problem, "target"), None
    else:
        net = measured_source_model(problem, run)
        source_head = copy.deepcopy(net.head).requires_grad_(False)
        if config.head == "new":
            new_head(problem, run, net)
    freeze(net.layers[: config.freeze])
    # The old head on the layers as they are now tells what of the source is forgotten.
    domains = ("source", "target") if source_head else ("target",)
    predictor = Classifier(net, source_head=source_head, domains=domains)
    if config.trainable != "all":
        net.head = linear(linear_probe(problem, run, net)).requires_grad_(config.trainable == "head_then_all")
    if config.trainable != "head":
        goes_back = config.trainable == "head_then_all" and config.interpolation < 1
        before = copy.deepcopy(net.state_dict()) if goes_back else {}
        begin = gradual(net) if config.unfreeze == "gradually" else None
        train_on_target(problem, run, net, predictor, config.steps, layer_rates(net, config.layer_decay), begin=begin)
        if goes_back:
            net.load_state_dict(between(before, net.state_dict(), config.interpolation))
    return predictor


def gradual(net: ConvNet) -> Callable[[float], None]:
    """What lets only the topmost of the net's unfrozen layers learn, the more the further training has come."""
    own = [[parameter for parameter in layer.parameters() if parameter.requires_grad] for layer in net.layers]
    own = [parameters for parameters in own if parameters]
    learning = [len(own)]

    def at(progress: float) -> None:
        count = min(1 + int(progress * len(own)), len(own))
        if count != learning[0]:
            learning[0] = count
            for depth, parameters in enumerate(reversed(own)):
                for parameter in parameters:
                    parameter.requires_grad_(depth < count)
            set_training(net)

    return at


def between(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) before + share after, of all floating-point tensors of a net's state; the others as after."""
    return {name: torch.lerp(before[name], tensor, share) if tensor.is_floating_point() else tensor
            for name, tensor in after.items()}  # fmt: skip


def linear_probe(problem: Problem[Labelled, Labelled], run: Run, net: ConvNet) -> dict[str, Tensor]:
    """A head on the target's last hidden layer as ``net`` has it: weight [C, D] and bias [C]."""
    probe = run.once("probe", lambda: solved(run, net, problem.target, "target"))
    if "validation" in probe:
        run.report({"cross_validation_accuracy": float(probe["validation"])})
    return probe
