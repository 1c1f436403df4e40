"""Subspace alignment (SA): turn the source's principal subspace onto the target's.

Fernando, Habrard, Sebban, Tuytelaars, Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV 2013,
on the last hidden layer of a net trained on the source, with a linear SVM, as in Ganin et al. 2016; or, as in the
original, on the inputs themselves with one nearest neighbour.

With P_S, P_T [D, d] the leading principal directions of each domain, source features become
(x - mean_S) P_S P_S^T P_T and target features (x - mean_T) P_T (equations 1 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from transferlab.errors import require
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.heads import best_cost, hidden, linear, linear_svm
from transferlab.methods.source import source_model
from transferlab.models.aligned import Aligned, Nearest
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import or_one
from transferlab.models.zero_shot import vectors
from transferlab.options import Case, Idle, Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run

sees = Sees(source=LABELLED, target=UNLABELLED)


@dataclass
class Config(Options):
    """Options of subspace_alignment."""

    dims: list[int] = field(default_factory=lambda: [2, 4, 6, 8, 10, 15, 20, 30, 40, 60])
    """Dimensions d to choose from, by the accuracy on unseen source images, or by the validator in select."""
    alignment: bool = True
    """false: the same classifier on the same features without alignment, to tell what alignment does."""
    features: Literal["hidden", "inputs"] = "hidden"
    """hidden: the last hidden layer of a net trained on the source; inputs: the inputs themselves, each domain
    standardised by itself, as in the original; the model and its training are then not used."""
    classifier: Literal["svm", "nearest"] = "svm"
    """svm: a linear SVM; nearest: the nearest source sample's class, as in the original."""
    strengths: list[float] = field(default_factory=lambda: [0.001, 0.01, 0.1, 1.0, 10.0])
    """The SVM's C, chosen from these by cross-validation on source labels."""
    samples: int = 10000
    """Images of each domain that subspaces and classifier are fitted on, at most."""

    @property
    def probabilities(self) -> bool:
        """Margins and distances are none."""
        return False

    def idle(self, case: Case) -> Idle:
        if self.features == "inputs":
            yield "method.features=inputs", ["model", "train"]
        yield "method=subspace_alignment", ["train.evaluations"]  # it chooses among dimensions, not steps
        if not self.alignment:
            yield "method.alignment=false", ["method.dims", "select"]
        if self.classifier == "nearest":
            yield "method.classifier=nearest", ["method.strengths"]

    def __post_init__(self) -> None:
        require(bool(self.dims) and min(self.dims) >= 1, f"method.dims={self.dims}: needs dimensions of at least 1")
        positive = bool(self.strengths) and min(self.strengths) > 0
        require(positive, f"method.strengths={self.strengths}: needs numbers greater than 0")
        require(self.samples >= 20, f"method.samples={self.samples}: must be at least 20")


def fit(config: Config, problem: Problem[Labelled, Unlabelled], run: Run) -> Aligned:
    net = source_model(problem, run) if config.features == "hidden" else None
    classes = len(problem.classes)
    aligned = run.once("align", lambda: align_each(config, problem, run, net))
    names = sorted({key.split("/")[0] for key in aligned}, key=lambda name: len(aligned[f"{name}/source/bias"]))

    def predictor(name: str) -> Aligned:
        source, target = (
            linear({part: aligned[f"{name}/{domain}/{part}"] for part in ("weight", "bias")})
            for domain in ("source", "target")
        )
        head = {key: aligned[f"{name}/head/{key}"] for key in ("weight", "bias", "points", "labels")
                if f"{name}/head/{key}" in aligned}  # fmt: skip
        return Aligned(
            net, source, target, linear(head) if "weight" in head else Nearest(**head, classes=classes), problem.kind
        )

    for name in names:
        run.candidate(name, predictor(name))
    chosen = run.choose(names)
    if config.alignment:
        run.report({"dimension": len(aligned[f"{chosen}/source/bias"])})
    if config.classifier == "svm":
        run.report({"cost": float(aligned[f"{chosen}/head/cost"])})
    return predictor(chosen)


