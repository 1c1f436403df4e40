"""Bilinear compatibility x W s, learned step by step: what ALE and DeViSE share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from transferlab.methods.zero_shot._task import Task, choose
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem
from transferlab.training.run import Run

Ranking = Callable[[Tensor, Tensor, float], Tensor]


def learn(
    task: Task, problem: Problem[Labelled, None], run: Run, margins: Sequence[float], ranking: Ranking, penalty: float
) -> ZeroShot:
    """W [D, M] that minimises ``ranking(scores [B, C], labels [B], margin)``; the margin is chosen on seen classes."""

    def train(task: Task, setting: dict[str, float], fold: int | None = None) -> ZeroShot:
        # Named apart: each is a durable stage of its own.
        stage = "learn" if fold is None else f"margin {setting['margin']:g} fold {fold + 1}"
        net = nn.Linear(task.inputs.shape[1], task.seen.shape[1], bias=False, device=run.device)
        nn.init.zeros_(net.weight)

        def loss(batch, progress):
            scores = net(batch.source.inputs) @ task.seen.T
            return {"ranking": ranking(scores.float(), batch.source.labels, setting["margin"])}

        own = replace(problem, source=Labelled(task.inputs, task.labels))
        run.train(stage, {"net": net}, loss, own.batches(source=run.batch_size))
        weight = net.weight.detach().T
        bias = weight.new_zeros(weight.shape[1])
        return ZeroShot(task.lift, weight, bias, task.signatures, len(task.seen), "dot", penalty=penalty)

    setting = choose(task, {"margin": margins}, problem.seed, train)
    run.report(setting)
    return train(task, setting)


def violations(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """max(0, margin - score of the true class + score) of every other class [B, C]; 0 at the true class."""
    hinge = (margin - scores.gather(1, labels[:, None]) + scores).clamp_min(0)
    return hinge.scatter(1, labels[:, None], torch.zeros_like(hinge[:, :1]))
