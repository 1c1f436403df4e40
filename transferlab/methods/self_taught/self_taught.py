"""Self-taught learning: features from unlabelled data of any kind, a classifier from a few labels.

Raina, Battle, Lee, Packer, Ng, ICML 2007. (1) Sparse coding of the unlabelled source: min over b, a of
sum_i ||x_i - sum_j a_ij b_j||^2 + beta ||a_i||_1 with ||b_j|| <= 1. (2) Codes of the labelled target with b as it is;
of an image's patches, they are pooled over a grid. (3) A linear classifier on them, its regularisation by
cross-validation on the few labels.

Its rows of comparison are settings: raw values, principal components or k-means clusters of the source, values and
codes together, and dictionaries that are random or learned from noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from transferlab.data.contract import Kind
from transferlab.errors import require
from transferlab.inputs import Inputs
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.heads import few_label_classifier, linear
from transferlab.models.coded import Coded, Encoder, flat, patches, without_mean
from transferlab.numerics.sparse_coding import learn
from transferlab.options import Case, Idle, Options
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.run import Run

sees = Sees(source=UNLABELLED, target=LABELLED, classes="any", net=False, steps=False)


@dataclass
class Config(Options):
    """Options of self_taught."""

    features: Literal["codes", "raw", "raw_codes", "pca", "kmeans"] = "codes"
    """codes: sparse codes; raw: values as they are; raw_codes: both; pca, kmeans: as many components or clusters."""
    dictionary: Literal["source", "random", "noise"] = "source"
    """source: learned from it; random directions or a dictionary learned from noise are the controls of codes."""
    atoms: int = 256
    """Number of bases; may exceed the number of values."""
    beta: float = 0.1
    """Sparsity, for inputs of mean square length 1."""
    patch: int | None = None
    """Height and width of the patches that images are described by, in pixels; null: by the whole input."""
    stride: int = 4
    """Pixels from one patch to the next."""
    pool: int = 3
    """Patches' codes are pooled over so many by so many cells of the image."""
    samples: int = 5000
    """Source samples, or patches of them, that the dictionary is learned from, at most."""
    iterations: int = 15
    """Passes over them."""
    classifier: Literal["logistic", "svm"] = "logistic"
    """Logistic regression, or the linear SVM of the paper, which takes some ten times as long."""
    strengths: list[float] | None = None
    """Values of C to choose from by cross-validation on the labelled samples; null: 0.1 to 1000 in powers of ten."""

    def __post_init__(self) -> None:
        for name in ("atoms", "stride", "pool", "samples", "iterations"):
            require(getattr(self, name) >= 1, f"method.{name}={getattr(self, name)}: must be at least 1")
        require(self.patch is None or self.patch >= 2, f"method.patch={self.patch}: must be at least 2 pixels, or null")
        require(self.beta > 0, f"method.beta={self.beta}: must be greater than 0")

    def idle(self, case: Case) -> Idle:
        features = f"method.features={self.features}"
        if self.features in ("raw", "pca", "kmeans"):
            yield features, ["method.dictionary", "method.beta", "method.iterations"]
        elif self.dictionary == "random":
            yield "method.dictionary=random", ["method.iterations"]
        if self.features == "raw":
            yield features, ["method.atoms", "method.patch", "method.stride", "method.pool", "method.samples"]
        if self.patch is None:
            yield "method.patch=null", ["method.stride", "method.pool"]

    def check(self, case: Case) -> None:
        source, target = case.shapes
        if self.patch is None:
            counts = [math.prod(shape) for shape in case.shapes]
            message = f"self_taught: source inputs have {counts[0]} values, target inputs {counts[1]}: must be the same"
            require(counts[0] == counts[1], f"{message}, or method.patch=<pixels> for images")
            return
        require(case.kind != "vectors", f"method.patch={self.patch}: is for images, these are vectors")
        message = f"method.patch={self.patch}: source images have {source[0]} channels, target images {target[0]}"
        require(source[0] == target[0], f"{message}: must be the same")
        side = min(*source[1:], *target[1:])
        require(side >= self.patch, f"method.patch={self.patch}: images have only {side} pixels")
        places = (min(target[1:]) - self.patch) // self.stride + 1
        message = f"method.pool={self.pool}: there are only {places} by {places} patches"
        require(places >= self.pool, f"{message}; take a smaller pool, stride or patch")


