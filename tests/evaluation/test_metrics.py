import csv
import time

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest, norm
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from transferlab import intervals, testing
from transferlab.evaluation import metrics
from transferlab.evaluation.distances import proxy_a_distance

RNG = np.random.default_rng(0)
SCORES, LABELS = RNG.normal(size=(200, 5)), RNG.integers(0, 5, 200)


def test_against_scikit_learn():
    predicted = SCORES.argmax(1)
    assert np.array_equal(metrics.confusion(SCORES, LABELS, 5), confusion_matrix(LABELS, predicted))
    assert metrics.mean_class_accuracy(SCORES, LABELS, 5) == pytest.approx(balanced_accuracy_score(LABELS, predicted))
    assert metrics.accuracy(SCORES, LABELS) == (predicted == LABELS).mean()


def test_the_record_has_counts_of_the_interval_and_classes_without_samples():
    record = metrics.classification("target", np.eye(4)[[0, 0, 1, 1, 1]], np.array([0, 0, 1, 1, 2]), 4, logits=True)
    assert record["target_test_count"] == 5
    assert record["target_accuracy"] == 0.8 and record["target_class_accuracies"] == [1.0, 1.0, 0.0, None]
    expected = binomtest(4, 5).proportion_ci(0.95, "wilson")
    assert record["target_accuracy_interval"] == pytest.approx([expected.low, expected.high], abs=1e-5)
    low, high = record["target_mean_class_accuracy_interval"]
    assert low < record["target_mean_class_accuracy"] < high


def test_cost_does_not_grow_with_the_square_of_the_classes():
    """A million classes, as few samples as here: a confusion matrix would need eight terabytes."""
    scores, labels = np.zeros((2, 1_000_000), np.float32), np.array([0, 999_999])
    assert metrics.mean_class_accuracy(scores, labels, 1_000_000) == 0.5


def test_a_confusion_matrix_is_of_so_many_classes_at_most():
    scores = np.zeros((3, 5000), np.float32)
    scores[[0, 1, 2], [0, 999, 4999]] = 1
    matrix = metrics.confusion(scores, np.array([0, 998, 4999]), 5000)
    assert matrix.shape == (1000, 1000) and matrix.sum() == 2 and matrix[998, 999] == 1


def test_a_class_without_samples_is_left_out():
    scores = np.eye(3)[[0, 0, 1]]
    per_class = metrics.per_class_accuracy(scores, np.array([0, 1, 1]), 3)
    assert per_class[:2].tolist() == [1, 0.5] and np.isnan(per_class[2])
    assert metrics.mean_class_accuracy(scores, np.array([0, 1, 1]), 3) == 0.75


def test_proxy_a_distance_of_equal_and_of_separate_domains():
    a, b = RNG.normal(size=(800, 5)), RNG.normal(size=(800, 5))
    assert proxy_a_distance(a, b) < 0.25
    assert proxy_a_distance(a, b + 20) == 2
    assert 0.25 < proxy_a_distance(a, b + 0.5) < 1.5
    assert proxy_a_distance(np.zeros((20, 2)), np.zeros((20, 2))) == 0


def test_clusters_are_matched_with_classes():
    clusters, labels = np.array([2, 2, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 0])
    named = metrics.match_clusters(np.eye(3)[clusters], labels, 3)
    assert named.shape == (6, 4) and metrics.accuracy(named, labels) == 5 / 6
    many = metrics.match_clusters(np.eye(4)[[0, 1, 2, 3, 3, 3]], labels, 3)
    assert metrics.accuracy(many, labels) == 3 / 6
    assert metrics.confusion(many, labels, 3).sum() == 5  # the cluster left over names nothing


def test_clustering_scores_by_hand():
    clusters, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    record = metrics.clustering(clusters, labels)
    assert record["cluster_entropy"] == 0.5  # one bit in one of two clusters of like size
    assert metrics.clustering(labels, labels) == {"nmi": 1.0, "ari": 1.0, "cluster_entropy": 0.0}


def test_hit_at_k():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert metrics.hit_at(scores, np.array([1, 0]), 2) == 0.5


