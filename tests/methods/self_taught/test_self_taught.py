import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.data.contract import IMAGES
from transferlab.errors import UserError
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.self_taught import self_taught, self_taught_clustering
from transferlab.models import predictor as predictors
from transferlab.problem import Labelled, Unlabelled
from transferlab.reports import sweeps
from transferlab.training.store import Store


def grey(target=LABELLED):
    """The three-class problem with grey images in both domains."""
    p = problem(UNLABELLED, target)
    view = Labelled(p.target.inputs[:, :1], p.target.labels) if target == LABELLED else Unlabelled(
        p.target.inputs[:, :1]
    )  # fmt: skip
    return dataclasses.replace(p, target=view)


@pytest.mark.parametrize("options", [
    {"features": "codes"}, {"features": "raw"}, {"features": "raw_codes"}, {"features": "pca"},
    {"features": "kmeans"}, {"dictionary": "random"}, {"dictionary": "noise"}, {"classifier": "svm"},
    {"patch": 6}, {"patch": 6, "features": "kmeans"}, {"patch": 6, "features": "pca"},
])  # fmt: skip
def test_it_learns_from_few_labels_and_is_saved(tmp_path, options):
    p = grey()
    settings = self_taught.Config(atoms=12, iterations=3, beta=0.1, strengths=[1.0], **options)
    predictor = self_taught.fit(settings, p, run(tmp_path, config("self_taught"))).eval()
    assert (predictor(p.target.inputs)[1].argmax(1) == p.target.labels).float().mean() > 0.8
    predictors.save(tmp_path / "p.safetensors", predictor, "abc")
    again, _ = predictors.load(tmp_path / "p.safetensors")
    torch.testing.assert_close(again(p.target.inputs)[1], predictor(p.target.inputs)[1])


def shared(folder, store, options=None, p=None, seed=0):
    """Which of trained and taken the run's dictionary is, and the predictor."""
    engine = run(folder, dataclasses.replace(config("self_taught"), seed=seed))
    engine._store = store
    settings = self_taught.Config(**{"atoms": 12, "iterations": 2, "strengths": [1.0], **(options or {})})
    predictor = self_taught.fit(settings, dataclasses.replace(p or grey(), seed=seed), engine)
    return engine.shared_model, predictor


def test_runs_on_other_labels_share_the_dictionary(tmp_path):
    store, p = Store(tmp_path / "store"), grey()
    first, one = shared(tmp_path / "a", store)
    fewer = dataclasses.replace(p, target=Labelled(p.target.inputs[:40], p.target.labels[:40]))
    second, two = shared(tmp_path / "b", store, {"features": "raw_codes"}, fewer)
    assert (first, second) == ("trained", "taken")
    assert torch.equal(one.encoder.dictionary, two.encoder.dictionary)
    alone, three = shared(tmp_path / "c", None)
    assert alone is None and torch.equal(one.head.weight, three.head.weight)


def test_what_determines_a_dictionary_makes_another(tmp_path):
    store = Store(tmp_path / "store")
    changes = [
        {}, {"atoms": 11}, {"beta": 0.2}, {"iterations": 3}, {"samples": 50}, {"dictionary": "noise"},
        {"dictionary": "random"}, {"features": "pca"}, {"features": "kmeans"}, {"patch": 6},
    ]  # fmt: skip
    origins = [shared(tmp_path / str(i), store, change)[0] for i, change in enumerate(changes)]
    assert origins == ["trained"] * len(changes)
    assert shared(tmp_path / "seed", store, seed=1)[0] == "trained"
    assert shared(tmp_path / "again", store, {"atoms": 11, "classifier": "svm"})[0] == "taken"


