"""Label-free model selection: scores that need no target label. Higher is better for all of them.

Musgrave, Belongie & Lim (2021, 2022) show how far they can be trusted; docs/validators.md says where each fails.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Evidence:
    """Everything that a validator may look at. There are no target labels in it."""

    source_train_features: np.ndarray
    """float32 [M, D]: features of source images that were trained on."""
    source_features: np.ndarray
    """float32 [N, D]: features of held-out source images."""
    source_logits: np.ndarray
    """float32 [N, C]."""
    source_labels: np.ndarray
    """int64 [N]."""
    target_features: np.ndarray
    """float32 [T, D]."""
    target_logits: np.ndarray
    """float32 [T, C]."""


def source_accuracy(e: Evidence) -> float:
    """Accuracy on held-out source images."""
    return float((e.source_logits.argmax(1) == e.source_labels).mean())


def entropy(e: Evidence) -> float:
    """-mean_i H(p_i) of the target's predictions."""
    return -float(_entropies(softmax(e.target_logits)).mean())


def information_maximisation(e: Evidence) -> float:
    """H(mean_i p_i) - mean_i H(p_i): confident and diverse predictions on the target."""
    p = softmax(e.target_logits)
    return float(_entropies(p.mean(0, keepdims=True))[0] - _entropies(p).mean())


def bnm(e: Evidence) -> float:
    """Batch nuclear norm ||P||_* / T of the predictions [T, C] (Cui et al., CVPR 2020)."""
    p = softmax(e.target_logits)
    return float(np.linalg.norm(p, "nuc") / len(p))


def class_ami(e: Evidence) -> float:
    """Adjusted mutual information of predicted labels and k-means clusters of the target's features.

    Musgrave, Belongie & Lim, Three New Validators and a Large-Scale Benchmark Ranking for UDA, 2022; k = C.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_mutual_info_score

    clusters = min(e.target_logits.shape[1], len(e.target_features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters: a collapsed net, which scores low
        found = KMeans(clusters, n_init=1, random_state=0).fit_predict(e.target_features)
    return float(adjusted_mutual_info_score(e.target_logits.argmax(1), found))


def snd(e: Evidence, temperature: float = 0.05) -> float:
    """Soft neighbourhood density (Saito et al., ICCV 2021, equations 1 to 3): mean entropy of the similarities.

    Rows of softmax outputs are brought to unit length; S = P P^T / temperature; a point's similarity to itself is
    set to -1 / temperature as in the authors' code (the paper leaves it out); the score is the mean entropy of the
    rows of softmax(S). One cluster of all points scores highest: a known weakness.
    """
    p = softmax(e.target_logits)
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    similarity = p @ p.T
    np.fill_diagonal(similarity, -1.0)
    return float(_entropies(softmax(similarity / temperature)).mean())


def dev(e: Evidence) -> float:
    """Minus the deep embedded validation risk (You et al., ICML 2019) of the cross-entropy on held-out source."""
    log_p = np.log(np.maximum(softmax(e.source_logits), 1e-12))
    losses = -log_p[np.arange(len(log_p)), e.source_labels]
    return -dev_risk(losses, density_ratio(e.source_train_features, e.target_features, e.source_features))


def dev_risk(losses: np.ndarray, weights: np.ndarray) -> float:
    """mean(w l) + eta mean(w) - eta, eta = -Cov(w l, w) / Var(w), for losses and weights [N] (equation 6)."""
    weighted = weights * losses
    variance = weights.var(ddof=1)
    eta = -np.cov(weighted, weights)[0, 1] / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


def density_ratio(source: np.ndarray, target: np.ndarray, at: np.ndarray) -> np.ndarray:
    """p_T / p_S at features [N, D], from a logistic regression that tells source [M, D] from target [T, D]."""
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([source, target])
    mean, scale = both.mean(0), both.std(0) + 1e-6
    domains = np.repeat([0, 1], [len(source), len(target)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separable domains never converge; what they give is what DEV has
        model = LogisticRegression(C=0.01, max_iter=50).fit((both - mean) / scale, domains)
    p = model.predict_proba((at - mean) / scale)
    return len(source) / len(target) * p[:, 1] / np.maximum(p[:, 0], 1e-12)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 [N, C], rows that sum to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def _entropies(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(1)


VALIDATORS: dict[str, Callable[[Evidence], float]] = {
    rule.__name__: rule for rule in (source_accuracy, entropy, information_maximisation, bnm, class_ami, snd, dev)
}
PROBABILISTIC = ("entropy", "information_maximisation", "bnm", "snd", "dev")
"""Those that need the predictor's probabilities, which scores such as an SVM's margins do not give."""


def best_row(rows: Sequence[Mapping[str, Any]], key: str) -> Mapping[str, Any] | None:
    """The row with the highest finite number called ``key``, the latest of equals; None where none has one."""
    scored = [row for row in rows if math.isfinite(row.get(key, math.nan))]
    return max(reversed(scored), key=lambda row: row[key], default=None)