def fit(config: Config, problem: Problem[Unlabelled, Labelled], run: Run) -> Coded:
    target = problem.target
    with run.seeded("source samples"):
        unlabelled = some(problem.source.inputs, problem.kind, config)
    mean = unlabelled.mean(0)
    scale = (unlabelled - mean).square().sum(1).mean().sqrt().clamp_min(1e-9)
    x = (unlabelled - mean) / scale
    kind = config.features if config.features in ("raw", "pca", "kmeans") else config.dictionary
    settings = {"kind": kind, "atoms": config.atoms, "beta": config.beta, "iterations": config.iterations}
    made = {"dictionary": x[:0]}
    if kind != "raw":
        made = run.once_shared("dictionary", lambda: dictionary(kind, x, config, problem.seed), {"x": x}, settings)
    if "objective" in made:
        run.report({"objective_first": float(made["objective"][0]), "objective_last": float(made["objective"][-1])})

    encoder = Encoder(
        mean,
        scale,
        made["dictionary"],
        config.beta,
        config.features,
        problem.kind,
        config.patch,
        config.stride,
        config.pool,
    )

    def train_head() -> dict[str, Tensor]:
        features = encoder(target.inputs[:])
        return few_label_classifier(features, target.labels, config.classifier, config.strengths, problem.seed)

    head = run.once("head", train_head)
    if "validation" in head:
        run.report({"cross_validation_accuracy": float(head["validation"])})
    return Coded(encoder, linear(head), scores_are_logits=config.classifier == "logistic")


def some(inputs: Inputs, kind: Kind, config: Config) -> Tensor:
    """At most ``samples`` inputs, or patches at random places: float32 [n, D]; data may be sorted by class."""
    if config.patch is None:
        return flat(inputs[torch.randperm(len(inputs))[: config.samples].to(inputs.device)], kind)
    height, width = (side - config.patch + 1 for side in inputs.shape[2:])
    places = [torch.randint(count, (config.samples,)).to(inputs.device) for count in (len(inputs), height, width)]
    found = []
    for rows, y, x in zip(*(place.split(1000) for place in places), strict=True):
        grid = patches(inputs.index_select(0, rows), config.patch, 1)
        found.append(grid[torch.arange(len(rows), device=rows.device), y, x])
    return without_mean(torch.cat(found).flatten(1), kind)


def dictionary(kind: str, x: Tensor, config: Config, seed: int) -> dict[str, Tensor]:
    """Rows float32 [K, D] for centred samples [n, D], and the objective after each pass where there is one."""
    if kind == "pca":
        return {"dictionary": torch.pca_lowrank(x, min(config.atoms, *x.shape), center=False)[2].T}
    if kind == "kmeans":
        return {"dictionary": centres(x, config.atoms, seed)}
    if kind == "random":
        atoms = torch.randn(config.atoms, x.shape[1]).to(x)
        return {"dictionary": atoms / atoms.norm(dim=1, keepdim=True)}
    if kind == "noise":
        x = (torch.randn(x.shape) / x.shape[1] ** 0.5).to(x)
    atoms, objective = learn(x, config.atoms, config.beta, config.iterations, seed)
    return {"dictionary": atoms, "objective": torch.tensor(objective)}


def centres(x: Tensor, clusters: int, seed: int) -> Tensor:
    """Of k-means, float32 [clusters, D]."""
    from sklearn.cluster import KMeans

    require(clusters <= len(x), f"method.atoms={clusters}: there are only {len(x)} samples")
    found = KMeans(clusters, n_init=1, random_state=seed).fit(x.cpu().numpy())
    return torch.from_numpy(found.cluster_centers_).float().to(x.device)
