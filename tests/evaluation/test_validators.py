"""Cases whose answer is known."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from transferlab import validators as v

RNG = np.random.default_rng(0)


def evidence(target_logits=None, **more):
    n, rng = 40, np.random.default_rng(0)
    base = v.Evidence(
        source_train_features=rng.normal(size=(n, 3)), source_features=rng.normal(size=(n, 3)),
        source_logits=rng.normal(size=(n, 4)), source_labels=rng.integers(0, 4, n),
        target_features=rng.normal(size=(n, 3)),
        target_logits=rng.normal(size=(n, 4)) if target_logits is None else target_logits,
    )  # fmt: skip
    return dataclasses.replace(base, **more)


UNIFORM = np.zeros((40, 4))
BALANCED = 1e4 * np.eye(4)[np.arange(40) % 4]
COLLAPSED = 1e4 * np.eye(4)[np.zeros(40, int)]


def test_source_accuracy():
    assert (
        v.source_accuracy(evidence(source_logits=np.eye(4)[[0, 1, 2, 3]], source_labels=np.array([0, 1, 2, 0]))) == 0.75
    )


@pytest.mark.parametrize(("logits", "expected"), [(UNIFORM, -np.log(4)), (BALANCED, 0), (COLLAPSED, 0)])
def test_entropy(logits, expected):
    assert v.entropy(evidence(logits)) == pytest.approx(expected)


@pytest.mark.parametrize(("logits", "expected"), [(UNIFORM, 0), (BALANCED, np.log(4)), (COLLAPSED, 0)])
def test_information_maximisation(logits, expected):
    assert v.information_maximisation(evidence(logits)) == pytest.approx(expected, abs=1e-12)


def test_information_maximisation_against_scipy():
    e = evidence()
    p = v.softmax(e.target_logits)
    assert v.information_maximisation(e) == pytest.approx(scipy_entropy(p.mean(0)) - scipy_entropy(p, axis=1).mean())


def test_bnm_by_hand():
    # Four orthogonal columns of ten ones: singular values sqrt(10), four of them.
    assert v.bnm(evidence(BALANCED)) == pytest.approx(4 * np.sqrt(10) / 40)
    assert v.bnm(evidence(COLLAPSED)) == pytest.approx(np.sqrt(40) / 40)
    assert v.bnm(evidence(UNIFORM)) == pytest.approx(np.sqrt(40 * 4 / 16) / 40)


def test_class_ami():
    clusters = 50 * np.eye(4)[np.arange(40) % 4] + 0.01 * RNG.normal(size=(40, 4))
    assert v.class_ami(evidence(BALANCED, target_features=clusters)) == pytest.approx(1)
    assert v.class_ami(evidence(COLLAPSED, target_features=clusters)) == pytest.approx(0)
    assert v.class_ami(evidence(BALANCED, target_features=np.ones((40, 3)))) == pytest.approx(0)


def test_snd_against_a_slow_loop():
    e = evidence()
    p = v.softmax(e.target_logits)
    total = 0.0
    for i in range(len(p)):
        row = []
        for j in range(len(p)):
            cosine = p[i] @ p[j] / np.sqrt((p[i] @ p[i]) * (p[j] @ p[j]))
            row.append(np.exp((-1.0 if i == j else cosine) / 0.05))
        q = np.array(row) / sum(row)
        total += -(q * np.log(q)).sum()
    assert v.snd(e) == pytest.approx(total / len(p))


def test_snd_is_fooled_by_a_collapse():
    assert v.snd(evidence(COLLAPSED)) == pytest.approx(np.log(39))
    assert v.snd(evidence(COLLAPSED)) > v.snd(evidence(BALANCED))


def test_dev_with_equal_densities_is_the_mean_loss():
    losses = RNG.random(30)
    assert v.dev_risk(losses, np.ones(30)) == pytest.approx(losses.mean())


def test_devs_control_variate_by_hand():
    losses, weights = np.array([1.0, 2.0, 6.0]), np.array([0.5, 1.0, 3.0])
    weighted = losses * weights
    eta = -np.cov(weighted, weights, ddof=1)[0, 1] / np.var(weights, ddof=1)
    assert v.dev_risk(losses, weights) == pytest.approx(weighted.mean() + eta * (weights.mean() - 1))
    # A loss that is the same everywhere has that risk, whatever the weights: all variance is removed.
    assert v.dev_risk(np.full(3, 0.7), weights) == pytest.approx(0.7)


def test_density_ratio_of_equal_and_of_shifted_domains():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 1)) + 1
    np.testing.assert_allclose(v.density_ratio(x, x, x[:50]), 1, atol=0.05)
    ratio = v.density_ratio(x, y, np.array([[-1.0], [0.5], [2.0]]))
    # Of two unit Gaussians a step apart the ratio is exp(x - 1/2); the penalty flattens it a little.
    np.testing.assert_allclose(ratio, np.exp([-1.5, 0, 1.5]), rtol=0.25)


def test_dev_prefers_the_better_model():
    labels = np.arange(40) % 4
    good, bad = evidence(source_labels=labels, source_logits=BALANCED), evidence(source_labels=labels)
    assert v.dev(good) > v.dev(bad)


def test_all_are_finite_on_degenerate_outputs():
    flat = dict.fromkeys(("source_train_features", "source_features", "target_features"), np.zeros((40, 3)))
    for name, rule in v.VALIDATORS.items():
        for logits in (UNIFORM, BALANCED, COLLAPSED):
            assert np.isfinite(rule(evidence(logits, **flat))), name
