"""The net trained on the labelled source, where most transfer begins."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F

from transferlab.methods.heads import linear, solved
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Loss, Run


def source_model(problem: Problem[Labelled, Any], run: Run, measured: bool = False) -> ConvNet:
    """A net trained on the source alone, ``train.steps`` steps: shared by all runs that want the same.

    A net that is nothing but its head is solved to convergence. measured: as a predictor for the target too, in the
    course of training.
    """
    net = run.net(problem, "source")
    if is_head_alone(net):
        return with_solved_head(net, problem.source, "source", run)
    draw = problem.batches(source=run.batch_size)
    predictor = Classifier(net) if measured else None
    run.train_shared("source", {"net": net}, label_loss(net), draw, problem.source, predictor)
    return net


def measured_source_model(problem: Problem[Labelled, Any], run: Run) -> ConvNet:
    """:func:`source_model`, whose accuracy on the source is kept, to tell later how much of it is forgotten."""
    net = source_model(problem, run)
    run.source_model(Classifier(net, domains=("source",)).eval())
    return net


def label_loss(net: ConvNet) -> Loss:
    """Softmax cross-entropy on the labelled inputs of a batch, their mean."""

    def loss(batch, progress):
        domain = "source" if isinstance(batch.source, Labelled) else "target"
        labelled = getattr(batch, domain)
        return {"label": F.cross_entropy(net(labelled.inputs, domain), labelled.labels)}

    return loss


def is_head_alone(net: ConvNet) -> bool:
    """Whether all that the net learns is a linear map of its inputs: on a frozen backbone's features it may be."""
    return len(net.layers) == 1


def with_solved_head(net: ConvNet, data: Labelled, domain: str, run: Run) -> ConvNet:
    """The net with a head that is solved to convergence on a domain's samples, shared by all runs that want it."""
    ingredients = {"inputs": data.inputs, "labels": data.labels}
    solve = partial(solved, run, net, data, domain)
    net.head = linear(run.once_shared("head", solve, ingredients, {"model": vars(run.model)}))
    return net
