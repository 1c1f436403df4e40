"""Progressive neural networks (Rusu et al., arXiv 1606.04671, 2016).

A column is trained on the source and frozen; a second one learns the target and takes from the first, layer by layer,
what it can use. Nothing of the source is forgotten, by construction. Source classes called "task/class" are tasks of
their own: a column for each, in their order. With ``first=random`` the earlier columns never learned anything, the
paper's baseline 4; its baselines 1 to 3 are ``finetune`` with initial=scratch, trainable=head and as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, Sees
from transferlab.methods.source import source_model
from transferlab.methods.supervised_transfer.multitask import task_of_class
from transferlab.methods.target import LearnsTarget, batch_size
from transferlab.models.architectures import ARCHITECTURES
from transferlab.models.predictor import Classifier
from transferlab.models.progressive import Progressive
from transferlab.options import Case, Idle
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=LABELLED, classes="any")


@dataclass
class Config(LearnsTarget):
    """Options of progressive."""

    first: Literal["source", "random"] = "source"
    """source: earlier columns are trained; random: frozen as initialised, the control."""
    adapter: bool = True
    """Laterals go through a small learned layer; false: linear ones, equation 2."""
    alpha: float = 1.0
    """Initial scale of what comes from earlier columns (the paper draws it from 1, 0.1, 0.01)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha != 0, "method.alpha=0: nothing would ever come through; allowed is any other number")

    def check(self, case: Case) -> None:
        plain = case.model.name in ARCHITECTURES
        message = "a column grows beside plain layers; allowed are"
        require(plain, f"model={case.model.name}: {message} {', '.join(ARCHITECTURES)}")

    def idle(self, case: Case) -> Idle:
        if not self.adapter:
            yield "method.adapter=false", ["method.alpha"]
        if self.first == "random" and self.steps is not None:
            yield f"method.first=random method.steps={self.steps}", ["train.steps"]


def fit(config: Config, problem: Problem[Labelled, Labelled], run: Run) -> Progressive:
    tasks = task_of_class(problem.source_classes).to(run.device)
    count = int(tasks.max()) + 1
    alone = count == 1 and config.first == "source"
    earlier = [source_model(problem, run)] if alone else [
        run.net(problem, "source", name=f"column {task}") for task in range(count)
    ]  # fmt: skip
    with run.seeded("laterals"):
        net = Progressive([*earlier, run.net(problem, "target", name="target column")], config.alpha, config.adapter)
    net.to(run.device)
    if count > 1 and config.first == "source":
        for task in range(count):
            learn_source_task(net, task, tasks, problem, run)
    run.source_model(Classifier(earlier[0], domains=("source",) if count == 1 else ()))

    def loss(batch, progress):
        return {"label": F.cross_entropy(net.logits(batch.target.inputs), batch.target.labels)}

    only(net, len(earlier))
    draw = problem.batches(target=batch_size(problem, run))
    run.train("target", {"net": net}, loss, draw, net, steps=config.steps)
    run.report(average_fisher_sensitivity(net, problem, run))
    return net


def only(net: Progressive, place: int) -> None:
    """Freeze every column but one."""
    for number, column in enumerate(net.columns):
        column.requires_grad_(number == place)


def learn_source_task(
    net: Progressive, task: int, tasks: Tensor, problem: Problem[Labelled, Labelled], run: Run
) -> None:
    """Train the column of one of several source tasks on its own samples, with a softmax over its own classes."""
    rows = tasks[problem.source.labels] == task
    own = replace(problem, source=Labelled(problem.source.inputs[rows], problem.source.labels[rows]))

    def loss(batch, progress):
        logits = net.traces(batch.source.inputs, task + 1)[-1][-1].float()
        return {"label": F.cross_entropy(logits.masked_fill(tasks != task, -torch.inf), batch.source.labels)}

    only(net, task)
    size = min(run.batch_size, int(rows.sum()))
    run.train(f"column {task + 1}", {"net": net}, loss, own.batches(source=size))


def average_fisher_sensitivity(
    net: Progressive, problem: Problem[Labelled, Labelled], run: Run, samples: int = 500
) -> dict[str, float]:
    """Each column's share of the target's sensitivity at each layer (AFS, section 3.1), for at most so many samples.

    The diagonal of the Fisher information of log p(y|x), y drawn from the model, with respect to activations scaled to
    unit variance; gradients are summed over a map's pixels and then squared, where the paper's "implicitly summing over
    pixels" could also mean the sum of squares. As features of two columns do not correspond, a layer's sums are
    normalised over the columns: they add up to one.
    """

    def compute() -> dict[str, Tensor]:
        rows = torch.randperm(len(problem.target.inputs))[:samples].to(run.device)
        net.eval().requires_grad_(True)  # so that the frozen columns' activations have gradients
        traces = net.traces(problem.target.inputs[rows])
        logits = traces[-1][-1]
        drawn = torch.distributions.Categorical(logits=logits.detach()).sample()
        flat = [h for trace in traces for h in trace[1:-1]]
        gradients = torch.autograd.grad(F.cross_entropy(logits, drawn, reduction="sum"), flat, allow_unused=True)
        fisher = []
        for h, g in zip(flat, gradients, strict=True):
            scaled = (torch.zeros_like(h) if g is None else g) * h.detach().std(0)
            per_feature = scaled.flatten(2).sum(2) if scaled.dim() > 2 else scaled
            fisher.append(per_feature.square().mean(0).sum())
        table = torch.stack(fisher).view(len(traces), -1)
        return {"afs": table / table.sum(0, keepdim=True).clamp_min(1e-30)}

    table = run.once("sensitivity", compute)["afs"]
    return {f"afs_layer{layer + 1}_column{column + 1}": float(table[column, layer])
            for layer in range(table.shape[1]) for column in range(table.shape[0])}  # fmt: skip
