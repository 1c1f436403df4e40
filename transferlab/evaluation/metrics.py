"""Accuracies and confusion of scores [N, C] against labels int64 [N]."""

from __future__ import annotations

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
