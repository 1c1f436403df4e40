"""Training, validation and test part of data."""

from __future__ import annotations

import numpy as np

from transferlab.data.contract import Dataset, Labels
from transferlab.errors import require
from transferlab.randomness import key


def held_out(count: int, fraction: float, label: int) -> np.ndarray:
    """bool [count]: which samples of class ``label`` are for testing, the same in every run.

    A random share, but at least one sample is in each part; count must be at least 2.
    """
    test = np.zeros(count, bool)
    share = min(max(1, round(count * fraction)), count - 1)
    test[np.random.default_rng([0, label]).permutation(count)[:share]] = True
    return test


def repeated(train: Dataset, rows: np.ndarray, test: Dataset) -> list[str]:
    """Pairs "name = name" of equal files, of ``rows`` of training data and of test data with a file for each sample."""
    learned, tested = (list(data.provenance.get("files", {}).items()) for data in (train, test))
    if len(learned) != len(train) or len(tested) != len(test):
        return []
    name_of = {learned[row][1]: learned[row][0] for row in rows[::-1]}
    return [f"{name_of[known]} = {name}" for name, known in tested if known in name_of]


def split_rows(data: Dataset | Labels, held_out: int, labelled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation: a fixed random tenth at most, the same for every seed.

    Those for validation come in random order, so that the first n are a fair sample of data sorted by class. Groups
    stay together; where each is larger than what may be held out, one of the smallest is. Where the method is to see
    the labels, no class gives its last training image away; elsewhere they decide nothing.
    """
    count = min(held_out, len(data) // 10)
    rng = np.random.default_rng(key("validation", len(data)))
    labels = data.labels if labelled else None
    if data.groups is None:
        order = rng.permutation(len(data))
        if labels is not None:  # without the last of each class
            last = np.unique(labels[order[::-1]], return_index=True)[1]
            order = np.delete(order, len(order) - 1 - last)
        validation = order[:count]
    else:
        validation = rng.permutation(np.sort(_whole_groups(data.groups, labels, count, rng)))
    training = np.ones(len(data), bool)
    training[validation] = False
    return np.flatnonzero(training), validation


def _whole_groups(groups: np.ndarray, labels: np.ndarray | None, count: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of groups that have some ``count`` rows together, and of no class all."""
    group = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(group)
    single = "the training data is a single group, of which nothing can be held out; data.validation=0 does without"
    require(len(sizes) > 1 or count == 0, single)
    order = rng.permutation(len(sizes))
    order = order[sizes[order] <= max(count, sizes.min(initial=len(groups)))]
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    left = None if labels is None else np.bincount(labels)
    held: list[np.ndarray] = []
    size = 0
    for rows in (rows_of[number] for number in order if count):
        if held and size + len(rows) > count:
            break
        if left is not None and labels is not None:
            after = left - np.bincount(labels[rows], minlength=len(left))
            if ((after == 0) & (left > 0)).any():
                continue
            left = after
        held.append(rows)
        size += len(rows)
    return np.concatenate(held) if held else np.empty(0, np.int64)
