"""What scores [N, C] are worth against labels int64 [N]: accuracies, F1, AUROC, calibration, confusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from transferlab import intervals

Figure = tuple[float, intervals.Interval]
"""A metric and its 95 % interval."""
MOST = 1000
"""The most classes of which a confusion matrix is counted: it grows with their square."""
BINS = 15
"""Bins of confidence of the calibration error, equally wide (Guo et al., ICML 2017)."""
LARGEST = float(np.finfo(np.float32).max)
"""What an infinite score counts as."""


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


def classification(domain: str, scores: np.ndarray, labels: np.ndarray, classes: int, logits: bool) -> dict[str, Any]:
    """Every metric of a domain's test samples for results.json, each with its 95 % interval; and how many they are.

    scores: float32 [N, classes]; logits: whether a softmax of them is the predictor's probabilities, without which
    there is no calibration error. Where all samples are of one class there is no AUROC.
    """
    record = {f"{domain}_test_count": len(labels), **accuracies(domain, scores, labels, classes)}
    scores = scores.clip(-LARGEST, LARGEST)
    figures = {"macro_f1": macro_f1(scores, labels, classes), "auroc": auroc(scores, labels, classes, logits)}
    if logits:
        figures["ece"] = calibration_error(scores, labels)
    for name, figure in figures.items():
        if figure is not None:
            value, interval = figure
            record |= {f"{domain}_{name}": value, f"{domain}_{name}_interval": _rounded(interval)}
    return record


def accuracies(domain: str, scores: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
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


def macro_f1(scores: np.ndarray, labels: np.ndarray, classes: int) -> Figure:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN), and its interval, :func:`intervals.of_influence`.

    Over the classes that have samples; of these, one that is never answered has an F1 of 0. The samples are drawn from
    all classes together: their numbers in each would vary too (delta method of Takahashi et al., Applied Intelligence
    2022).
    """
    answers, count = scores.argmax(1), len(labels)
    hits, totals = _hits(scores, labels, classes)
    there = totals > 0
    weight = there / np.maximum(totals + np.bincount(answers, minlength=classes), 1)
    f1 = 2 * hits * weight
    # A sample adds to 2 TP where it is a hit, and to TP + FN of its class and TP + FP of its answer in any case.
    each = 2 * (answers == labels) * weight[labels] - (f1 * weight)[labels] - (f1 * weight)[answers]
    most = there.sum() ** 2 / (1 / totals[there]).sum()
    value = float(f1[there].mean())
    return value, intervals.of_influence(value, count / there.sum() * each, float(most))


def auroc(scores: np.ndarray, labels: np.ndarray, classes: int, logits: bool) -> Figure | None:
    """The area under the ROC curve, how probably a sample of a class scores higher for it than another; its interval.

    Of two classes it is the second's; of more, the mean of each against the rest, over the classes that have samples
    (scikit-learn's "ovr", "macro"). None where all samples are of one class. Ties count a half.

    A predictor's answer depends only on differences between its scores of an input, and so does this: a logit counts
    as its log-probability, any other score by how far it is above the best of the other classes.

    The interval, :func:`intervals.of_influence`, is of samples drawn from all classes together; of two classes that is
    DeLong's (1988). It is of as many samples at most as where an AUROC near 1 is of Hanley and McNeil's form (1982, as
    Newcombe 2006 has it): two times the harmonic mean of the numbers of samples of the class and of the rest.
    """
    totals, count = np.bincount(labels, minlength=classes), len(labels)
    chosen = [1] if classes == 2 else np.flatnonzero(totals).tolist()
    if totals.max() == count:
        return None
    answers, best, rest = scores.argmax(1), *_levels(scores, logits)
    influence, areas = np.zeros(count), []
    for number in chosen:
        own = labels == number
        above = scores[:, number].astype(np.float64) - (rest if logits else np.where(answers == number, rest, best))
        of_own, of_rest = _placements(above[own], above[~own])
        areas.append(of_own.mean())
        influence[own] += (of_own - areas[-1]) * (count / totals[number])
        influence[~own] += (of_rest - areas[-1]) * (count / (count - totals[number]))
    value, sizes = float(np.mean(areas)), totals[chosen]
    most = len(chosen) ** 2 / (count / (4 * sizes * (count - sizes))).sum()
    return value, intervals.of_influence(value, influence / len(chosen), float(most))