def test_generalised_zero_shot_accuracies_by_hand():
    seen = np.eye(3)[[0, 0, 1, 2]], np.array([0, 0, 1, 1])  # 1 of class 0, a half of class 1
    unseen = np.eye(3)[[2, 0, 0, 0]], np.array([2, 2, 2, 2])
    record = metrics.generalised(seen, unseen, 3)
    assert (record["s"], record["u"], record["H"]) == (0.75, 0.25, 2 * 0.75 * 0.25 / (0.75 + 0.25))
    for name, count in (("s", 4), ("u", 4)):
        low, high = record[f"{name}_interval"]
        assert 0 <= low < record[name] < high <= 1 and high - low > 1 / count
    assert metrics.generalised(seen, (np.eye(3)[[0, 0]], np.array([2, 2])), 3)["H"] == 0


def drawn(count, classes, distance, seed):
    """Scores float32 and labels of a task whose classes are ``distance`` standard deviations up in their own score."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count)
    scores = rng.normal(size=(count, classes)).astype(np.float32)
    scores[np.arange(count), labels] += distance
    return scores, labels


def test_macro_f1_is_scikit_learns_over_the_classes_that_have_samples():
    assert metrics.macro_f1(SCORES, LABELS, 5)[0] == pytest.approx(f1_score(LABELS, SCORES.argmax(1), average="macro"))
    some = LABELS < 3  # and yet the other two are answered
    expected = f1_score(LABELS[some], SCORES[some].argmax(1), average="macro", labels=[0, 1, 2])
    assert metrics.macro_f1(SCORES[some], LABELS[some], 5)[0] == pytest.approx(expected)
    assert metrics.macro_f1(np.eye(3)[[0, 0]], np.array([1, 2]), 3)[0] == 0


def test_auroc_is_scikit_learns():
    scores, labels = drawn(300, 4, 1.0, 1)
    expected = roc_auc_score(labels, softmax(scores.astype(float), 1), multi_class="ovr")
    assert metrics.auroc(scores, labels, 4, logits=True)[0] == pytest.approx(expected, abs=1e-12)
    two, truth = scores[:, :2].round().astype(float), labels % 2  # many ties
    expected = roc_auc_score(truth, two[:, 1] - two[:, 0])
    assert metrics.auroc(two, truth, 2, logits=False)[0] == pytest.approx(expected, abs=1e-12)
    expected = roc_auc_score(truth, softmax(scores[:, :2].astype(float), 1)[:, 1])
    assert metrics.auroc(scores[:, :2], truth, 2, logits=True)[0] == pytest.approx(expected, abs=1e-12)


def test_auroc_is_over_the_classes_that_have_samples_of_both_kinds():
    scores, labels = drawn(60, 4, 1.0, 2)
    some = labels != 3
    p = softmax(scores.astype(float), 1)[some]
    expected = np.mean([roc_auc_score(labels[some] == number, p[:, number]) for number in range(3)])
    assert metrics.auroc(scores[some], labels[some], 4, logits=True)[0] == pytest.approx(expected, abs=1e-12)
    assert metrics.auroc(scores, np.zeros(60, int), 4, logits=True) is None
    assert not any("auroc" in key for key in metrics.classification("target", scores, np.zeros(60, int), 4, True))


@pytest.mark.parametrize("logits", [True, False])
def test_what_all_scores_of_an_input_have_in_common_says_nothing(logits):
    """Minus a distance has the input's own length in it, and a logit an offset that a softmax takes out again."""
    scores, labels = drawn(200, 3, 1.0, 3)
    moved = scores.astype(float) + 100 * np.random.default_rng(0).normal(size=(200, 1))
    expected = metrics.auroc(scores.astype(float), labels, 3, logits)
    assert metrics.auroc(moved, labels, 3, logits)[0] == pytest.approx(expected[0], abs=1e-9)


def test_auroc_of_margins_is_of_the_margin_over_the_best_other_class():
    scores, labels = drawn(200, 4, 1.0, 4)
    margins = scores - np.stack([np.delete(scores, number, 1).max(1) for number in range(4)], 1)
    expected = np.mean([roc_auc_score(labels == number, margins[:, number]) for number in range(4)])
    assert metrics.auroc(scores, labels, 4, logits=False)[0] == pytest.approx(expected, abs=1e-6)


