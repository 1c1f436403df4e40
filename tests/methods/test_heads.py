import numpy as np
import torch
from sklearn.svm import LinearSVC

from transferlab.methods.heads import linear, linear_svm


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