def _levels(scores: np.ndarray, logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the highest score, and the next highest or, of logits, log sum exp: float64 [N] each."""
    highest, other = np.empty(len(scores)), np.empty(len(scores))
    step = max(1, 2**20 // scores.shape[1])
    for first in range(0, len(scores), step):  # not all in float64 at once
        part, rows = scores[first : first + step].astype(np.float64), slice(first, first + step)
        highest[rows] = part.max(1)
        if logits:
            other[rows] = highest[rows] + np.log(np.exp(part - highest[rows, None]).sum(1))
        else:
            other[rows] = np.partition(part, -2, axis=1)[:, -2]
    return highest, other


def _placements(own: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of ``own`` [m] the share of ``rest`` [n] below, and of each of these that of ``own`` above; ties half."""
    order = np.argsort(own, kind="stable")
    below, up_to = (np.searchsorted(own[order], rest, side) for side in ("left", "right"))
    # The i-th lowest of own is above what has at most i of them up to it, and not below what has at most i below it.
    less, not_more = (np.bincount(n, minlength=len(own) + 1)[:-1].cumsum() for n in (up_to, below))
    of_own = np.empty(len(own))
    of_own[order] = (less + not_more) / (2 * len(rest))
    return of_own, 1 - (below + up_to) / (2 * len(own))


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> Figure:
    """The expected calibration error of logits, and its interval, :func:`intervals.of_gaps`.

    The mean over samples of |accuracy - mean confidence| of their bin, the confidence being the highest probability
    (Guo et al., ICML 2017, equation 3); bins are ((b - 1) / 15, b / 15]. In the interval the bins' accuracies vary as
    shares of as many samples, two hits and two misses added as in :func:`intervals.of_classes`; beside them the numbers
    of samples in the bins do, the samples being drawn from all classes together.
    """
    highest, total = _levels(scores, True)
    confidence, hit = np.exp(highest - total), scores.argmax(1) == labels
    place = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
    place = np.unique(place, return_inverse=True)[1]  # empty bins are left out
    count, size = len(labels), np.bincount(place)
    hits = np.bincount(place, weights=hit)
    gaps = np.abs(hits - np.bincount(place, weights=confidence)) / count
    shares = (hits + 2) / (size + 4)
    errors = np.sqrt(size * shares * (1 - shares)) / count
    spread = math.sqrt(max(0.0, float((gaps**2 * count / size).sum() - gaps.sum() ** 2)) / count)
    low, high = intervals.of_gaps(gaps, errors, spread)
    return float(gaps.sum()), (low, min(1.0, high))


def class_rows(scores: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row of classes.csv for each class: recall, precision, with Wilson's intervals, and F1.

    n: samples of the class; predicted: samples taken for it. Without samples there is no recall, and without answers no
    precision; F1 is 0 where one of the two is not there, and is not there where neither is.
    """
    hits, totals = _hits(scores, labels, len(names))
    predicted = np.bincount(scores.argmax(1), minlength=len(names))
    rows = []
    for name, hit, n, answered in zip(names, hits.tolist(), totals.tolist(), predicted.tolist(), strict=True):
        f1 = 2 * hit / (n + answered) if n + answered else None
        rows.append({
            "class": name, "n": n, **_share_of("recall", hit, n), "predicted": answered,
            **_share_of("precision", hit, answered), "f1": None if f1 is None else round(f1, 5),
        })  # fmt: skip
    return rows


def _share_of(name: str, hits: int, count: int) -> dict[str, float | None]:
    low, high = _rounded(intervals.wilson(hits / count, count)) if count else (None, None)
    return {name: round(hits / count, 5) if count else None, f"{name}_low": low, f"{name}_high": high}


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
