import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

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
    record = metrics.classification("target", np.eye(4)[[0, 0, 1, 1, 1]], np.array([0, 0, 1, 1, 2]), 4)
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
