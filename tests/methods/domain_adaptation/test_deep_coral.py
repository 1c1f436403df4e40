import numpy as np
import torch

from transferlab.methods.domain_adaptation.deep_coral import coral


def test_coral_against_numpy():
    r = np.random.default_rng(0)
    s, t = r.normal(size=(7, 3)), r.normal(size=(9, 3)) * 2
    expected = np.linalg.norm(np.cov(s, rowvar=False) - np.cov(t, rowvar=False), "fro") ** 2 / (4 * 3**2)
    np.testing.assert_allclose(coral(torch.tensor(s), torch.tensor(t)), expected)


def test_coral_does_not_see_the_mean_and_is_zero_on_equal_domains():
    x = torch.randn(20, 4, dtype=torch.double)
    assert coral(x, x + 5) < 1e-20


def test_coral_gradient_by_finite_differences():
    x, y = torch.randn(5, 3, dtype=torch.double, requires_grad=True), torch.randn(6, 3, dtype=torch.double)
    assert torch.autograd.gradcheck(coral, (x, y))


def test_autocast_leaves_the_covariances_in_float32():
    x, y = torch.randn(50, 8), torch.randn(50, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(coral(x, y), coral(x.clone(), y.clone()))
        inside = coral(x, y)
    assert torch.equal(inside, coral(x, y))
