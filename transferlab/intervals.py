"""95 % intervals: of an accuracy by its test samples, of a mean and of a paired difference over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

Interval = tuple[float, float]
Z = 1.959964
"""The normal distribution's quantile of .975."""
FEWEST = 6
"""The fewest test samples on which two predictors must differ, all in one direction, for McNemar's exact test to find a
difference at the level of 5 %: 2 * 0.5**6 = .03."""


def wilson(accuracy: float, count: int) -> Interval:
    """Wilson's interval (1927) of a share of ``count`` independent samples."""
    centre = (accuracy + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(accuracy * (1 - accuracy) / count + Z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def of_classes(hits: Sequence[float], counts: Sequence[float]) -> Interval:
    """The interval of the mean of the classes' accuracies, each a share of its own samples (normal, stratified).

    hits: of each class with samples, how many are classified correctly. A class's variance is that of Agresti and Coull
    (1998), two hits and two misses added, so that none is zero.
    """
    mean = statistics.fmean(hit / count for hit, count in zip(hits, counts, strict=True))
    shares = [((hit + 2) / (count + 4), count) for hit, count in zip(hits, counts, strict=True)]
    half = Z * math.sqrt(sum(share * (1 - share) / count for share, count in shares)) / len(shares)
    return max(0.0, mean - half), min(1.0, mean + half)


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of runs that differ in their seed; none of a single run."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    mean = statistics.fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def of_metric(values: Sequence[float], metric: str) -> Interval | None:
    """:func:`over_seeds` of a figure of results.json, cut at 0 and 1 where it is an accuracy: no mean lies beyond."""
    interval = over_seeds(values)
    if interval is None or "accuracy" not in metric:
        return interval
    return max(0.0, interval[0]), min(1.0, interval[1])


def differences(values: Mapping[int, float], reference: Mapping[int, float]) -> list[float]:
    """Of the seeds in both, value less reference: the seed's data order and labelled samples are the same in both."""
    return [value - reference[seed] for seed, value in values.items() if seed in reference]


def is_difference(paired: Sequence[float], test_count: int | None) -> bool:
    """Whether paired differences over seeds have a mean other than 0.

    They have where their interval leaves out 0, and the mean is not of fewer than :data:`FEWEST` test samples, which
    all seeds share.
    """
    interval = over_seeds(paired)
    if interval is None or interval[0] <= 0 <= interval[1]:
        return False
    return test_count is None or abs(statistics.fmean(paired)) * test_count >= FEWEST - 1e-9


def verdict(paired: Sequence[float], test_count: int | None, lower_is_better: bool = False) -> str:
    """What paired differences from a reference say in a word: helps, harms, or no difference; nothing of one seed."""
    if len(paired) < 2:
        return ""
    if not is_difference(paired, test_count):
        return "no difference"
    return "helps" if (statistics.fmean(paired) > 0) != lower_is_better else "harms"