def test_the_interval_of_an_auroc_is_of_delongs_variance():
    """DeLong et al. 1988, equations 4 to 6, from all pairs of samples."""
    scores, labels = drawn(80, 2, 1.0, 5)
    above = scores[:, 1].astype(float) - scores[:, 0]
    own, rest = above[labels == 1], above[labels == 0]
    wins = (own[:, None] > rest) + 0.5 * (own[:, None] == rest)
    variance = wins.mean(1).var() / len(own) + wins.mean(0).var() / len(rest)
    area, interval = metrics.auroc(scores, labels, 2, logits=True)
    assert area == pytest.approx(wins.mean())
    assert interval == pytest.approx(intervals.wilson(area, area * (1 - area) / variance))


def test_calibration_error_by_hand():
    """Of confidences .605 (wrong), .62, .9 and 1 (right), the first two are in one bin, from 9/15 to 10/15."""
    p = np.array([[0.605, 0.395], [0.62, 0.38], [0.1, 0.9], [1.0, 1e-30]])
    labels = np.array([1, 0, 1, 0])
    found, (low, high) = metrics.calibration_error(np.log(p), labels)
    assert found == pytest.approx((abs(1 - 0.605 - 0.62) + 0.1) / 4, abs=1e-9) and 0 <= low <= found <= high
    p[0] = 0.595, 0.405  # now each is in a bin of its own
    found, _ = metrics.calibration_error(np.log(p), labels)
    assert found == pytest.approx((0.595 + 0.38 + 0.1) / 4, abs=1e-9)
    assert metrics.calibration_error(np.log(p) + 7, labels)[0] == pytest.approx(found)


def test_without_logits_there_is_no_calibration_error():
    for logits in (True, False):
        record = metrics.classification("target", SCORES, LABELS, 5, logits)
        assert ("target_ece" in record) == logits and "target_auroc" in record and "target_macro_f1" in record


def test_infinite_scores_are_scores():
    scores = np.array([[np.inf, 0, -np.inf], [-np.inf, 1, -np.inf], [0, -np.inf, np.inf]], np.float32)
    for logits in (True, False):
        record = metrics.classification("target", scores, np.arange(3), 3, logits)
        assert record["target_accuracy"] == record["target_macro_f1"] == record["target_auroc"] == 1


def test_the_rows_of_the_classes_are_scikit_learns():
    names = ["a", "b", "c", "d"]
    scores, labels = drawn(60, 3, 0.8, 6)
    scores = np.concatenate([scores, np.full((60, 1), -9)], 1)
    rows = metrics.class_rows(scores, labels, names)
    predicted = scores.argmax(1)
    precision, recall, f1, counts = precision_recall_fscore_support(labels, predicted, labels=[0, 1, 2])
    for number, row in enumerate(rows[:3]):
        assert row["class"] == names[number] and row["n"] == counts[number]
        expected = precision[number], recall[number], f1[number]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(expected, abs=1e-5)
        hits = int(((labels == number) & (predicted == number)).sum())
        for share, count in (("recall", row["n"]), ("precision", row["predicted"])):
            ends = binomtest(hits, int(count)).proportion_ci(0.95, "wilson")
            assert (row[f"{share}_low"], row[f"{share}_high"]) == pytest.approx((ends.low, ends.high), abs=1e-5)
    nothing = {key for key, value in rows[3].items() if value is None}
    assert nothing == rows[3].keys() - {"class", "n", "predicted"} and rows[3]["n"] == rows[3]["predicted"] == 0


def held(figure, truth, draws):
    """How often the interval of ``figure(seed)`` has the true value in it."""
    inside = 0
    for seed in range(draws):
        _, (low, high) = figure(seed)
        inside += low - 1e-9 <= truth <= high + 1e-9
    return inside / draws


