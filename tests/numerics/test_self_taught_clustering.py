import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferlab.errors import UserError
from transferlab.numerics.self_taught_clustering import cluster, joint, merge, mutual_information


def information(table):
    """I of a joint distribution by its definition, entry by entry."""
    total = 0.0
    for i, row in enumerate(table):
        for j, p in enumerate(row):
            if p > 0:
                total += p * math.log(p / (sum(table[i]) * sum(r[j] for r in table)))
    return total


def objective(p, rows, columns, clusters, features):
    """The loss of mutual information of one table under its clusters, by plain loops."""
    small = [[0.0] * features for _ in range(clusters)]
    for i, row in enumerate(p):
        for j, value in enumerate(row):
            small[rows[i]][columns[j]] += value
    return information(p) - information(small)


def random_tables(seed):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((12, 9)) + 0.01), torch.from_numpy(rng.random((7, 9)) + 0.01)


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_objective_is_its_definition_and_never_rises(seed):
    target, source = random_tables(seed)
    found = cluster(target, 3, 4, auxiliary=source, auxiliary_clusters=2, weight=0.7, seed=seed, restarts=2)
    p, q = joint(target, "t").tolist(), joint(source, "s").tolist()
    columns = found.features.tolist()
    expected = objective(p, found.target.tolist(), columns, 3, 4)
    expected += 0.7 * objective(q, found.auxiliary.tolist(), columns, 2, 4)
    assert found.objectives[-1] == pytest.approx(expected, abs=1e-9)
    assert all(later <= earlier + 1e-9 for earlier, later in zip(found.objectives, found.objectives[1:], strict=False))


def test_it_is_the_divergence_from_the_clusters_approximation():
    """J = KL(p || p~) with p~(x, z) = p(x~, z~) p(x)/p(x~) p(z)/p(z~), equations 3 to 9."""
    table, _ = random_tables(3)
    p = joint(table, "t")
    found = cluster(table, 3, 4, seed=1)
    small = merge(merge(p, found.target, 3).T, found.features, 4).T
    rows, columns = p.sum(1), p.sum(0)
    approximate = (
        small[found.target][:, found.features] * (rows / small.sum(1)[found.target])[:, None]
        * (columns / small.sum(0)[found.features])[None]
    )  # fmt: skip
    assert float((p * (p / approximate).log()).sum()) == pytest.approx(found.objectives[-1], abs=1e-9)


def test_without_weight_the_auxiliary_table_says_nothing():
    target, source = random_tables(5)
    alone = cluster(target, 3, 4, seed=0, restarts=1)
    beside = cluster(target, 3, 4, auxiliary=source, auxiliary_clusters=2, weight=0.0, seed=0, restarts=1)
    # The random starts differ, so the comparison is of what is reached from many.
    best = [cluster(target, 3, 4, auxiliary=a, weight=0.0, seed=0, restarts=60).objectives[-1] for a in (None, source)]
    assert best[0] == pytest.approx(best[1], rel=0.05)
    assert alone.objectives[0] > 0 and beside.objectives[0] > 0


def test_planted_blocks_are_found_the_same_way_each_time():
    rows, columns = torch.arange(30) % 3, torch.arange(12) // 4
    table = 0.05 + (rows[:, None] == columns[None]).double()
    found, again = (cluster(table, 3, 3, seed=4) for _ in range(2))
    assert len({(a, b) for a, b in zip(rows.tolist(), found.target.tolist(), strict=True)}) == 3
    assert torch.equal(found.target, again.target)
    assert mutual_information(joint(table, "t")) == pytest.approx(information(joint(table, "t").tolist()))


@pytest.mark.parametrize(("change", "line"), [
    (lambda t: t.index_fill(0, torch.tensor([2]), 0.0), "1 samples are all zero, the first in row 2"),
    (lambda t: t - 1, "holds negative values"), (lambda t: t * math.nan, "not finite"),
])  # fmt: skip
def test_bad_tables_are_one_clear_line(change, line):
    with pytest.raises(UserError, match=line):
        cluster(change(random_tables(0)[0]), 3, 4)


def test_more_clusters_than_samples_is_one_clear_line():
    with pytest.raises(UserError, match="13 target clusters of 12 samples"):
        cluster(random_tables(0)[0], 13, 4)