def test_patches_are_cut_from_everywhere_in_the_source():
    images = torch.arange(4 * 9, dtype=torch.uint8).view(4, 1, 3, 3) * 5
    config = self_taught.Config(patch=2, samples=2000)
    torch.manual_seed(0)
    found = {tuple(row) for row in self_taught.some(images, IMAGES, config).mul(255).round().int().tolist()}
    # A patch is known by its differences alone, which are the same at all places: 4, -6 pixels and so on, times 5.
    assert found == {(-10, -5, 5, 10)}
    squares = self_taught.some((images.int() ** 2 // 150).byte(), IMAGES, config).mul(255 * 4).round().int()
    assert len({tuple(row) for row in squares.tolist()}) == 16


def test_the_accuracy_in_cross_validation_is_scikit_learns(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    x = torch.eye(3)[labels] + 0.8 * torch.randn(60, 3) + 5
    found = self_taught.few_label_classifier(x, labels, "logistic", [1.0], seed=4)
    scaled = (x - x.mean(0)) / (x - x.mean(0)).square().sum(1).mean().sqrt()
    folds = StratifiedKFold(5, shuffle=True, random_state=4)
    expected = cross_val_score(LogisticRegression(max_iter=1000), scaled.numpy(), labels.numpy(), cv=folds).mean()
    assert float(found["validation"]) == pytest.approx(expected) and 0.5 < expected < 1
    theirs = LogisticRegression(max_iter=1000).fit(scaled.numpy(), labels.numpy()).decision_function(scaled.numpy())
    np.testing.assert_allclose(x @ found["weight"].T + found["bias"], theirs, atol=1e-3)


def test_more_clusters_than_samples_are_one_clear_line(tmp_path):
    asked = self_taught.Config(atoms=61, features="kmeans")
    with pytest.raises(UserError, match="method.atoms=61: there are only 60 samples"):
        self_taught.fit(asked, grey(), run(tmp_path, config("self_taught")))


def test_a_black_source_is_one_clear_line(tmp_path):
    p = grey()
    p.source.inputs.zero_()
    with pytest.raises(UserError, match="allowed is 1 to 0, the number of samples that are not all zero"):
        self_taught.fit(self_taught.Config(atoms=5), p, run(tmp_path, config("self_taught")))


def test_principal_components_are_scikit_learns():
    from sklearn.decomposition import PCA

    x = torch.randn(300, 8) * torch.arange(1.0, 9)
    x -= x.mean(0)
    ours = torch.pca_lowrank(x, 8, center=False)[2].T
    theirs = PCA(8).fit(x.numpy()).components_
    np.testing.assert_allclose(np.abs((ours.numpy() * theirs).sum(1)), 1, atol=1e-3)


def test_the_classifiers_strength_is_chosen_on_the_labels(tmp_path):
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    x = torch.eye(3)[labels] + 0.1 * torch.randn(60, 3)
    tensors = self_taught.few_label_classifier(x, labels, "svm", [1e-9, 1.0], seed=0)
    assert ((x @ tensors["weight"].T + tensors["bias"]).argmax(1) == labels).float().mean() > 0.9
    one_each = self_taught.few_label_classifier(x[:3], labels[:3], "svm", None, seed=0)
    assert one_each["weight"].shape == (3, 3)


def test_more_atoms_than_samples_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="61 atoms"):
        self_taught.fit(self_taught.Config(atoms=61), grey(), run(tmp_path, config("self_taught")))


@pytest.mark.parametrize("mode", ["self_taught", "separate", "combined", "kmeans"])
def test_clusters_are_the_planted_classes(tmp_path, mode):
    p = grey(UNLABELLED)
    labels = problem(UNLABELLED, LABELLED).target.labels
    engine = run(tmp_path, config("self_taught_clustering"))
    options = self_taught_clustering.Config(mode=mode, feature_clusters=6, restarts=5)
    predictor = self_taught_clustering.fit(options, p, engine)
    found = predictor(p.target.inputs)[1].argmax(1)
    purity = sum(int(torch.bincount(labels[found == k], minlength=3).max()) for k in range(3) if (found == k).any())
    assert purity / len(labels) > 0.9
    if mode != "kmeans":
        assert engine.reports["objective_last"] < engine.reports["objective_first"]


def test_the_rule_puts_samples_where_the_clustering_did(tmp_path):
    from transferlab.numerics.self_taught_clustering import cluster, joint

    table = torch.rand(30, 12) + 3 * (torch.arange(12)[None] // 4 == torch.arange(30)[:, None] % 3)
    found = cluster(table, 3, 3, seed=0)
    tensors = self_taught_clustering.rule(joint(table, "t"), found.target, found.features, 3)
    again = (table @ tensors["weight"].T + tensors["bias"]).argmax(1)
    assert torch.equal(again, found.target)


def test_an_all_black_image_is_one_clear_line(tmp_path):
    p = grey(UNLABELLED)
    p.target.inputs[7] = 0
    with pytest.raises(UserError, match="all zero"):
        self_taught_clustering.fit(self_taught_clustering.Config(), p, run(tmp_path, config("self_taught_clustering")))


def test_a_sweep_without_source_accuracy_ends_with_its_table():
    job = SimpleNamespace(overrides=["method=self_taught_clustering"], config=config("self_taught_clustering"))
    record = {"status": "finished", "target_accuracy": 0.5, "edition": "sample"}
    (row,) = sweeps.grouped([job, job], [record, record])
    assert row["target accuracy"] == "0.5000 ± 0.0000" and row["n"] == "2"
