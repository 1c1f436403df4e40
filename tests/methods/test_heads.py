import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from transferlab.methods.heads import few_label_classifier, linear, linear_svm


def test_weights_reproduce_scikit_learns_decisions():
    r = np.random.default_rng(0)
    x, y = r.normal(size=(90, 6)).astype(np.float32) * 40, r.integers(0, 3, 90)
    x[:, 0] += 80 * y
    ours = linear(linear_svm(torch.from_numpy(x), torch.from_numpy(y), 3))(torch.from_numpy(x))
    scale = np.sqrt((x**2).mean())
    theirs = LinearSVC(dual=False).fit(x / scale, y).decision_function(x / scale)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-3)


def test_two_classes_and_a_class_without_samples():
    x = torch.tensor([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.1]])
    y = torch.tensor([0, 0, 2, 2])
    scores = linear(linear_svm(x, y, 3))(x)
    assert scores.argmax(1).tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("samples", [60, 400])
def test_the_solved_head_is_level_with_logistic_regression_on_vectors_of_length_one(samples):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.preprocessing import normalize

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 40))
    labels = np.arange(samples + 2000) % 6
    x = normalize(np.maximum(centres[labels] + 1.5 * rng.normal(size=(len(labels), 40)), 0))  # as after a ReLU
    strengths = {"C": [1.0, 10.0, 100.0, 1000.0]}
    theirs = GridSearchCV(LogisticRegression(max_iter=5000), strengths, cv=5).fit(x[:samples], labels[:samples])
    features = torch.from_numpy(x).float()
    ours = few_label_classifier(features[:samples], torch.from_numpy(labels[:samples]), "logistic", None, 0)
    said = (features[samples:] @ ours["weight"].T + ours["bias"]).argmax(1).numpy()
    tested = labels[samples:]
    assert np.mean(said == tested) >= theirs.score(x[samples:], tested) - 0.01
