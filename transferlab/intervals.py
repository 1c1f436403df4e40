"""95 % intervals: of an accuracy by its test samples, of a mean and of a paired difference over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Interval = tuple[float, float]
Z = 1.959964
"""The normal distribution's quantile of .975."""
FEWEST = 6
"""The fewest test samples on which two predictors must differ, all in one direction, for McNemar's exact test to find a
difference at the level of 5 %: 2 * 0.5**6 = .03."""


def wilson(accuracy: float, count: float) -> Interval:
    """Wilson's interval (1927) of a share of ``count`` independent samples, or of as many as it is worth."""
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


def of_influence(value: float, influence: np.ndarray, most: float) -> Interval:
    """The interval of a figure from 0 to 1, by how much each test sample contributes to it; samples are independent.

    influence: float64 [N], the figure's derivative by a sample's share of the whole, of mean 0. Its mean square over N
    is the figure's variance (infinitesimal jackknife, Efron 1982; of an AUROC that is DeLong et al. 1988). The interval
    is Wilson's of a share of as many samples as would have that variance, the effective sample size (Korn and Graubard
    1998). At 0 and at 1 the variance is nothing, and near them too small; so this size is ``most`` at most.
    """
    variance = float((influence**2).mean()) / len(influence)
    return wilson(value, min(most, value * (1 - value) / variance) if variance > 0 else most)


def of_gaps(gaps: np.ndarray, errors: np.ndarray, spread: float) -> Interval:
    """The interval of the sum of B absolute values, estimated by the sum of ``gaps``, absolute values of noisy numbers.

    gaps, errors: float64 [B], the numbers' standard errors above 0; spread: what the sum varies beside them.

    Noise adds to each absolute value, and in a resampled set once more, so that a bootstrap's intervals are too high.
    This one is of all sums whose estimates are expected within :data:`Z` standard errors of what was found: with normal
    noise an absolute value is folded normal (Leone, Nelson and Nottingham 1961). The sums tried are the least
    favourable ones, each gap changed by a multiple of its variance (DiCiccio and Romano 1990). Where noise alone
    explains what was found, it begins at 0.
    """
    found = float(gaps.sum())
    least, step = -float((gaps / errors**2).max()), (found + float(errors.sum())) / float((errors**2).sum())

    def end(sign: int) -> float:
        """The sum whose estimate is expected ``sign`` * Z errors away from what was found."""
        low, high = least, step
        if _folded(gaps, errors, spread, low, sign)[1] >= found:
            return 0.0
        while _folded(gaps, errors, spread, high, sign)[1] < found:
            high += high - low
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if _folded(gaps, errors, spread, middle, sign)[1] >= found else (middle, high)
        return _folded(gaps, errors, spread, high, sign)[0]

    # Of a sum near 0 most of what is found may be noise; and yet a figure is shown with an interval around it.
    return min(end(1), found), max(end(-1), found)


def _folded(gaps: np.ndarray, errors: np.ndarray, spread: float, shift: float, sign: int) -> tuple[float, float]:
    """The sum where each gap is ``shift`` variances more, and what is found of it ``sign`` * Z errors off its mean."""
    import numpy as np
    from scipy.special import ndtr

    true = np.maximum(0, gaps + shift * errors**2)
    z = true / errors
    means = errors * math.sqrt(2 / math.pi) * np.exp(-(z**2) / 2) + true * (1 - 2 * ndtr(-z))
    variance = float((true**2 + errors**2 - means**2).sum()) + spread**2
    return float(true.sum()), float(means.sum()) + sign * Z * math.sqrt(variance)


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of runs that differ in their seed; none of a single run."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    mean = statistics.fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def of_metric(values: Sequence[float], metric: str) -> Interval | None:
    """:func:`over_seeds` of a figure of results.json, cut at 0 and 1 where :func:`is_share`: no mean lies beyond."""
    interval = over_seeds(values)
    if interval is None or not is_share(metric):
        return interval
    return max(0.0, interval[0]), min(1.0, interval[1])


def is_share(metric: str) -> bool:
    """Whether a figure of results.json is from 0 to 1: an accuracy, an F1, an AUROC, a calibration error."""
    return "accuracy" in metric or metric.endswith(("_macro_f1", "_auroc", "_ece"))


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
