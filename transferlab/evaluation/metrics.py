"""Accuracies and confusion of scores [N, C] against labels int64 [N]."""

from __future__ import annotations

from typing import Any

import numpy as np

from transferlab import intervals

MOST = 1000
"""The most classes of which a confusion matrix is counted: it grows with their square."""


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is at the label."""
    return float((scores.argmax(1) == labels).mean())


def per_class_accuracy(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Accuracy within each true class: float64 [C], nan for a class without samples."""
    hits, totals = _hits(scores, labels, classes)
    return np.where(totals > 0, hits / np.maximum(totals, 1), np.nan)


def _hits(scores: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each class, how many samples are classified correctly, and how many there are: int64 [C] each."""
    right = labels[scores.argmax(1) == labels]
    return np.bincount(right, minlength=classes), np.bincount(labels, minlength=classes)


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean of the classes' accuracies, over the classes that have samples."""
    return float(np.nanmean(per_class_accuracy(scores, labels, classes)))


def confusion(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 [C, C]: row = truth, column = prediction; C is the number of classes, :data:`MOST` of them at most."""
    classes = min(classes, MOST)
    predicted = scores.argmax(1)
    named = (predicted < classes) & (labels < classes)  # a cluster without a class is nobody's prediction
    pairs = labels[named] * classes + predicted[named]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def match_clusters(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Scores [N, K] of clusters as scores [N, C] of classes, each class having the cluster that suits it best.

    The one-to-one matching with the most samples on it (Hungarian method); a cluster too many has no class.
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((scores.shape[1], classes))
    np.add.at(counts, (scores.argmax(1), labels), 1)
    chosen, matched = linear_sum_assignment(counts, maximize=True)
    named = np.full((len(scores), classes + 1), -np.inf)
    named[:, matched] = scores[:, chosen]
    spare = np.setdiff1d(np.arange(scores.shape[1]), chosen)
    if len(spare):
        named[:, classes] = scores[:, spare].max(1)
    return named


def clustering(clusters: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """NMI, ARI and the mean class entropy of clusters (Dai et al. 2008, in bits), weighed by their size."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    entropy = 0.0
    for cluster in np.unique(clusters):
        p = np.bincount(labels[clusters == cluster]) / (clusters == cluster).sum()
        entropy -= (clusters == cluster).mean() * float((p[p > 0] * np.log2(p[p > 0])).sum())
    return {
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
        "cluster_entropy": entropy,
    }


def hit_at(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows whose label is among the k highest scores."""
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return float((best == labels[:, None]).any(1).mean())


def share(name: str, value: float, count: int) -> dict[str, Any]:
    """An accuracy over ``count`` test samples for results.json, and its 95 % interval."""
    return {name: value, f"{name}_interval": _rounded(intervals.wilson(value, count))}


def classification(domain: str, scores: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    """A domain's accuracies for results.json: over samples, over classes, of each class, and hit@5; with intervals."""
    hits, totals = _hits(scores, labels, classes)
    per_class = [round(h / n, 4) if n else None for h, n in zip(hits.tolist(), totals.tolist(), strict=True)]
    record = {
        **share(f"{domain}_accuracy", accuracy(scores, labels), len(labels)),
        **_mean_of_classes(f"{domain}_mean_class_accuracy", hits, totals),
        f"{domain}_class_accuracies": per_class,
    }
    many = classes > 10
    return record | (share(f"{domain}_hit_at_5", hit_at(scores, labels, 5), len(labels)) if many else {})


def generalised(
    seen: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray], classes: int
) -> dict[str, Any]:
    """Generalised zero-shot learning for results.json: scores [N, classes] and labels of either kind of test samples.

    u and s are the mean per-class accuracies of unseen and seen classes where all are candidates, with their intervals;
    H is their harmonic mean (Xian, Schiele, Akata, CVPR 2017).
    """
    record: dict[str, Any] = {}
    for name, (scores, labels) in (("u", unseen), ("s", seen)):
        record |= _mean_of_classes(name, *_hits(scores, labels, classes))
    u, s = record["u"], record["s"]
    return record | {"H": 2 * u * s / (u + s) if u + s else 0.0}


def _mean_of_classes(name: str, hits: np.ndarray, totals: np.ndarray) -> dict[str, Any]:
    """The mean of the accuracies of the classes that have samples, from what :func:`_hits` counts; its interval."""
    there = totals > 0
    interval = intervals.of_classes(hits[there].astype(float).tolist(), totals[there].astype(float).tolist())
    return {name: float(np.mean(hits[there] / totals[there])), f"{name}_interval": _rounded(interval)}


def _rounded(interval: intervals.Interval) -> list[float]:
    return [round(end, 5) for end in interval]
