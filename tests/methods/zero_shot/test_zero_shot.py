"""Every zero-shot method, against its formula by hand and on a problem that has an answer."""

import importlib

import numpy as np
import pytest
import torch

from tests.conftest import config, run
from transferlab import compatibility, plan
from transferlab.data.contract import IMAGES, VECTORS
from transferlab.errors import UserError
from transferlab.jobs import execute
from transferlab.map import method_files
from transferlab.methods.zero_shot import ale, dap, devise, eszsl, semantic_output_codes, zero_shot
from transferlab.methods.zero_shot._bilinear import violations
from transferlab.methods.zero_shot._task import FOLDS, Task, make_task
from transferlab.models import predictor as predictors
from transferlab.models.zero_shot import Lift, compare, compose, vectors
from transferlab.problem import Labelled, Problem
from transferlab.runs import RunFolder

METHODS = sorted(name for name, path in method_files().items() if path.parent.name == "zero_shot")


def planted(seen=12, unseen=4, attributes=6, size=10, each=30, noise=0.1):
    """Inputs that are a linear function of their class's attributes, with noise; and held-out unseen samples."""
    rng = np.random.default_rng(0)
    codes = np.array([[(c >> bit) & 1 for bit in range(4)] + [c % 3 == 0, c % 5 < 2] for c in range(seen + unseen)])
    table = codes[rng.permutation(len(codes))][:, :attributes].astype(np.float32)
    mixing = rng.normal(size=(attributes, size)).astype(np.float32)
    labels = np.repeat(np.arange(seen + unseen), each)
    x = (table[labels] @ mixing + noise * rng.normal(size=(len(labels), size))).astype(np.float32)
    x, labels, known = torch.from_numpy(x), torch.from_numpy(labels), torch.from_numpy(labels < seen)
    names = tuple(f"c{i}" for i in range(seen + unseen))
    problem = Problem(
        Labelled(x[known], labels[known]), None, names[seen:], names[:seen], 0, VECTORS, torch.from_numpy(table)
    )
    return problem, x[~known], labels[~known] - seen


ONE = {"zero_shot": {"margin": [0.2]}, "ale": {"margin": [1.0]}, "devise": {"margin": [1.0]}}
"""Nothing to choose, where each choice costs a training."""


def fit(name, folder):
    module = importlib.import_module(f"transferlab.methods.zero_shot.{name}")
    problem, x, y = planted()
    settings = config(name, steps=400, batch_size=32, lr=0.1)
    engine = run(folder, settings)
    return module.fit(module.Config(**ONE.get(name, {})), problem, engine).eval(), x, y, engine


@pytest.mark.parametrize("name", METHODS)
def test_unseen_classes_are_told_far_above_chance(tmp_path, name):
    predictor, x, y, _ = fit(name, tmp_path)
    assert (predictor(x)[1].argmax(1) == y).float().mean() > (0.45 if name == "conse" else 0.7)
    joint = predictor.joint(x)
    assert torch.equal(joint[:, 12:], predictor(x)[1]) and torch.equal(joint[:, :12], predictor(x, "source")[1])


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_predictor_answers_alike(tmp_path, name):
    predictor, x, _, _ = fit(name, tmp_path)
    predictors.save(tmp_path / "p.safetensors", predictor, "abcd")
    again, _ = predictors.load(tmp_path / "p.safetensors")
    torch.testing.assert_close(again(x)[1], predictor(x)[1])


@pytest.mark.parametrize(("loss", "low", "high"), [("l2", 0.0, 0.1), ("max_margin", 0.5, 1.0)])
def test_pulling_alone_collapses_and_the_margin_does_not(tmp_path, loss, low, high):
    problem, _, _ = planted(noise=5.0)  # inputs say little, so that pulling pays best at one point
    engine = run(tmp_path, config("zero_shot", steps=1500, batch_size=64, lr=0.05))
    zero_shot.fit(zero_shot.Config(loss=loss, margin=[0.2]), problem, engine)
    assert low <= engine.reports["embedding_spread"] <= high


