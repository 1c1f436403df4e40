import pytest
import torch
from torch import nn

from tests.training.test_engine import config, state, train
from transferlab.training.average import Average


def averaged(net, average, values):
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            net.bias.fill_(value)
            net.running_mean.fill_(10 * value)
        average.update(step)


def test_the_average_by_hand():
    net = nn.BatchNorm1d(1)
    average = Average(net, 0.15)
    averaged(net, average, (1.0, 2.0, 4.0))
    by_hand = 0.15 * (0.1 * 1 + 0.9 * 2) + 0.85 * 4  # decays: (2 - 1) / (2 + 8), then the smaller of .15 and 2 / 11
    with average.in_place():
        assert net.bias.item() == pytest.approx(by_hand) and net.running_mean.item() == pytest.approx(10 * by_hand)
    assert net.bias.item() == 4 and net.running_mean.item() == 40


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_what_a_stage_began_with_has_no_weight(steps):
    ends = []
    for start in (0.0, 1e6):
        net = nn.BatchNorm1d(1)
        nn.init.constant_(net.bias, start)
        average = Average(net, 0.998)
        averaged(net, average, torch.linspace(0, 1, steps).tolist())
        ends.append([value.clone() for value in average.values])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_short_stage_counts_its_last_ninth():
    """Values 1 to 200, as if weights moved evenly: the moving average with .998 alone would be at 62."""
    net = nn.BatchNorm1d(1)
    average = Average(net, 0.998)
    averaged(net, average, range(1, 201))
    weights = torch.arange(1, 201, dtype=torch.float64)
    expected = 1.0
    for step in range(2, 201):
        expected = (step - 1) / (step + 8) * expected + 9 / (step + 8) * step
    with average.in_place():
        assert net.bias.item() == pytest.approx(expected, rel=1e-5)
        assert net.bias.item() > weights[-1] * 0.89


def test_shared_layers_are_averaged_once():
    layer = nn.BatchNorm1d(1)
    both = nn.ModuleDict({"one": nn.Sequential(layer), "two": nn.Sequential(layer)})
    average = Average(both, 0.5)
    averaged(layer, average, (3.0, 5.0))
    before = {name: tensor.clone() for name, tensor in both.state_dict().items()}
    with average.in_place():
        assert 3 < layer.bias.item() < 5
    assert all(torch.equal(tensor, before[name]) for name, tensor in both.state_dict().items())
    assert 3 < average.values[1].item() < 5


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_an_averaged_run_resumes_to_the_same_bits_and_ends_in_the_average(tmp_path, stop_at):
    settings = config(steps=6, average=0.5)
    settings.model.batch_norm = True
    whole, _, _ = train(tmp_path / "whole", settings)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "cut", settings, stop_at=stop_at)
    resumed, _, _ = train(tmp_path / "cut", settings)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in state(whole).items())

    settings.train.average = 0.0
    last, _, _ = train(tmp_path / "last", settings)
    assert not torch.equal(last.head.weight, whole.head.weight)


def test_a_run_that_died_after_its_last_step_still_ends_in_the_average(tmp_path):
    settings = config(steps=4, average=0.5)
    whole, _, _ = train(tmp_path / "r", settings)
    (tmp_path / "r" / "checkpoints" / "stage-source.safetensors").unlink()
    again, steps, _ = train(tmp_path / "r", settings)
    assert steps == []
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in state(whole).items())
