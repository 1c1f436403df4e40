import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.conftest import config, problem, run
from transferlab.errors import UserError
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.domain_adaptation import prototypes as method
from transferlab.methods.domain_adaptation.prototypes import prototypes


def test_a_round_by_hand():
    features = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 5.0]])
    probabilities = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    first, rounds = prototypes(features, probabilities, 0)
    weighed = np.array([[0.9 + 0.5 * 0.6, 0.5 * 0.8 + 0.2], [0.1 + 0.5 * 0.6, 0.5 * 0.8 + 0.8]])
    np.testing.assert_allclose(first, weighed / np.linalg.norm(weighed, axis=1, keepdims=True), rtol=1e-6)
    assert rounds == 0
    # The second sample is nearer in angle to the second prototype.
    second, rounds = prototypes(features, probabilities, 20)
    np.testing.assert_allclose(second, [[1.0, 0.0], [0.6 / np.sqrt(3.6), 1.8 / np.sqrt(3.6)]], rtol=1e-6)
    assert rounds == 1


def test_it_ends_where_spherical_k_means_does():
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 6, generator=random)
    x = centres[torch.arange(200) % 4] + 0.7 * torch.randn(200, 6, generator=random)
    guess = (x @ torch.randn(6, 4, generator=random)).softmax(1)
    found, rounds = prototypes(x, guess, 100)
    unit = F.normalize(x, dim=1).double().numpy()
    expected = guess.double().numpy().T @ unit
    for _ in range(100):
        nearest = (unit @ (expected / np.linalg.norm(expected, axis=1, keepdims=True)).T).argmax(1)
        expected = np.stack([unit[nearest == k].sum(0) if (nearest == k).any() else expected[k] for k in range(4)])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert 1 < rounds < 100


def test_a_class_that_is_nearest_to_nothing_keeps_its_prototype():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    probabilities = torch.tensor([[0.6, 0.4], [0.6, 0.4]])
    found, _ = prototypes(features, probabilities, 5)
    assert torch.isfinite(found).all() and torch.allclose(found[0], found[1], atol=1e-6)


def test_the_source_keeps_its_classifier_and_the_target_has_prototypes(tmp_path):
    p = problem(LABELLED, UNLABELLED)
    engine = run(tmp_path, config("prototypes", steps=6))
    predictor = method.fit(method.Config(), p, engine).eval()
    images = p.target.inputs[:10]
    hidden = predictor.net.hidden(predictor.net.features(images, "target"), "target")
    cosines = F.normalize(hidden, dim=1) @ predictor.head.weight.T
    scores = predictor(images, "target")[1]
    torch.testing.assert_close(scores / hidden.norm(dim=1, keepdim=True), cosines, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(predictor(images, "source")[1], predictor.net(images, "source"))
    assert engine.reports["rounds"] >= 1


def test_negative_rounds_are_one_line():
    with pytest.raises(UserError, match=r"method.rounds=-1: must not be negative"):
        method.Config(rounds=-1)
