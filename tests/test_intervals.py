"""95 % intervals against SciPy and by simulation."""

import numpy as np
import pytest
import scipy.stats

from transferlab import intervals


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (5, 5), (29, 58), (9999, 10000), (1, 1)])
def test_wilson_is_scipys(hits, count):
    expected = scipy.stats.binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert intervals.wilson(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_mean_of_classes_lies_in_its_interval_as_often_as_said():
    """Classes of different size and difficulty: 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(0)
    shares, counts = np.array([0.95, 0.6, 0.3, 0.8]), np.array([20, 60, 100, 15])
    held = 0
    for _ in range(2000):
        low, high = intervals.of_classes(rng.binomial(counts, shares), counts)
        held += low <= shares.mean() <= high
    assert 0.93 < held / 2000 < 0.98


def test_a_class_of_one_sample_leaves_room_for_doubt():
    low, high = intervals.of_classes([1, 1], [1, 1])
    assert low < 0.7 and high == 1


def test_the_influence_of_shares_gives_wilsons_interval():
    hits = np.arange(50) < 40
    assert intervals.of_influence(0.8, hits - 0.8, 1000) == pytest.approx(intervals.wilson(0.8, 50))
    assert intervals.of_influence(0.8, hits - 0.8, 20) == intervals.wilson(0.8, 20)
    assert intervals.of_influence(1.0, np.zeros(50), 50) == intervals.wilson(1.0, 50)


def test_a_sum_of_large_gaps_has_a_normal_interval_and_one_of_noise_begins_at_0():
    gaps, errors = np.array([0.2, 0.1]), np.array([0.003, 0.004])
    half = intervals.Z * 0.005
    assert intervals.of_gaps(gaps, errors, 0.0) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    half = intervals.Z * 0.013
    assert intervals.of_gaps(gaps, errors, 0.012) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    low, high = intervals.of_gaps(np.array([0.003, 0.004, 0.0]), np.array([0.003, 0.004, 0.001]), 0.0)
    assert low == 0 and 0.01 < high < 0.02


def test_over_seeds_is_students():
    values = [0.7, 0.72, 0.77, 0.71]
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert intervals.over_seeds(values) == pytest.approx(expected)
    assert intervals.over_seeds([0.7]) is None
    low, high = intervals.of_metric([0.96, 0.98], "target_accuracy")
    assert high == 1 and low == intervals.over_seeds([0.96, 0.98])[0]
    assert intervals.of_metric([0.07, 0.12], "source_accuracy")[0] == 0
    assert intervals.of_metric([0.96, 0.98], "cluster_entropy")[1] > 1
    for name in ("target_macro_f1", "target_auroc", "target_ece"):
        assert intervals.of_metric([0.96, 0.98], name)[1] == 1


def test_only_the_seeds_of_both_are_paired():
    assert intervals.differences({0: 0.5, 2: 0.75, 3: 1.0}, {2: 0.5, 0: 0.25, 1: 0.0}) == [0.25, 0.25]


@pytest.mark.parametrize(("paired", "count", "expected"), [
    ([0.1, 0.11, 0.09], 1000, "helps"), ([-0.1, -0.11, -0.09], 1000, "harms"),
    ([0.1, -0.1, 0.2], 1000, "no difference"), ([0.0, 0.0], 1000, "no difference"),
    ([0.0125, 0.0125], 40, "no difference"), ([0.044, 0.044, 0.044], 50, "no difference"),
    ([0.15, 0.15], 40, "helps"), ([0.1], 1000, ""), ([], None, ""), ([0.1, 0.11], None, "helps"),
])  # fmt: skip
def test_a_word_only_where_interval_and_test_samples_bear_it(paired, count, expected):
    """Fewer than six test samples apart is no difference, however alike the seeds are: McNemar's test has p > .05."""
    assert scipy.stats.binomtest(5, 5).pvalue > 0.05 > scipy.stats.binomtest(6, 6).pvalue
    assert intervals.verdict(paired, count) == expected
    if expected in ("helps", "harms"):
        assert intervals.verdict(paired, count, lower_is_better=True) == {"helps": "harms", "harms": "helps"}[expected]
