import dataclasses

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from tests.conftest import config, problem, run
from transferlab import plan
from transferlab.data.contract import VECTORS
from transferlab.errors import UserError
from transferlab.jobs import execute
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.domain_adaptation import subspace_alignment as sa
from transferlab.methods.heads import best_cost
from transferlab.models import predictor as predictors
from transferlab.problem import Labelled, Unlabelled
from transferlab.runs import RunFolder


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
    ours = [torch.tensor(x) @ aligned[n]["weight"].T + aligned[n]["bias"] for n, x in (("source", s), ("target", t))]
    for mine, theirs in zip(ours, reference(s, t, d), strict=True):
        signs = np.sign((mine.numpy() * theirs).sum(0))
        np.testing.assert_allclose(mine.numpy() * signs, theirs, atol=1e-9)


def test_equal_domains_are_left_alone():
    x = torch.randn(50, 4, dtype=torch.double)
    aligned = sa.align(x, x, 2)
    torch.testing.assert_close(aligned["source"]["weight"], aligned["target"]["weight"])


def test_dimensions_the_features_do_not_have():
    few = torch.zeros(30, 5)
    assert sa.candidates([8, 2, 5], few, few) == [2, 5]
    with pytest.raises(UserError, match="only 5"):
        sa.candidates([6], few, few)


def fitted(tmp_path, options, scores=None, select="last", p=None):
    """The method on a small problem, its candidates scored by ``scores`` by name, for all validators alike."""
    p = p or problem(LABELLED, UNLABELLED)
    settings = dataclasses.replace(config(), select=select)
    names = iter(scores or ())

    def evaluate(predictor):
        return scores[next(names)] if scores else {}

    engine = run(tmp_path, settings, evaluate)
    return sa.fit(options, p, engine), engine, p


@pytest.mark.parametrize(("select", "chosen"), [("last", 4), ("class_ami", 2)])
def test_d_is_chosen_on_unseen_data_and_the_larger_of_equals(tmp_path, select, chosen):
    scores = {f"d={d}": {"validator/source_accuracy": a, "validator/class_ami": v, "target_accuracy": 1 - a}
              for d, a, v in ((2, 0.7, 0.3), (3, 0.9, 0.2), (4, 0.9, 0.1), (5, 0.8, 0.2))}  # fmt: skip
    predictor, engine, p = fitted(tmp_path, sa.Config(dims=[5, 2, 4, 3]), scores, select)
    assert [row["stage"] for row in engine.rows if row["kind"] == "candidate"] == ["d=2", "d=3", "d=4", "d=5"]
    assert engine.reports["dimension"] == chosen and engine.reports["cost"] in sa.Config().strengths
    features, scores = predictor(p.target.inputs)
    assert features.shape == (60, chosen) and scores.shape == (60, 3)


def test_where_nothing_is_held_out_it_is_the_largest_d(tmp_path):
    assert fitted(tmp_path, sa.Config(dims=[4, 2]))[1].reports["dimension"] == 4


@pytest.mark.parametrize("alignment", [True, False])
def test_the_svm_is_fitted_on_all_source_rows(tmp_path, alignment):
    predictor, engine, p = fitted(tmp_path, sa.Config(dims=[3], alignment=alignment))
    hidden = [predictor.net.hidden(predictor.net.features(x.inputs)).detach().numpy() for x in (p.source, p.target)]
    wanted = reference(*hidden, 3) if alignment else hidden
    found = [predictor(x.inputs, name)[0].detach().numpy() for x, name in ((p.source, "source"), (p.target, "target"))]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3 * np.abs(theirs).max())
    scale = np.sqrt(np.square(found[0]).mean())
    svm = LinearSVC(C=engine.reports["cost"], dual=False).fit(found[0] / scale, p.source.labels)
    margins = predictor(p.target.inputs)[1].detach().numpy()
    np.testing.assert_allclose(margins, svm.decision_function(found[1] / scale), atol=0.02)
    assert ("dimension" in engine.reports) == alignment


