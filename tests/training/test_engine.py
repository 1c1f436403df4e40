import contextlib
import csv
import os
import signal

import pytest
import torch
from torch import nn

from tests.conftest import config, problem, run
from transferlab import storage
from transferlab.errors import UserError
from transferlab.map import LABELLED, NOTHING
from transferlab.methods.source import label_loss
from transferlab.models.predictor import Classifier
from transferlab.training.engine import Diverged
from transferlab.training.run import Update


def train(folder, settings, loss_of=label_loss, stop_at=None, stage="source"):
    p = problem(LABELLED, NOTHING)
    engine = run(folder, settings, lambda predictor: {"target_accuracy": 0.5})
    net = engine.net(p)
    loss, steps = loss_of(net), []

    def counted(batch, progress):
        steps.append(progress)
        if len(steps) == stop_at:
            raise ZeroDivisionError  # as sudden as a kill
        return loss(batch, progress)

    engine.train(stage, {"net": net}, counted, p.batches(source=8), Classifier(net))
    return net, steps, engine


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("stop_at", [1, 2, 4, 6])
def test_resuming_equals_never_stopping(tmp_path, optimiser, stop_at):
    settings = config(steps=6, optimiser=optimiser)
    whole, _, one = train(tmp_path / "whole", settings)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "cut", settings, stop_at=stop_at)
    resumed, steps, two = train(tmp_path / "cut", settings)
    assert len(steps) == 6 - (stop_at - 1) // 2 * 2
    for name, value in state(whole).items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in e.rows] for e in (one, two)]
    assert timeless[0] == timeless[1]
    assert one.images == two.images == 48 and one.steps == two.steps == 6


def test_a_damaged_last_checkpoint_falls_back_on_the_previous(tmp_path):
    settings = config(steps=8)
    whole, _, _ = train(tmp_path / "whole", settings)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "cut", settings, stop_at=7)
    last = tmp_path / "cut" / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-5])
    resumed, steps, _ = train(tmp_path / "cut", settings)
    assert len(steps) == 4
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in state(whole).items())


def test_a_finished_stage_is_loaded_not_trained(tmp_path):
    first, _, _ = train(tmp_path, config())
    again, steps, engine = train(tmp_path, config())
    assert steps == [] and engine.steps == 6
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in state(first).items())


def test_once_computes_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"x": torch.rand(3)}

    first = run(tmp_path, config()).once("codes", compute)
    again = run(tmp_path, config()).once("codes", compute)
    assert torch.equal(first["x"], again["x"]) and len(calls) == 1


def test_dropout_and_batch_norm_resume_too(tmp_path):
    settings = config(steps=6)
    settings.model.dropout, settings.model.batch_norm = 0.5, True
    whole, _, _ = train(tmp_path / "whole", settings)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "cut", settings, stop_at=4)
    resumed, _, _ = train(tmp_path / "cut", settings)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in state(whole).items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_a_checkpoint(tmp_path, number):
    settings = config(steps=6, checkpoint_every=100)

    def stopping(net):
        inner = label_loss(net)

        def loss(batch, progress):
            if progress == 0.5:
                os.kill(os.getpid(), number)
            return inner(batch, progress)

        return loss

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", settings, stopping)
    assert signal.getsignal(number) is before
    assert storage.read(tmp_path / "cut" / "checkpoints" / "last.safetensors")[1]["run"].find('"step": 4') > 0
    resumed, steps, _ = train(tmp_path / "cut", settings)
    whole, _, _ = train(tmp_path / "whole", settings)
    assert len(steps) == 2
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in state(whole).items())


@pytest.mark.parametrize("when", ["in the last step", "in the last evaluation"])
def test_a_signal_at_the_very_end_stops_before_the_next_stage(tmp_path, when):
    settings = config(steps=6)
    p = problem(LABELLED, NOTHING)

    def ask(now):
        if now:
            os.kill(os.getpid(), signal.SIGTERM)

    def evaluate(predictor):
        ask(when == "in the last evaluation" and engine.rows[-1]["step"] == 4)
        return {}

    engine = run(tmp_path, settings, evaluate)
    net = engine.net(p)
    inner = label_loss(net)

    def loss(batch, progress):
        ask(when == "in the last step" and progress > 0.8)
        return inner(batch, progress)

    with pytest.raises(KeyboardInterrupt):
        engine.train("source", {"net": net}, loss, p.batches(source=8), Classifier(net))
    _, steps, _ = train(tmp_path, settings)
    assert steps == []


@pytest.mark.parametrize("part", ["last", "stage-source"])
def test_a_checkpoint_of_another_architecture_is_one_line(tmp_path, part):
    with pytest.raises(ZeroDivisionError) if part == "last" else contextlib.nullcontext():
        train(tmp_path, config(), stop_at=4 if part == "last" else None)
    before = (tmp_path / "checkpoints" / f"{part}.safetensors").read_bytes()
    other = config()
    other.model.width = 2.0
    with pytest.raises(UserError, match=f"{part}.safetensors: a checkpoint of another architecture: net.ext") as error:
        train(tmp_path, other)
    assert "\n" not in str(error.value) and (tmp_path / "checkpoints" / f"{part}.safetensors").read_bytes() == before


def test_the_first_step_is_plain_sgd(tmp_path):
    settings = config(steps=1)
    p = problem(LABELLED, NOTHING)
    engine = run(tmp_path, settings)
    reference, net = engine.net(p), engine.net(p)
    batch = p.batches(source=8)("source", 0)
    nn.functional.cross_entropy(reference(batch.source.inputs), batch.source.labels).backward()
    engine.train("source", {"net": net}, label_loss(net), p.batches(source=8))
    for ours, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.01 * theirs.grad)


def test_a_loss_that_is_not_finite_is_named(tmp_path):
    def bad(net):
        return lambda batch, progress: {"label": net(batch.source.inputs).sum() * float("nan")}

    with pytest.raises(Diverged, match=r"loss label is nan at step 2; try a smaller train\.lr"):
        train(tmp_path, config(), bad)


def test_metrics_are_a_row_a_log_point(tmp_path):
    _, _, engine = train(tmp_path, config(steps=6))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == [2, 3, 4, 6]
    assert [r["target_accuracy"] for r in rows] == ["", "0.5", "", "0.5"]
    assert engine.folder.read_metrics()[0]["loss/label"] == engine.rows[0]["loss/label"]


def test_an_update_moves_the_modules_it_names_as_often_as_it_says(tmp_path):
    p, settings = problem(LABELLED, NOTHING), config(steps=2, lr=0.5, momentum=0.0, schedule="constant", log_every=1)
    engine, net = run(tmp_path, settings), nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in "abc"})
    for module in net.values():
        nn.init.zeros_(module.weight)
    net["c"].requires_grad_(False)
    followed = []

    def loss(name):
        return lambda batch, progress: {name: sum(module.weight.sum() for module in net.values())}

    updates = [
        Update(loss("all")), Update(loss("b"), of=("b",), times=3, after=lambda batch: followed.append(len(batch))),
        Update(loss("both"), of=("a", "b")),
    ]  # fmt: skip
    engine.train("s", dict(net), updates, p.batches(source=8))
    assert [module.weight.item() for module in net.values()] == [-2.0, -5.0, 0.0]  # 0.5 for each update in two steps
    assert followed == [8] * 6 and net["a"].weight.requires_grad and not net["c"].weight.requires_grad
    assert {key for row in engine.rows for key in row if key.startswith("loss/")} == {"loss/all", "loss/b", "loss/both"}
    assert engine.images == 16 and engine.steps == 2