def align_each(
    config: Config, problem: Problem[Labelled, Unlabelled], run: Run, net: ConvNet | None
) -> dict[str, Tensor]:
    """For each dimension the maps of both domains and the head on the aligned source, as <name>/<part>/<tensor>."""
    # At random, because data may be sorted by class.
    rows = [torch.randperm(len(v.inputs))[: config.samples].to(run.device) for v in problem.seen()]
    inputs = {"source": problem.source.inputs[rows[0]], "target": problem.target.inputs[rows[1]]}
    source, target = (
        vectors(x, problem.kind) if net is None else hidden(run, net, x, domain) for domain, x in inputs.items()
    )
    labels, raw = problem.source.labels[rows[0]], config.features == "inputs"
    found = {"as they are": without_alignment(source, target, raw)}
    if config.alignment:
        each = alignments(source, target, candidates(config.dims, source, target), raw)
        found = {f"d={d}": maps for d, maps in each.items()}
    tensors: dict[str, Tensor] = {}
    for name, maps in found.items():
        features = source @ maps["source"]["weight"].T + maps["source"]["bias"]
        head = {"points": features, "labels": labels}
        if config.classifier == "svm":
            cost = best_cost(features, labels, config.strengths, problem.seed)
            svm = linear_svm(features, labels, len(problem.classes), cost)
            head = {**svm, "cost": torch.tensor(cost, dtype=torch.float64)}
        for part, of_part in {**maps, "head": head}.items():
            tensors |= {f"{name}/{part}/{key}": tensor for key, tensor in of_part.items()}
    return tensors


def candidates(dims: list[int], source: Tensor, target: Tensor) -> list[int]:
    """The dimensions that the features [N, D] and [M, D] have at all."""
    possible = min(*source.shape, *target.shape)
    kept = sorted({d for d in dims if d <= possible})
    require(bool(kept), f"method.dims={dims}: the features have only {possible} dimensions")
    return kept


def align(source: Tensor, target: Tensor, d: int, standardised: bool = False) -> dict[str, dict[str, Tensor]]:
    """:func:`alignments` for one d."""
    return alignments(source, target, [d], standardised)[d]


def alignments(
    source: Tensor, target: Tensor, dims: list[int], standardised: bool = False
) -> dict[int, dict[str, dict[str, Tensor]]]:
    """For each d affine maps for features [N, D] and [M, D]: for each domain a weight [d, D] and a bias [d].

    standardised: each feature of each domain is brought to zero mean and unit variance before.
    """
    (mean_s, scale_s), (mean_t, scale_t) = (moments(x, standardised) for x in (source, target))
    every_s = principal_directions((source - mean_s) / scale_s, max(dims))
    every_t = principal_directions((target - mean_t) / scale_t, max(dims))
    found = {}
    for d in dims:
        basis_s, basis_t = every_s[:, :d], every_t[:, :d]
        found[d] = {
            "source": affine(basis_s @ (basis_s.T @ basis_t), mean_s, scale_s),
            "target": affine(basis_t, mean_t, scale_t),
        }
    return found


def without_alignment(source: Tensor, target: Tensor, standardised: bool) -> dict[str, dict[str, Tensor]]:
    """Maps as of :func:`align` that leave features [N, D] and [M, D] as they are, or only standardise them."""
    same = torch.eye(source.shape[1]).to(source)
    if standardised:
        return {name: affine(same, *moments(x, True)) for name, x in (("source", source), ("target", target))}
    return {name: affine(same, torch.zeros_like(same[0]), torch.ones_like(same[0])) for name in ("source", "target")}


def moments(x: Tensor, standardised: bool) -> tuple[Tensor, Tensor]:
    """Mean [D] and standard deviation [D] of [N, D]; 1 in place of the latter where it is 0 or is not wanted."""
    mean = x.mean(0)
    if not standardised:
        return mean, torch.ones_like(mean)
    # In float64, which not every accelerator has: what is left of a constant's rounding is no deviation.
    exact = x.cpu().double()
    return mean, or_one(exact.std(0, correction=0), exact.mean(0)).to(x)


def affine(projection: Tensor, mean: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """x -> ((x - mean) / scale) @ projection, for a projection [D, d]: weight [d, D] and bias [d]."""
    weight = (projection / scale[:, None]).T
    return {"weight": weight, "bias": -weight @ mean}


def principal_directions(centred: Tensor, d: int) -> Tensor:
    """The d leading eigenvectors of the covariance of float32 [N, D], as columns: [D, d]."""
    # In float64, which not every accelerator has.
    _, vectors = torch.linalg.eigh((centred.T @ centred).cpu().double())
    return vectors.flip(1)[:, :d].to(centred)