def test_eszsl_minimises_the_papers_objective():
    """Gradient zero of ||X V S^T - Y||^2 + gamma ||V S^T||^2 + lambda ||X V||^2 + gamma lambda ||V||^2."""
    torch.manual_seed(0)
    x, s, y = torch.randn(20, 4).double(), torch.rand(5, 3).double(), torch.arange(20) % 5
    x = x - x.mean(0)
    v = eszsl.bilinear(Task(None, x, y, s, s), 0.7, 0.3)[0].double().requires_grad_()
    wanted = 2.0 * torch.nn.functional.one_hot(y, 5) - 1
    objective = (
        (x @ v @ s.T - wanted).square().sum() + 0.7 * (v @ s.T).square().sum() + 0.3 * (x @ v).square().sum()
        + 0.7 * 0.3 * v.square().sum()
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(objective, v)
    assert gradient.abs().max() < 1e-4


def test_ridge_is_scikit_learns_with_classes_weighing_alike():
    from sklearn.linear_model import Ridge

    torch.manual_seed(0)
    x, s, y = torch.randn(30, 4) + 1, torch.randn(3, 2), torch.tensor([0] * 18 + [1] * 9 + [2] * 3)
    weight, bias = semantic_output_codes.ridge(Task(None, x, y, s, s), 2.0)
    shares = (10 / torch.bincount(y).float())[y].numpy()
    theirs = Ridge(2.0).fit(x.numpy(), s[y].numpy(), sample_weight=shares)
    np.testing.assert_allclose(weight.T.numpy(), theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(bias.numpy(), theirs.intercept_, atol=1e-4)


def test_with_every_input_a_landmark_the_kernel_is_exact():
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.preprocessing import KernelCenterer

    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    lift = Lift.fitted(x, VECTORS, torch.arange(40))
    ours = lift(x)
    kernel = KernelCenterer().fit_transform(rbf_kernel(x.numpy(), gamma=1 / (2 * torch.pdist(x).median().item() ** 2)))
    np.testing.assert_allclose((ours @ ours.T).numpy(), kernel * 400 / np.trace(kernel), atol=0.02)
    assert lift(x[:3]).allclose(ours[:3], atol=1e-4)


def test_images_are_vectors_of_grey_values():
    pixels = torch.tensor([[[[0, 30]], [[0, 60]], [[255, 90]]]], dtype=torch.uint8)
    torch.testing.assert_close(vectors(pixels, IMAGES), torch.tensor([[85.0, 60.0]]) / 255)


def test_attribute_classifiers_are_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    torch.manual_seed(0)
    x = torch.randn(200, 3)
    a = (x @ torch.randn(3, 2) + torch.randn(200, 2) > 0).float()
    weight, _ = dap.attribute_classifiers(x, a, decay=0.01)
    for m in range(2):
        theirs = LogisticRegression(C=1 / (0.01 * 200), tol=1e-8).fit(x.numpy(), a[:, m].numpy())
        np.testing.assert_allclose(weight[:, m].numpy(), theirs.coef_[0], atol=2e-3)


def test_direct_attribute_prediction_by_hand():
    logits, codes, prior = (
        torch.tensor([[2.0, -1.0]]),
        torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        torch.tensor([0.5, 0.25]),
    )
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0])))
    expected = [np.log(p[0] / 0.5 * (1 - p[1]) / 0.75), np.log(p[0] / 0.5 * p[1] / 0.25)]
    np.testing.assert_allclose(compare(logits, codes, "attributes", prior)[0].numpy(), expected, rtol=1e-5)


def test_conse_by_hand():
    logits, codes = torch.log(torch.tensor([[0.5, 0.3, 0.2]])), torch.eye(3)
    torch.testing.assert_close(compose(logits, codes, 2), torch.tensor([[0.625, 0.375, 0.0]]))


def test_hinges_by_hand():
    scores, labels = torch.tensor([[1.0, 0.5, 2.0], [0.0, 3.0, 1.0]]), torch.tensor([0, 1])
    torch.testing.assert_close(violations(scores, labels, 1.0), torch.tensor([[0.0, 0.5, 2.0], [0.0, 0.0, 0.0]]))
    assert devise.hinge_rank(scores, labels, 1.0) == 1.25
    assert zero_shot.max_margin(scores, labels, 1.0, "sum") == 1.25
    assert zero_shot.max_margin(scores, labels, 1.0, "hardest") == 1.0


def test_weighted_approximate_ranking_is_the_authors_loop():
    """In expectation over the order in which wrong classes are drawn."""
    torch.manual_seed(0)
    scores, labels = torch.tensor([[1.0, 0.5, 2.0, -3.0]]), torch.tensor([0])
    ours = np.mean([ale.weighted_approximate_ranking(scores, labels, 1.0).item() for _ in range(4000)])
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(4000):
        for tries, wrong in enumerate(rng.permutation([1, 2, 3]), 1):
            hinge = 1 - 1.0 + scores[0, wrong].item()
            if hinge > 0:
                rank = 3 // tries
                total += sum(1 / i for i in range(1, rank + 1)) * hinge
                break
    assert abs(ours - total / 4000) < 0.05


def test_choosing_looks_at_seen_classes_alone(tmp_path):
    problem, _, _ = planted()
    task = make_task(problem, run(tmp_path, config()), "linear", "unit")
    fold, x, _ = task.fold(0, 0)
    assert len(fold.seen) == 10 and len(fold.unseen) == 2 and len(fold.inputs) == 300 and len(x) == 60
    rows = {tuple(row) for row in torch.cat([fold.seen, fold.unseen]).tolist()}
    assert rows == {tuple(row) for row in task.seen.tolist()}


def test_folds_part_the_seen_classes_and_centre_on_their_own_inputs(tmp_path):
    problem, _, _ = planted()
    task = make_task(problem, run(tmp_path, config()), "linear", "centred")
    folds = [task.fold(number, 0)[0] for number in range(FOLDS)]
    assert len({tuple(row) for fold in folds for row in fold.unseen.tolist()}) == 2 * FOLDS
    mean, *_ = folds[0]._moments
    torch.testing.assert_close(mean, folds[0].inputs.double().mean(0))


@pytest.mark.parametrize(("source", "words"), [
    ("fashion_mnist", "needs a signature of each class; source=fashion_mnist has none"),
    ("digits", "classes in the target that the source lacks"),
])  # fmt: skip
def test_data_that_does_not_describe_its_classes_is_one_clear_line(source, words, no_data):
    settings = plan.config_of(["method=eszsl", f"source={source}", "target=mnist", "data.edition=sample"])
    with pytest.raises(UserError, match=words):
        compatibility.find(settings)


def test_letters_tell_digits_far_above_chance(no_data, tmp_path):
    """Whole way: packaged samples, glyphs as signatures, a tenth by chance."""
    settings = plan.config_of([
        "method=semantic_output_codes", "source=emnist_letters", "target=mnist", "source.per_class=40",
        "method.lam=[10]", "data.edition=sample", "figures=false", "store=null", "device.threads=1",
    ])  # fmt: skip
    folder = RunFolder(tmp_path / "run")
    execute(settings, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status
    assert folder.results["target_mean_class_accuracy"] > 0.25