def test_c_is_chosen_where_it_matters():
    """Labels in a small feature beside large noise need a large C; one sample of a class allows no choice."""
    r = np.random.default_rng(0)
    labels = np.arange(300) % 2
    noise = r.normal(size=(300, 30))
    informative = np.c_[0.05 * (2 * labels - 1) + 0.01 * r.normal(size=300), 3 * noise]
    costs = [1e-4, 1.0, 100.0]
    assert best_cost(torch.tensor(informative), torch.tensor(labels), costs, 0) == 100.0
    assert best_cost(torch.tensor(noise), torch.tensor(r.permutation(labels)), [1.0], 0) == 1.0
    assert best_cost(torch.tensor(noise[:3]), torch.tensor([0, 1, 1]), costs, 0) == 1.0


def vectors(count, shift, seed):
    """Three classes in the first two of six features, one of which never varies."""
    r = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    x = r.normal(size=(count, 6)) + 4 * np.eye(6)[labels] * (labels < 2)[:, None]
    return (x * np.array([1, 1, 1, 1, 1, 0]) + shift).astype(np.float32), labels


def test_the_original_protocol_on_vectors(tmp_path, no_data):
    """Each domain standardised by itself, nearest neighbour, no net: by the real plan, loaded, and against NumPy."""
    (s, y), (t, z) = vectors(150, 0, 0), vectors(150, 7, 1)
    for name, x, labels in (("s", s, y), ("t", t, z)):
        np.savez(tmp_path / f"{name}.npz", features=x, labels=labels)
    words = ["source=features", "target=features", f"source.path={tmp_path}/s.npz", f"target.path={tmp_path}/t.npz",
             "method=subspace_alignment", "method.features=inputs", "method.classifier=nearest", "method.dims=[3]",
             "device=cpu", "store=null"]  # fmt: skip
    (job,) = plan.jobs(plan.arguments(words))  # with the net for images that is the default
    folder = RunFolder(tmp_path / "run")
    execute(job.config, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status
    results = folder.results
    assert results["steps"] == 0 and results["feature_size"] == results["dimension"] == 3
    assert "validator_bnm" not in results and "validator_class_ami" in results
    predictor, _ = predictors.load(folder.path / "checkpoints" / "predictor.safetensors")
    points = predictor.head.points.numpy()
    assert points.shape[1] == 3 and not any("net." in name for name in predictor.state_dict())
    # The same by NumPy, on the training rows that the predictor holds for its neighbours.
    moments = [(x.mean(0), np.where(x.std(0) > 1e-6, x.std(0), 1)) for x in (s, t)]
    p = dataclasses.replace(
        problem(LABELLED, UNLABELLED),
        kind=VECTORS,
        source=Labelled(torch.tensor(s), torch.tensor(y)),
        target=Unlabelled(torch.tensor(t)),
    )
    ours, _, _ = fitted(tmp_path / "alone", sa.Config(dims=[3], features="inputs", classifier="nearest"), p=p)
    a, b = reference(*((x - mean) / scale for x, (mean, scale) in zip((s, t), moments, strict=True)), 3)
    answers = ours(torch.tensor(t))[1].detach().argmax(1).numpy()
    nearest = y[np.square(b[:, None] - a[None]).sum(2).argmin(1)]
    basis = np.sign((ours(torch.tensor(s), "source")[0].numpy() * a).sum(0))
    np.testing.assert_allclose(ours(torch.tensor(s), "source")[0].numpy() * basis, a, atol=1e-4)
    assert (answers == nearest).mean() > 0.98 and (answers == z).mean() > 0.6


def test_margins_are_no_probabilities_to_choose_by(no_data):
    with pytest.raises(UserError, match="select=entropy: needs probabilities, method=subspace_alignment has none"):
        plan.jobs(plan.arguments(["data.edition=sample", "method=subspace_alignment", "select=entropy"]))
