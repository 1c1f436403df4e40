import dataclasses

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import config, problem, run
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer import multitask
from transferlab.methods.supervised_transfer.multitask import (
    LogVariances,
    project_conflicting,
    projections,
    share,
    task_losses,
    task_of_class,
)
from transferlab.problem import Labelled


def test_tasks_are_read_from_class_names():
    assert task_of_class(["0", "1"]).tolist() == [0, 0]
    assert task_of_class(["greek/a", "latin/a", "greek/b"]).tolist() == [0, 1, 0]
    assert task_of_class(["T-shirt/top", "Trouser", "Bag"]).tolist() == [0, 0, 0]  # as Fashion-MNIST calls them


def test_each_task_has_its_own_softmax():
    tasks = torch.tensor([0, 0, 1, 1, 1])
    logits, labels = torch.randn(6, 5, requires_grad=True), torch.tensor([0, 1, 0, 2, 4, 3])
    losses = task_losses(logits, labels, tasks)
    torch.testing.assert_close(losses["task0"], F.cross_entropy(logits[:3, :2], labels[:3]))
    torch.testing.assert_close(losses["task1"], F.cross_entropy(logits[3:, 2:], labels[3:] - 2))
    (gradient,) = torch.autograd.grad(losses["task0"], logits)
    assert not gradient[:, 2:].any() and not gradient[3:].any()
    absent = task_losses(logits[:3], labels[:3], tasks)
    assert absent["task1"] == 0


def test_uncertainty_by_hand():
    weights = LogVariances(2)
    weights.s.data = torch.tensor([0.0, 1.0])
    out = weights.weighted({"a": torch.tensor(2.0), "b": torch.tensor(3.0)})
    torch.testing.assert_close(out["a"].item(), 2.0)
    torch.testing.assert_close(out["b"].item(), 3 / 2.718281828 + 0.5)


def test_uncertainty_stays_in_its_bounds_and_comes_back():
    weights = LogVariances(1)
    weights.s.data = torch.tensor([-4.0])
    out = weights.weighted({"a": torch.tensor(2.0)})["a"]
    torch.testing.assert_close(out.item(), 2 * 7.389056099 - 1)  # at s = -2
    out.backward()
    torch.testing.assert_close(weights.s.grad.item(), -2 * 7.389056099 + 0.5)  # a large loss raises s again


def test_projections_by_hand():
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    a, b = projections([one, two])
    torch.testing.assert_close(a, torch.tensor([0.5, 0.5]))  # one - (one.two / 2) two
    torch.testing.assert_close(b, torch.tensor([0.0, 1.0]))
    kept = projections([torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])])
    torch.testing.assert_close(kept[0], torch.tensor([1.0, 1.0]))


def test_pcgrad_touches_the_shared_parameters_alone():
    shared, head = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 1, bias=False)
    x = torch.randn(3, 2)
    losses = {"a": shared(x).sum(), "b": -2 * shared(x).sum() + head(x).sum()}
    project_conflicting(losses, list(shared.parameters()))
    torch.testing.assert_close(shared.weight.grad, torch.zeros(2, 2), atol=1e-5, rtol=0)  # opposite: nothing is left
    torch.testing.assert_close(head.weight.grad, x.sum(0, keepdim=True))


@pytest.mark.parametrize("private", [0, 2])
def test_layers_are_shared_from_the_private_ones_on(tmp_path, private):
    engine, p = run(tmp_path, config()), problem(LABELLED, LABELLED)
    source, target = engine.net(p, "source"), engine.net(p, "target", name="t")
    share(source, target, private)
    same = [a[0] is b[0] for a, b in zip(source.layers, target.layers, strict=True)]
    assert same == [place >= private for place in range(4)] + [False]


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "pcgrad"])
def test_it_learns_both_tasks(tmp_path, weighting):
    engine, p = run(tmp_path, config("multitask", steps=60, batch_size=16)), problem(LABELLED, LABELLED)
    predictor = multitask.fit(multitask.Config(weighting=weighting), p, engine).eval()
    for domain in ("source", "target"):
        view = getattr(p, domain)
        right = predictor(view.inputs, domain)[1].argmax(1) == view.labels
        assert right.float().mean() > 0.8


def test_each_task_is_normalised_by_statistics_of_its_own(tmp_path):
    settings, p = config("multitask", steps=60, batch_size=16), problem(LABELLED, LABELLED)
    settings.model.batch_norm = True
    inverted = dataclasses.replace(p, target=Labelled(255 - p.target.inputs, p.target.labels))
    predictor = multitask.fit(multitask.Config(), inverted, run(tmp_path, settings)).eval()
    net = predictor.net
    with torch.no_grad():  # what passes the first layer's normalisation, as the data has it
        maps = [net.extractor[0](net.preprocess(view.inputs)).mean((0, 2, 3)) for view in inverted.seen()]
    own, other = ((net.extractor[1].running_mean - torch.stack(order)).norm(dim=1) for order in (maps, maps[::-1]))
    assert (own < 0.3 * other).all()
    for domain in ("source", "target"):
        view = getattr(inverted, domain)
        assert (predictor(view.inputs, domain)[1].argmax(1) == view.labels).float().mean() > 0.8


def test_evaluating_an_average_leaves_the_training_alone(tmp_path):
    """Layers that two nets share are averaged once: swapped twice they would be left at the average."""
    outcomes = []
    for evaluations in (1, 4, 20):
        settings = config("multitask", steps=20, average=0.9, evaluations=evaluations)
        engine = run(tmp_path / str(evaluations), settings)
        outcomes.append(multitask.fit(multitask.Config(), problem(LABELLED, LABELLED), engine).state_dict())
    for name, tensor in outcomes[0].items():
        assert all(torch.equal(tensor, other[name]) for other in outcomes[1:]), name


def test_a_task_without_samples_in_the_batch_keeps_its_uncertainty():
    weights = LogVariances(2)
    losses = weights.weighted({"a": torch.tensor(2.0), "absent": torch.tensor(0.0)})
    sum(losses.values()).backward()
    assert weights.s.grad.tolist() == [-1.5, 0.0]
