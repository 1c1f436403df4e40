"""Self-taught clustering: cluster target and auxiliary samples over feature clusters that they share.

Dai, Yang, Xue, Yu, Self-taught Clustering, ICML 2008. With p the joint distribution of target samples X and features
Z, q that of auxiliary samples Y and Z, and a tilde for clusters, equation 5 is

    J = I(X;Z) - I(X~;Z~) + weight (I(Y;Z) - I(Y~;Z~)).

The rows of a table [N, F] are samples, its columns features; its values are masses, such as counts of words or
intensities of pixels. Without auxiliary table it is co-clustering (Dhillon, Mallela, Modha, KDD 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transferlab.errors import require
from transferlab.randomness import key

TINY = 1e-12
"""Stands for a probability of zero in a logarithm: a cluster that lacks what a point has must stay comparable."""


@dataclass(frozen=True)
class Clustering:
    """What :func:`cluster` found.

    target: int64 [N], each sample's cluster; features: int64 [F]; auxiliary: int64 [M], None without such a table.
    objectives: J at the start and after each round, in nats.
    """

    target: Tensor
    features: Tensor
    auxiliary: Tensor | None
    objectives: list[float]


def cluster(
    target: Tensor,
    clusters: int,
    feature_clusters: int,
    auxiliary: Tensor | None = None,
    auxiliary_clusters: int = 1,
    weight: float = 1.0,
    seed: int = 0,
    restarts: int = 10,
    rounds: int = 100,
) -> Clustering:
    """The clustering of lowest J out of ``restarts`` random starts, computed in float64 on the CPU.

    target [N, F] and auxiliary [M, F] are not negative; each is divided by its sum. Each round updates the clusters of
    target samples, auxiliary samples and features in turn (algorithm 1), until J no longer falls or for ``rounds``.

    For the comparison of the paper: "separate" has no auxiliary table, "combined" has the rows of both in ``target``.

    Raises :class:`~transferlab.errors.UserError` for tables that are no joint distribution, for samples without any
    mass, and for more clusters than there are points.
    """
    require(weight >= 0, f"weight={weight}: the auxiliary table's weight must not be negative")
    require(min(restarts, rounds) >= 1, f"restarts={restarts}, rounds={rounds}: both must be at least 1")
    tables, counts = [joint(target, "target table")], [clusters]
    _countable("target", clusters, "samples", len(target))
    _countable("feature", feature_clusters, "features", target.shape[1])
    if auxiliary is not None:
        tables, counts = [*tables, joint(auxiliary, "auxiliary table")], [clusters, auxiliary_clusters]
        _countable("auxiliary", auxiliary_clusters, "samples", len(auxiliary))
        require(
            auxiliary.shape[1] == target.shape[1],
            f"the target table has {target.shape[1]} features, the auxiliary {auxiliary.shape[1]}: must be the same",
        )
    weights = (1.0, weight)[: len(tables)]
    whole = sum(w * mutual_information(table) for w, table in zip(weights, tables))

    def descend(start: int) -> Clustering:
        generator = torch.Generator().manual_seed(key(seed, start))
        features = _balanced(target.shape[1], feature_clusters, generator)
        samples = [_balanced(len(table), k, generator) for table, k in zip(tables, counts)]

        def loss() -> float:
            merged = (merge(merge(t, s, k).T, features, feature_clusters) for t, s, k in zip(tables, samples, counts))
            return float(whole - sum(w * mutual_information(table) for w, table in zip(weights, merged)))

        objectives = [loss()]
        for _ in range(rounds):
            for i, table in enumerate(tables):
                samples[i] = assign([merge(table.T, features, feature_clusters).T], (1.0,), samples[i], counts[i])
            views = [merge(table, s, k).T for table, s, k in zip(tables, samples, counts)]
            features = assign(views, weights, features, feature_clusters)
            objectives.append(loss())
            if objectives[-1] > objectives[-2] - TINY:
                break
        return Clustering(samples[0], features, samples[1] if auxiliary is not None else None, objectives)

    return min((descend(start) for start in range(restarts)), key=lambda found: found.objectives[-1])


def assign(views: Sequence[Tensor], weights: Sequence[float], current: Tensor, clusters: int) -> Tensor:
    """Each point's best cluster, int64 [N], given the clusters' contents under ``current`` [N] (equations 10 to 15).

    views: float64 [N, G], each point's mass in each cluster of the other side; for features there are two.

    A point's cost in a cluster is sum over views of weight * mass * KL(its distribution || the cluster's). A cluster
    left empty gets the costliest point out of those that are not alone; that splits a cluster, and so J cannot rise.
    """
    cost = torch.zeros(len(current), clusters, dtype=torch.float64)
    for weight, view in zip(weights, views):
        # For points without mass anything will do, and a cluster without mass must suit none that has some.
        conditional = [m / m.sum(1, keepdim=True).clamp(min=TINY**2) for m in (merge(view, current, clusters), view)]
        own = torch.xlogy(view, conditional[1]).sum(1, keepdim=True)
        cost += weight * (own - view @ conditional[0].clamp(min=TINY).log().T)
    lowest, found = cost.min(1)
    for empty in (torch.bincount(found, minlength=clusters) == 0).nonzero().flatten():
        alone = torch.bincount(found, minlength=clusters)[found] == 1
        point = lowest.masked_fill(alone, -torch.inf).argmax()
        found[point], lowest[point] = empty, 0
    return found


def merge(table: Tensor, assignment: Tensor, clusters: int) -> Tensor:
    """The rows of float64 [N, F] summed by cluster: [clusters, F]."""
    return one_hot(assignment, clusters).to(table).T @ table


def mutual_information(table: Tensor) -> float:
    """I of a joint distribution, float64 [N, F] that sums to 1, in nats."""
    independent = table.sum(1, keepdim=True) * table.sum(0)
    return float(torch.xlogy(table, table / independent.clamp(min=TINY**2)).sum())


def joint(table: Tensor, name: str) -> Tensor:
    """``table`` [N, F] over its sum, float64; ``name`` says in an error which it is."""
    table = table.detach().cpu().double()
    require(bool(table.isfinite().all()), f"{name}: holds values that are not finite")
    require(bool((table >= 0).all()), f"{name}: holds negative values, lowest {float(table.min()):g}; masses are >= 0")
    empty = (table.sum(1) == 0).nonzero().flatten().tolist()
    require(
        not empty,
        f"{name}: {len(empty)} samples are all zero, the first in row {(empty or [0])[0]} (an empty document or a "
        "black image); leave them out",
    )
    return table / table.sum()


def _countable(side: str, clusters: int, things: str, count: int) -> None:
    require(1 <= clusters <= count, f"{clusters} {side} clusters of {count} {things}: allowed is 1 to {count}")


def _balanced(count: int, clusters: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator) % clusters
