import pytest
import torch
from torch import nn

from tests.training.test_engine import config, state, train
from transferlab.training.average import Average


def test_the_average_by_hand():
    net = nn.BatchNorm1d(1)
    average = Average(net, 0.75)
    for value in (1.0, 2.0, 4.0):
        with torch.no_grad():
            net.bias.fill_(value)
            net.running_mean.fill_(10 * value)
        average.update()
    by_hand = 0.75**2 * 0.25 * 1 + 0.75 * 0.25 * 2 + 0.25 * 4  # it began at 0
    with average.in_place():
        assert net.bias.item() == pytest.approx(by_hand) and net.running_mean.item() == pytest.approx(10 * by_hand)
    assert net.bias.item() == 4 and net.running_mean.item() == 40


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
