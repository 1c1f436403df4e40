import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.decomposition import sparse_encode

from transferlab.errors import UserError
from transferlab.numerics import sparse_coding as sc


def problem(rows=60, dims=12, atoms=20, seed=0):
    """Random samples, and more atoms than dimensions, which is where sparsity decides."""
    g = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(atoms, dims, generator=g)
    return torch.randn(rows, dims, generator=g), dictionary / dictionary.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("algorithm", ["lasso_cd", "lasso_lars"])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_codes_are_scikit_learns(algorithm, beta):
    x, dictionary = problem()
    codes = sc.encode(x, dictionary, beta, tolerance=1e-5, iterations=20_000)
    # Its objective has a 1/2 before the square.
    x64, dictionary64 = x.double().numpy(), dictionary.double().numpy()
    theirs = sparse_encode(x64, dictionary64, algorithm=algorithm, alpha=beta / 2, max_iter=20_000)
    np.testing.assert_allclose(codes, theirs, atol=2e-3)
    their_objective = sc.objective(x, dictionary, torch.from_numpy(theirs).float(), beta)
    assert sc.objective(x, dictionary, codes, beta) == pytest.approx(their_objective, rel=1e-5)


def test_objective_by_loops():
    x, dictionary = problem(rows=5)
    codes = torch.randn(5, 20)
    total = 0.0
    for i in range(5):
        for d in range(12):
            total += (x[i, d] - sum(codes[i, j] * dictionary[j, d] for j in range(20))) ** 2
        total += 0.3 * sum(abs(codes[i, j]) for j in range(20))
    assert sc.objective(x, dictionary, codes, 0.3) == pytest.approx(float(total), rel=1e-5)


def test_orthonormal_atoms_shrink_each_coordinate_by_half_of_beta():
    x = torch.tensor([[3.0, -0.2, 0.6, -2.0]])
    codes = sc.encode(x, torch.eye(4), beta=1.0, tolerance=1e-5)
    torch.testing.assert_close(codes, torch.tensor([[2.5, 0.0, 0.1, -1.5]]), atol=1e-5, rtol=0)


def test_no_direction_leads_downhill_from_the_codes():
    x, dictionary = (t.double() for t in problem(rows=3))
    codes = sc.encode(x, dictionary, 0.5, tolerance=1e-6, iterations=20_000)
    step = 1e-5
    for i in range(3):
        slopes = torch.zeros(20, dtype=torch.double)
        for j in range(20):
            ends = []
            for sign in (1, -1):
                moved = codes.clone()
                moved[i, j] += sign * step
                ends.append((x - moved @ dictionary).square().sum())
            slopes[j] = (ends[0] - ends[1]) / (2 * step)
        on = codes[i] != 0
        assert 0 < on.sum() < 20
        torch.testing.assert_close(slopes[on], -0.5 * codes[i, on].sign(), atol=1e-5, rtol=0)
        assert slopes[~on].abs().max() <= 0.5 + 1e-5


def test_violation_by_hand():
    correlation, codes = torch.tensor([[1.0, 0.5, -2.0], [1.0, 0.2, -1.0]]), torch.tensor([[0.4, 0, 0], [2.0, 0, -1]])
    assert sc.violation(correlation, codes, beta=1.0).tolist() == [1.0, 0.0]


def test_a_row_has_the_same_codes_in_any_company(monkeypatch):
    x, dictionary = problem()
    whole = sc.encode(x, dictionary, 0.5, tolerance=1e-5)
    monkeypatch.setattr(sc, "CHUNK", 7)
    torch.testing.assert_close(sc.encode(x, dictionary, 0.5, tolerance=1e-5), whole, atol=1e-4, rtol=0)


def test_a_start_is_kept_and_shortens_the_way():
    x, dictionary = problem()
    codes = sc.encode(x, dictionary, 0.5)
    start = codes.clone()
    assert torch.equal(sc.encode(x, dictionary, 0.5, start, iterations=1), codes) and torch.equal(start, codes)


