import copy

import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.errors import UserError
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer import finetune
from transferlab.methods.target import layer_rates
from transferlab.training.parameters import set_training


def fit(folder, **options):
    settings = config("finetune", steps=4)
    settings.model.batch_norm = True
    p = problem(LABELLED, LABELLED)
    return finetune.fit(finetune.Config(steps=3, **options), p, run(folder, settings)), p


def source_state(folder):
    from safetensors.torch import load_file

    return load_file(folder / "checkpoints" / "stage-source.safetensors")


def test_frozen_layers_keep_weights_and_batch_statistics(tmp_path):
    predictor, _ = fit(tmp_path, freeze=2)
    before, now = source_state(tmp_path), predictor.net.state_dict()
    same = {name: torch.equal(before[f"net.{name}"], now[name]) for name in now if "preprocess" not in name}
    assert all(kept == name.startswith("extractor.") for name, kept in same.items()), same


def test_trainable_head_moves_nothing_else(tmp_path):
    predictor, _ = fit(tmp_path, trainable="head")
    before, now = source_state(tmp_path), predictor.net.state_dict()
    assert all(torch.equal(before[f"net.{name}"], now[name]) == (not name.startswith("head.")) for name in now
               if "preprocess" not in name)  # fmt: skip


def test_a_probe_may_be_what_fine_tuning_begins_with_and_goes_back_to(tmp_path):
    """LP-FT's two ends: at interpolation 0 the probe's net to the bit, at 1 that of all steps; between, their mean."""
    probe, _ = fit(tmp_path / "probe", trainable="head")
    ends = {share: fit(tmp_path / str(share), trainable="head_then_all", interpolation=share)[0].net.state_dict()
            for share in (0.0, 0.5, 1.0)}  # fmt: skip
    for name, tensor in probe.net.state_dict().items():
        assert torch.equal(ends[0.0][name], tensor)
        if tensor.is_floating_point():
            torch.testing.assert_close(ends[0.5][name], (ends[0.0][name] + ends[1.0][name]) / 2)
    assert not torch.equal(ends[1.0]["head.weight"], ends[0.0]["head.weight"])
    whole, _ = fit(tmp_path / "whole", trainable="head_then_all")
    assert all(torch.equal(whole.net.state_dict()[name], tensor) for name, tensor in ends[1.0].items())


def test_a_frozen_part_is_in_eval_mode_after_each_return_to_training():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2))
    net[1].requires_grad_(False)
    set_training(net)
    assert [module.training for module in net] == [True, False, True]


def test_layer_rates_fall_towards_the_input(tmp_path):
    net = run(tmp_path, config()).net(problem(LABELLED, LABELLED))
    rates = layer_rates(net, 0.5)
    assert [round(own["lr"], 4) for own in rates.values()] == [0.0625, 0.125, 0.25, 0.5, 1.0]


def test_a_slow_layer_moves_less(tmp_path):
    """One step of plain SGD: the change of a layer is its rate times its gradient."""
    settings = config("finetune", steps=1, momentum=0.0)
    p = problem(LABELLED, LABELLED)
    engine = run(tmp_path, settings)
    net = engine.net(p)
    start = copy.deepcopy(net)

    def loss(batch, progress):
        return {"sum": sum(parameter.sum() for parameter in net.parameters())}

    engine.train("s", {"net": net}, loss, p.batches(target=4), options=layer_rates(net, 0.1))
    moved = [(a[0].bias - b[0].bias).abs().mean().item() for a, b in zip(start.layers, net.layers, strict=True)]
    torch.testing.assert_close(moved, [0.01 * 0.1**k for k in (4, 3, 2, 1, 0)], rtol=1e-3, atol=1e-8)


def test_scratch_never_sees_the_source(tmp_path):
    predictor, _ = fit(tmp_path, initial="scratch")
    assert predictor.domains == ("target",)
    assert not (tmp_path / "checkpoints" / "stage-source.safetensors").exists()


def test_the_head_alone_is_a_converged_linear_probe(tmp_path):
    """At its optimum the gradient of scikit-learn's objective, C sum_i CE + ||W||^2 / 2 on scaled features, is zero."""
    predictor, p = fit(tmp_path, trainable="head")
    with torch.no_grad():
        x = predictor.eval().net.hidden(predictor.net.features(p.target.inputs)).double()
    mean = x.mean(0)
    scale = (x - mean).square().sum(1).mean().sqrt()
    weight = (predictor.net.head.weight.double() * scale).requires_grad_()
    bias = (predictor.net.head.bias.double() + predictor.net.head.weight.double() @ mean).requires_grad_()
    loss = torch.nn.functional.cross_entropy((x - mean) / scale @ weight.T + bias, p.target.labels, reduction="sum")
    of_weight, of_bias = torch.autograd.grad(loss, [weight, bias])
    strength = -(weight * of_weight).sum() / of_weight.square().sum()  # C, one of a grid of powers of ten
    assert min(abs(torch.log10(strength) - power) for power in range(-1, 4)) < 0.02
    torch.testing.assert_close(weight.detach(), -strength.detach() * of_weight, rtol=0.05, atol=0.01)
    assert of_bias.abs().max() < 0.05


@pytest.mark.parametrize(("options", "line"), [
    ({"initial": "scratch", "freeze": 1}, "method.freeze=1: not with method.initial=scratch"),
    ({"initial": "scratch", "head": "shared"}, "method.head=shared: not with method.initial=scratch"),
    ({"trainable": "head", "freeze": 1}, "method.freeze=1: not with method.trainable=head"),
    ({"trainable": "head", "head": "shared"}, "method.head=shared: not with method.trainable=head"),
    ({"trainable": "head", "layer_decay": 0.5}, "method.layer_decay=0.5: not with method.trainable=head"),
])  # fmt: skip
def test_options_that_would_change_nothing_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        finetune.Config(**options)
