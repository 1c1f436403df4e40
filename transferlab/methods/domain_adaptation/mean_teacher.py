"""Self-ensembling with a mean teacher: agree with one's own average on other views of the target.

French, Mackiewicz, Fisher, Self-Ensembling for Visual Domain Adaptation, ICLR 2018, after Tarvainen & Valpola, NeurIPS
2017. The student learns the source's labels, and on the target the answers of a teacher, whose weights are the moving
average of its own, where that is confident; each of them sees a view of its own of the same inputs:

    CE(student(x_s), y_s) + w [mean_i m_i mean_k (p_ik - q_ik)^2 + b mean(m) sum_k BCE(mean_i p_ik, 1 / C)]

with p the student's and q the teacher's softmax, and m_i = 1 where max_k q_ik is above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.augmentation import perturbation
from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.models.predictor import Classifier
from transferlab.options import Case, Idle, Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run, Update

sees = Sees(source=LABELLED, target=UNLABELLED, joint=True)

TINY = 1e-6
"""So that no logarithm is infinite, as in the authors' code."""


@dataclass
class Config(Options):
    """Options of mean_teacher."""

    weight: float = 3.0
    """w: of agreement with the teacher beside the source's labels."""
    confidence: float = 0.96837722
    """The teacher's largest probability from which its answer counts, 1 - 10^-1.5; 0: every answer does."""
    decay: float = 0.99
    """What a step leaves of the teacher's parameters; the rest comes from the student's."""
    balance: float = 0.005
    """b: of the term that keeps the classes' mean probabilities alike; for classes of about equal frequency."""
    shift: float = 2.0
    """The views' largest shift, in pixels of the input as the net gets it."""
    affine: float = 0.1
    """Standard deviation of what is added to the entries of the views' affine map."""
    noise: float = 0.1
    """Standard deviation of the views' noise, as a share of an image's own."""

    def __post_init__(self) -> None:
        for name in ("weight", "balance", "shift", "affine", "noise"):
            require(getattr(self, name) >= 0, f"method.{name}={getattr(self, name)}: must not be negative")
        require(0 <= self.confidence < 1, f"method.confidence={self.confidence}: allowed is 0 to below 1")
        require(0 <= self.decay < 1, f"method.decay={self.decay}: allowed is 0 to below 1")

    def idle(self, case: Case) -> Idle:
        if case.kind in ("vectors", "spectrograms"):
            yield case.kind, ["method.shift", "method.affine"]
        if self.weight == 0:
            yield "method.weight=0", ["method.confidence", "method.balance"]


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Classifier:
    student, teacher = run.net(problem), run.net(problem)
    teacher.requires_grad_(False)
    perturb = perturbation(problem.kind, config.shift, config.affine, config.noise)

    def loss(batch, progress):
        seen, taught = (batch.view(name, perturb) for name in ("student", "teacher"))
        logits, target = batch.split(student(seen.inputs, batch.domains))
        with torch.no_grad():
            # In training mode, with statistics of this batch, as the authors have it. It passes the source too, for the
            # source's own statistics; the target's answers know nothing of it.
            answers = batch.split(teacher.train()(taught.inputs, batch.domains))[1].softmax(1)
        agreement, balance = consistency(target.softmax(1), answers, config.confidence)
        return {
            "label": F.cross_entropy(logits, batch.source.labels),
            "agreement": config.weight * agreement,
            "balance": config.weight * config.balance * balance,
            "confident": confident(answers, config.confidence).mean().detach(),
        }

    def follow(batch) -> None:
        for mine, its in zip(teacher.parameters(), student.parameters(), strict=True):
            mine.lerp_(its, 1 - config.decay)

    draw = problem.batches(source=run.batch_size, target=run.batch_size)
    predictor = Classifier(teacher, features_at="logits")
    run.train("adapt", {"student": student, "teacher": teacher}, [Update(loss, after=follow)], draw, predictor)
    return predictor


def confident(answers: Tensor, threshold: float) -> Tensor:
    """1 where a probability of [B, C] is above the threshold: float32 [B]."""
    return (answers.amax(1) > threshold).float()


def consistency(p: Tensor, q: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Agreement of the student's probabilities p [B, C] with the teacher's q [B, C], and the balance of p's classes."""
    mask = confident(q, threshold)
    agreement = (mask * (p - q).square().mean(1)).mean()
    mean, wanted = p.mean(0), 1 / p.shape[1]
    balance = -(wanted * (mean + TINY).log() + (1 - wanted) * (1 - mean + TINY).log()).sum()
    return agreement, mask.mean() * balance