def test_the_dictionary_is_the_best_for_its_codes():
    x, dictionary = problem(rows=10, dims=3, atoms=4)
    codes = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))
    before = sc.objective(x, dictionary, codes, 1.0)
    for _ in range(500):
        sc.update(dictionary, codes.T @ codes, codes.T @ x)
        after = sc.objective(x, dictionary, codes, 1.0)
        assert after <= before + 1e-4
        before = after
    assert dictionary.norm(dim=1).max() <= 1 + 1e-6

    x64, codes64 = x.double().numpy(), codes.double().numpy()
    inside = {"type": "ineq", "fun": lambda b: 1 - (b.reshape(4, 3) ** 2).sum(1)}

    def error(b):
        return ((x64 - codes64 @ b.reshape(4, 3)) ** 2).sum()

    best = minimize(error, np.zeros(12), method="SLSQP", constraints=inside, options={"maxiter": 500})
    assert ((x - codes @ dictionary) ** 2).sum() == pytest.approx(best.fun, rel=1e-4)


def test_a_planted_dictionary_is_found():
    g = torch.Generator().manual_seed(0)
    _, planted = problem(dims=20, atoms=15, seed=3)
    on = torch.rand(2000, 15, generator=g).argsort(1) < 2
    x = (torch.randn(2000, 15, generator=g) * on) @ planted + 0.01 * torch.randn(2000, 20, generator=g)
    dictionary, _ = sc.learn(x, 15, beta=0.2, iterations=20, seed=0)
    cosines = (dictionary @ planted.T).abs() / dictionary.norm(dim=1, keepdim=True)
    assert cosines.amax(0).min() > 0.99


@pytest.mark.parametrize("batch_size", [16, 64, 1000])
def test_the_objective_never_increases_and_atoms_stay_in_the_unit_ball(batch_size):
    x, _ = problem(rows=200)
    x[::10] = 0
    dictionary, objectives = sc.learn(x, 30, beta=0.5, iterations=8, seed=0, batch_size=batch_size, tolerance=1e-3)
    assert len(objectives) == 8 and np.all(np.diff(objectives) < 1e-4 * objectives[0])
    assert objectives[-1] < objectives[0] < float(x.square().sum())
    assert dictionary.isfinite().all() and dictionary.norm(dim=1).max() <= 1 + 1e-6


def test_unused_atoms_become_badly_represented_samples():
    x = torch.eye(4)
    codes = torch.zeros(4, 3)
    codes[0, 0] = codes[1, 1] = codes[2, 1] = 1
    dictionary = torch.stack([x[0], x[1] + x[2], torch.full((4,), 0.5)])
    sc._replace_unused(dictionary, x, codes, torch.Generator().manual_seed(0))
    assert dictionary[:2].tolist() == [[1, 0, 0, 0], [0, 1, 1, 0]]
    # Errors are 0, 1, 1, 1.
    assert dictionary[2].tolist() in x[1:].tolist()
    perfect = dictionary.clone()
    sc._replace_unused(perfect, torch.zeros(4, 4), torch.zeros(4, 3), torch.Generator().manual_seed(0))
    assert torch.equal(perfect, dictionary)


def test_learning_finds_strong_samples_from_atoms_too_weak_to_be_used():
    strong, weak = torch.eye(8)[:4], 0.01 * torch.eye(8)[4:].repeat(50, 1)
    dictionary, objectives = sc.learn(torch.cat([strong, weak]), 5, beta=0.1, iterations=5, seed=0)
    assert dictionary.isfinite().all() and np.all(np.diff(objectives) <= 1e-4)
    # With an atom in its direction |x - a b|^2 + beta |a| is beta - beta^2 / 4; the weak stay at zero.
    assert objectives[-1] == pytest.approx(4 * (0.1 - 0.1**2 / 4) + 200 * 0.01**2, rel=1e-3)


def test_seed_decides_everything():
    x, _ = problem(rows=100)
    first, again, other = (sc.learn(x, 30, 0.5, 3, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0]) and first[1] == again[1] and first[1] != other[1]


def test_a_beta_above_all_correlations_gives_zeros():
    x, dictionary = problem()
    assert not sc.encode(x, dictionary, 2.001 * float((x @ dictionary.T).abs().max())).any()
    _, objectives = sc.learn(x, 20, 1e4, 2, 0)
    assert objectives == [pytest.approx(float(x.square().sum()))] * 2


def test_impossible_requests_are_one_line():
    x, dictionary = problem(rows=10)
    x[:3] = 0
    with pytest.raises(UserError, match="8 atoms of a dictionary: allowed is 1 to 7, the number of samples that are"):
        sc.learn(x, 8, 0.5, 1, 0)
    with pytest.raises(UserError, match="beta=0: "):
        sc.encode(x, dictionary, 0)