@pytest.mark.parametrize(("right", "shares"), [(0.9, [0.5, 0.5]), (0.97, [0.1] * 10), (0.8, [0.6, 0.2, 0.1, 0.1])])
def test_macro_f1_lies_in_its_interval_as_often_as_said(right, shares):
    classes = len(shares)
    wrong = (1 - np.eye(classes)) * (1 - right) / (classes - 1)
    joint = np.array(shares)[:, None] * (right * np.eye(classes) + wrong)
    truth = np.mean(2 * joint.diagonal() / (joint.sum(0) + joint.sum(1)))

    def figure(seed):
        pairs = np.random.default_rng(seed).choice(classes**2, 100, p=joint.ravel())
        return metrics.macro_f1(np.eye(classes)[pairs % classes], pairs // classes, classes)

    assert 0.92 < held(figure, truth, 2000) < 0.99  # Wilson's own, of 100 samples and .9, is 0.936


@pytest.mark.parametrize(("distance", "share"), [(0.5, 0.5), (1.8, 0.25), (3.0, 0.1)])
def test_auroc_of_two_classes_lies_in_its_interval_as_often_as_said(distance, share):
    def figure(seed):
        labels = (np.arange(80) < 80 * share).astype(int)
        above = np.random.default_rng(seed).normal(size=80) + distance * labels
        return metrics.auroc(np.stack([0 * above, above], 1), labels, 2, logits=False)

    assert 0.93 < held(figure, norm.cdf(distance / np.sqrt(2)), 600) <= 1


@pytest.mark.parametrize("logits", [True, False])
def test_auroc_of_many_classes_lies_in_its_interval_as_often_as_said(logits):
    truth = metrics.auroc(*drawn(100_000, 5, 2.0, 10**6), 5, logits)[0]
    assert 0.92 < held(lambda seed: metrics.auroc(*drawn(150, 5, 2.0, seed), 5, logits), truth, 400) < 0.99


@pytest.mark.parametrize("count", [60, 300])
@pytest.mark.parametrize("excess", [0.0, 0.03, 0.15])
def test_the_calibration_error_lies_in_its_interval_as_often_as_said(excess, count):
    """Also of a calibrated predictor, whose error of 0 is in no interval of a bootstrap."""

    def figure(seed):
        rng = np.random.default_rng(seed)
        confidence = 0.7 + rng.beta(5, 1.5, count) * 0.299
        labels = (rng.random(count) >= confidence - excess).astype(int)
        return metrics.calibration_error(np.log(np.stack([confidence, 1 - confidence], 1)), labels)

    assert held(figure, excess, 400) > 0.93


def test_a_perfect_small_test_leaves_room_for_doubt():
    record = metrics.classification("target", 50 * np.eye(3)[[0, 0, 1, 1, 2, 2]], np.array([0, 0, 1, 1, 2, 2]), 3, True)
    for name in ("macro_f1", "auroc"):
        low, high = record[f"target_{name}_interval"]
        assert record[f"target_{name}"] == high == 1 and low < 0.9
    low, high = record["target_ece_interval"]
    assert low == 0 and high > 0.05


def test_all_metrics_of_many_samples_or_classes_take_moments():
    """Their cost grows with samples times classes, and with no power of either; the bounds are ten times the usual."""
    for count, classes, most in ((10_000, 10, 0.2), (3_000, 1_000, 3)):
        scores, labels = drawn(count, classes, 2.0, 0)
        started = time.process_time()
        metrics.classification("target", scores, labels, classes, logits=True)
        assert time.process_time() - started < most


def test_a_run_leaves_the_table_of_its_classes_beside_its_record(tmp_path, no_data):
    """Except for clusters, whose record is as it was: they are of no class before they are matched with labels."""
    folder = testing.finished(testing.tiny("source_only", {}), tmp_path / "run")
    with (folder.path / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    results = folder.results
    assert [float(row["recall"]) for row in rows] == pytest.approx(results["target_class_accuracies"], abs=1e-4)
    assert [row["class"] for row in rows] == [str(digit) for digit in range(10)]
    assert sum(int(row["n"]) for row in rows) == results["target_test_count"]
    assert np.mean([float(row["f1"]) for row in rows]) == pytest.approx(results["target_macro_f1"], abs=1e-5)
    for name in ("macro_f1", "auroc", "ece"):
        low, high = results[f"target_{name}_interval"]
        assert 0 <= low < results[f"target_{name}"] < high <= 1
    assert not {"target_macro_f1", "target_auroc", "target_ece"} & {key for row in folder.read_metrics() for key in row}
    options = {"samples": 40, "source_samples": 40, "restarts": 1, "feature_clusters": 4}
    clusters = testing.finished(testing.tiny("self_taught_clustering", options), tmp_path / "clusters")
    assert not (clusters.path / "classes.csv").exists() and "target_macro_f1" not in clusters.results
    assert "nmi" in clusters.results and "target_mean_class_accuracy" in clusters.results
