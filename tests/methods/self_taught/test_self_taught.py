import dataclasses

import numpy as np
import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.config import LABELLED, UNLABELLED
from transferlab.errors import UserError
from transferlab.methods.self_taught import self_taught, self_taught_clustering
from transferlab.models import predictor as predictors
from transferlab.problem import Labelled, Unlabelled


def grey(target=LABELLED):
    """The three-class problem with grey images in both domains."""
    p = problem(UNLABELLED, target)
    view = Labelled(p.target.inputs[:, :1], p.target.labels) if target == LABELLED else Unlabelled(
        p.target.inputs[:, :1]
    )  # fmt: skip
    return dataclasses.replace(p, target=view)


@pytest.mark.parametrize("options", [
    {"features": "codes"}, {"features": "raw"}, {"features": "raw_codes"}, {"features": "pca"},
    {"dictionary": "random"}, {"dictionary": "noise"}, {"classifier": "logistic"},
])  # fmt: skip
def test_it_learns_from_few_labels_and_is_saved(tmp_path, options):
    p = grey()
    settings = self_taught.Config(atoms=12, iterations=3, beta=0.1, strengths=[1.0], **options)
    predictor = self_taught.fit(settings, p, run(tmp_path, config("self_taught"))).eval()
    assert (predictor(p.target.inputs)[1].argmax(1) == p.target.labels).float().mean() > 0.8
    predictors.save(tmp_path / "p.safetensors", predictor, "abc")
    again, _ = predictors.load(tmp_path / "p.safetensors")
    torch.testing.assert_close(again(p.target.inputs)[1], predictor(p.target.inputs)[1])


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
