import numpy as np
import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.config import LABELLED, UNLABELLED
from transferlab.errors import UserError
from transferlab.methods.domain_adaptation import subspace_alignment as sa


def reference(s, t, d):
    """Fernando et al. 2013, equations 1 to 3, with NumPy's SVD; a basis is free in its signs."""
    s0, t0 = s - s.mean(0), t - t.mean(0)
    ps, pt = np.linalg.svd(s0, full_matrices=False)[2][:d].T, np.linalg.svd(t0, full_matrices=False)[2][:d].T
    return s0 @ ps @ (ps.T @ pt), t0 @ pt


@pytest.mark.parametrize("d", [1, 3, 5])
def test_alignment_against_numpy(d):
    r = np.random.default_rng(1)
    scales = np.array([9, 5, 3, 2, 1])
    s, t = r.normal(size=(60, 5)) * scales + 4, r.normal(size=(80, 5)) @ r.normal(size=(5, 5)) - 2
    aligned = sa.align(torch.tensor(s), torch.tensor(t), d)
    ours = [torch.tensor(x) @ aligned[f"{n}_projection"] + aligned[f"{n}_shift"]
            for n, x in (("source", s), ("target", t))]  # fmt: skip
    for mine, theirs in zip(ours, reference(s, t, d), strict=True):
        signs = np.sign((mine.numpy() * theirs).sum(0))
        np.testing.assert_allclose(mine.numpy() * signs, theirs, atol=1e-9)


def test_equal_domains_are_left_alone():
    x = torch.randn(50, 4, dtype=torch.double)
    aligned = sa.align(x, x, 2)
    torch.testing.assert_close(aligned["source_projection"], aligned["target_projection"])


def test_dimensions_the_features_do_not_have():
    few = torch.zeros(30, 5)
    assert sa.candidates([8, 2, 5], few, few) == [2, 5]
    with pytest.raises(UserError, match="only 5"):
        sa.candidates([6], few, few)


def test_d_is_chosen_without_target_labels_and_each_d_is_measured(tmp_path):
    seen = []
    engine = run(tmp_path, config(), lambda predictor: {"target_accuracy": len(seen)})
    predictor = sa.fit(sa.Config(dims=[2, 4]), problem(LABELLED, UNLABELLED), engine)
    assert [row["stage"] for row in engine.rows if row["kind"] == "candidate"] == ["d=2", "d=4"]
    images = problem(LABELLED, UNLABELLED).target.inputs
    assert predictor(images)[1].shape == (60, 3)
    assert predictor.source_head is not None
