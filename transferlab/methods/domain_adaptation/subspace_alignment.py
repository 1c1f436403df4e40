"""Subspace alignment (SA): turn the source's principal subspace onto the target's.

Fernando, Habrard, Sebban, Tuytelaars, Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV 2013,
on the last hidden layer of a net trained on the source, with a linear SVM, as in Ganin et al. 2016.

With P_S, P_T [D, d] the leading principal directions of each domain, source features become
(x - mean_S) P_S P_S^T P_T and target features (x - mean_T) P_T (equations 1 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from transferlab.config import LABELLED, UNLABELLED, Sees, require
from transferlab.methods.heads import hidden, linear, linear_svm
from transferlab.methods.source import source_model
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Run

sees = Sees(source=LABELLED, target=UNLABELLED)


@dataclass
class Config:
    """Options of subspace_alignment."""

    dims: list[int] = field(default_factory=lambda: [2, 4, 6, 8, 10, 15, 20, 30, 40, 60])
    """Dimensions d to choose from, by the accuracy on held-out source images: no target label is looked at."""
    samples: int = 10000
    """Images of each domain that subspaces and SVM are fitted on, at most."""

    def __post_init__(self) -> None:
        require(bool(self.dims) and min(self.dims) >= 1, f"method.dims={self.dims}: needs dimensions of at least 1")
        require(self.samples >= 20, f"method.samples={self.samples}: must be at least 20")


def fit(config: Config, problem: Problem, run: Run) -> Classifier:
    assert isinstance(problem.source, Labelled) and problem.target is not None
    net = source_model(problem, run)

    def align_each() -> dict[str, Tensor]:
        assert isinstance(problem.source, Labelled) and problem.target is not None
        # At random, because data may be sorted by class.
        rows = [torch.randperm(len(v.inputs))[: config.samples].to(run.device) for v in problem.seen()]
        source = hidden(run, net, problem.source.inputs[rows[0]])
        target = hidden(run, net, problem.target.inputs[rows[1]])
        labels = problem.source.labels[rows[0]]
        fit_on = len(source) * 4 // 5
        tensors = {}
        for d in candidates(config.dims, source, target):
            aligned = align(source, target, d)
            project, shift = aligned["source_projection"], aligned["source_shift"]
            features = source @ project + shift
            svm = linear_svm(features[:fit_on], labels[:fit_on], len(problem.classes))
            right = (features[fit_on:] @ svm["weight"].T + svm["bias"]).argmax(1) == labels[fit_on:]
            tensors[f"{d}/accuracy"] = right.float().mean()
            for domain in ("source", "target"):
                weight = svm["weight"] @ aligned[f"{domain}_projection"].T
                tensors[f"{d}/{domain}/weight"] = weight
                tensors[f"{d}/{domain}/bias"] = svm["weight"] @ aligned[f"{domain}_shift"] + svm["bias"]
        return tensors

    aligned = run.once("align", align_each)
    accuracies = {int(k.split("/")[0]): float(v) for k, v in aligned.items() if k.endswith("/accuracy")}

    def predictor(d: int) -> Classifier:
        def head(domain: str) -> nn.Linear:
            return linear({part: aligned[f"{d}/{domain}/{part}"] for part in ("weight", "bias")})

        return Classifier(net, head=head("target"), source_head=head("source"), scores_are_logits=False)

    for d in sorted(accuracies):
        run.candidate(f"d={d}", predictor(d))
    # The smallest of the best: max keeps the first of equals.
    return predictor(max(sorted(accuracies), key=lambda d: accuracies[d]))


def candidates(dims: list[int], source: Tensor, target: Tensor) -> list[int]:
    """The dimensions that the features [N, D] and [M, D] have at all."""
    possible = min(*source.shape, *target.shape)
    kept = sorted({d for d in dims if d <= possible})
    require(bool(kept), f"method.dims={dims}: the features have only {possible} dimensions")
    return kept


def align(source: Tensor, target: Tensor, d: int) -> dict[str, Tensor]:
    """For features [N, D] and [M, D]: projections [D, d] and shifts [d], x -> x @ projection + shift."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    basis_s, basis_t = principal_directions(source - mean_s, d), principal_directions(target - mean_t, d)
    project_s = basis_s @ (basis_s.T @ basis_t)
    return {
        "source_projection": project_s,
        "source_shift": -mean_s @ project_s,
        "target_projection": basis_t,
        "target_shift": -mean_t @ basis_t,
    }


def principal_directions(centred: Tensor, d: int) -> Tensor:
    """The d leading eigenvectors of the covariance of float32 [N, D], as columns: [D, d]."""
    # In float64, which not every accelerator has.
    _, vectors = torch.linalg.eigh((centred.T @ centred).cpu().double())
    return vectors.flip(1)[:, :d].to(centred)
