"""Whether training ever left chance, told without any label that the method does not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

STEPS = 50
"""Runs with fewer optimiser steps have hardly begun; closed forms have none. Nothing is said of either."""
DOMINANT = 2 / 3
"""Where a class has more than this share of the labels, a constant answer may be the best there is: nothing is said."""
CONSTANT = 0.99
"""From this share of the answers on, one class is all that is ever answered."""
LOSS = 0.95
"""A loss is at chance from this share of chance on. Runs that have begun to learn lie below it or answer better."""
LAST = 3
"""How many log points at the end the loss is averaged over."""


def collapse(answers: np.ndarray, labels: np.ndarray, losses: Sequence[float], steps: int) -> str:
    """Why a run counts as collapsed, in a line; nothing where it does not.

    answers, labels: int64 [N], of training inputs whose labels the method has learned from. losses: the last
    cross-entropies of these labels, if there are any. steps: of the optimiser.

    A run has collapsed where it answers one class alone (:data:`CONSTANT`), whatever the labels. So it has where two
    things hold at once. Its mean loss is at least :data:`LOSS` times the entropy of the labels, ln C for C balanced
    classes, which is the loss of answers that know nothing of the inputs. And its accuracy is no better than that of
    the most frequent class: at most its share s plus the smaller of s / 2 and .05, where what is left of s when the
    sample is small, and what an almost constant answer hits, both lie. Either alone would condemn weak but healthy
    runs: with 345 classes a loss of 5.6 (chance: 5.84) goes with ten times chance's accuracy, and an unbalanced set
    allows an accuracy of s at a loss far below chance.
    """
    shares = np.bincount(labels) / max(len(labels), 1)
    most = float(shares.max(initial=0.0))
    if steps < STEPS or not 0 < most <= DOMINANT:
        return ""
    answered = np.bincount(answers) / len(answers)
    if answered.max() >= CONSTANT:
        return f"answers one class for {100 * answered.max():.0f} % of its labelled training data"
    chance = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    loss = float(np.mean(losses)) if len(losses) else 0.0
    accuracy = float((answers == labels).mean())
    if loss < LOSS * chance or accuracy > most + min(0.05, most / 2):
        return ""
    return (
        f"never left chance: label loss {loss:.2f} (chance {chance:.2f}), "
        f"accuracy {accuracy:.3f} on its labelled training data (most frequent class {most:.3f})"
    )


def label_losses(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The label losses of the last :data:`LAST` log points that have one, from the rows of metrics.csv.

    Every method that learns from labels step by step calls the cross-entropy of the predictor that it returns "label".
    """
    return [float(row["loss/label"]) for row in rows if "loss/label" in row][-LAST:]
