"""Accuracies and confusion of scores [N, C] against labels int64 [N]."""

from __future__ import annotations

from typing import Any

import numpy as np


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is at the label."""
    return float((scores.argmax(1) == labels).mean())


def per_class_accuracy(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Accuracy within each true class: float64 [C], nan for a class without samples."""
    matrix = confusion(scores, labels, classes)
    totals = matrix.sum(1)
    return np.where(totals > 0, matrix.diagonal() / np.maximum(totals, 1), np.nan)


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean of the classes' accuracies, over the classes that have samples."""
    return float(np.nanmean(per_class_accuracy(scores, labels, classes)))


def confusion(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 [C, C]: row = truth, column = prediction."""
    pairs = labels * classes + scores.argmax(1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def hit_at(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows whose label is among the k highest scores."""
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return float((best == labels[:, None]).any(1).mean())


def classification(domain: str, scores: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    """A domain's accuracies for results.json: over samples, over classes, of each class, and hit@5."""
    per_class = per_class_accuracy(scores, labels, classes)
    record = {
        f"{domain}_accuracy": accuracy(scores, labels),
        f"{domain}_mean_class_accuracy": mean_class_accuracy(scores, labels, classes),
        f"{domain}_class_accuracies": [None if np.isnan(a) else round(float(a), 4) for a in per_class],
    }
    return record | ({f"{domain}_hit_at_5": hit_at(scores, labels, 5)} if classes > 10 else {})
