"""Self-taught clustering: cluster the unlabelled target with the help of unlabelled data of other kinds.

Dai, Yang, Xue, Yu, ICML 2008: samples of the target and of the source are clustered over features they share, and the
features' clusters, found from both, are what is transferred. Of several random starts the one with the lowest objective
is kept. ``mode`` gives the paper's comparisons: co-clustering of the target alone, of both in one table, and k-means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transferlab.errors import require
from transferlab.inputs import Inputs
from transferlab.map import UNLABELLED, Sees
from transferlab.methods.heads import linear
from transferlab.models.clusters import Clusters
from transferlab.models.coded import flat
from transferlab.numerics.self_taught_clustering import TINY, cluster, joint, merge
from transferlab.options import Case, Idle, Options
from transferlab.problem import Problem, Unlabelled
from transferlab.training.run import Run

sees = Sees(source=UNLABELLED, target=UNLABELLED, classes="any", net=False, steps=False)


@dataclass
class Config(Options):
    """Options of self_taught_clustering."""

    mode: Literal["self_taught", "separate", "combined", "kmeans"] = "self_taught"
    """self_taught: the paper's; separate: the target alone; combined: both as one table; kmeans: of the target."""
    clusters: int | None = None
    """Of target samples; null: as many as the target has classes."""
    source_clusters: int | None = None
    """Of source samples; null: as many as of target samples."""
    feature_clusters: int = 32
    """Of features."""
    weight: float = 1.0
    """lambda, the source table's weight."""
    restarts: int = 10
    """Random starts."""
    samples: int = 1000
    """Samples of the target, at most."""
    source_samples: int = 1000
    """Samples of the source, at most."""

    def __post_init__(self) -> None:
        for name in ("clusters", "source_clusters"):
            value = getattr(self, name)
            require(value is None or value >= 2, f"method.{name}={value}: must be at least 2")
        for name in ("feature_clusters", "restarts", "samples", "source_samples"):
            require(getattr(self, name) >= 1, f"method.{name}={getattr(self, name)}: must be at least 1")
        require(self.weight >= 0, f"method.weight={self.weight}: must not be negative")

    def idle(self, case: Case) -> Idle:
        mode, of_source = f"method.mode={self.mode}", ["method.source_clusters", "method.source_samples"]
        if self.mode == "kmeans":
            yield mode, ["method.feature_clusters"]
        if self.mode in ("kmeans", "separate"):
            yield mode, ["method.weight", *of_source]
        elif self.mode == "combined":
            yield mode, ["method.weight", "method.source_clusters"]
        elif self.weight == 0:
            yield "method.weight=0", of_source

    def check(self, case: Case) -> None:
        values = [math.prod(shape) for shape in case.shapes]
        message = f"self_taught_clustering: source inputs have {values[0]} values, target inputs {values[1]}"
        alone = self.mode in ("kmeans", "separate")
        require(alone or values[0] == values[1], f"{message}: must be the same")
        many = f"method.feature_clusters={self.feature_clusters}: target inputs have only {values[1]} values"
        require(self.mode == "kmeans" or self.feature_clusters <= values[1], many)


def fit(config: Config, problem: Problem[Unlabelled, Unlabelled], run: Run) -> Clusters:
    source_inputs, target_inputs = problem.source.inputs, problem.target.inputs
    clusters = config.clusters or len(problem.classes)

    def compute() -> dict[str, Tensor]:
        source = flat(_some(source_inputs, config.source_samples), problem.kind)
        target = flat(_some(target_inputs, config.samples), problem.kind)
        if config.mode == "kmeans":
            return kmeans(target, clusters, config.restarts, problem.seed)
        table = torch.cat([target, source]) if config.mode == "combined" else target
        found = cluster(
            table,
            clusters,
            config.feature_clusters,
            auxiliary=source if config.mode == "self_taught" else None,
            auxiliary_clusters=config.source_clusters or clusters,
            weight=config.weight,
            seed=problem.seed,
            restarts=config.restarts,
        )
        history = torch.tensor(found.objectives)
        return {**rule(joint(table, "target table"), found.target, found.features, clusters), "objective": history}

    found = run.once("cluster", compute)
    if "objective" in found:
        run.report({"objective_first": float(found["objective"][0]), "objective_last": float(found["objective"][-1])})
    return Clusters(linear(found), problem.kind)


def _some(inputs: Inputs, samples: int) -> Tensor:
    """At random, because data may be sorted by class."""
    return inputs[torch.randperm(len(inputs))[:samples].to(inputs.device)]


def rule(table: Tensor, samples: Tensor, features: Tensor, clusters: int) -> dict[str, Tensor]:
    """Where a new sample belongs: the cluster nearest in KL divergence over feature clusters, which is affine in it.

    table: float64 [N, D] joint distribution; samples [N] and features [D] its clusters. weight [K, D], bias [K].
    """
    count = int(features.max()) + 1
    merged = merge(merge(table, samples, clusters).T, features, count).T
    conditional = (merged / merged.sum(1, keepdim=True).clamp(min=TINY)).clamp(min=TINY).log()
    weight = (one_hot(features, count).double() @ conditional.T).T
    return {"weight": weight.float(), "bias": torch.zeros(clusters)}


def kmeans(x: Tensor, clusters: int, restarts: int, seed: int) -> dict[str, Tensor]:
    """Nearest centre, of float32 [N, D]: the highest x c - ||c||^2 / 2."""
    from sklearn.cluster import KMeans

    found = KMeans(clusters, n_init=restarts, random_state=seed).fit(x.cpu().numpy())
    centres = torch.from_numpy(found.cluster_centers_).float()
    return {"weight": centres, "bias": -centres.square().sum(1) / 2}
