import dataclasses

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import config, problem, run
from transferlab.config import ModelConfig
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer import progressive
from transferlab.models import predictor as predictors
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import Preprocess
from transferlab.models.progressive import Column, Progressive


def dense(classes=3, width=1.0):
    return ConvNet(ModelConfig("mlp", width=width), classes, (4,), Preprocess("none"))


@pytest.mark.parametrize("adapter", [True, False])
def test_the_second_column_is_the_papers_formula(adapter):
    net = Progressive([dense(), dense(5, width=0.5)], alpha=0.1, adapter=adapter)
    one, two = net.columns
    x = torch.randn(6, 4)

    def relu(h):
        return h.clamp_min(0)

    h1 = [x]
    for layer in one.net.layers[:-1]:
        h1.append(relu(layer[0](h1[-1])))
    h2 = relu(two.net.layers[0][0](x))
    for depth in (1, 2):
        lateral, layer = two.laterals[depth - 1], two.net.layers[depth][0]
        below = h1[depth]
        side = lateral.U.weight @ (relu(lateral.V(lateral.alpha[0] * below)) if adapter else below).T
        h2 = layer(h2) + side.T
        h2 = relu(h2) if depth == 1 else h2
    torch.testing.assert_close(net(x)[1], h2)
    assert not list(one.laterals)


def test_laterals_of_maps_are_convolutions_after_a_one_by_one(tmp_path):
    """Three columns of the convolutional net, the third's second layer by hand; then pooling and ReLU as its own."""
    settings = config()
    p, engine = problem(LABELLED, LABELLED), run(tmp_path, settings)
    nets = [engine.net(p, "target", name=str(place)) for place in range(3)]
    net = Progressive(nets, alpha=0.1).eval()
    for place, alpha in enumerate(net.columns[2].laterals[0].alpha):
        alpha.data.fill_(0.3 + place)
    lateral = net.columns[2].laterals[0]
    with torch.no_grad():
        h = [F.relu(F.max_pool2d(c.net.extractor[0](c.net.preprocess(p.target.inputs[:4])), 2)) for c in net.columns]
        scaled = torch.cat([0.3 * h[0], 1.3 * h[1]], 1)
        side = F.conv2d(F.relu(torch.einsum("oi,bihw->bohw", lateral.V.weight[:, :, 0, 0], scaled)
                               + lateral.V.bias[:, None, None]), lateral.U.weight)  # fmt: skip
        expected = F.relu(F.max_pool2d(nets[2].extractor[3](h[2]) + side, 2)).flatten(1)
        torch.testing.assert_close(net.traces(p.target.inputs[:4])[2][2], expected)


def test_fisher_sensitivity_is_that_of_each_sample_alone(tmp_path):
    """Against one backward pass for each sample, with activations scaled to unit variance beforehand."""
    p, engine = problem(LABELLED, LABELLED), run(tmp_path, config())
    net = Progressive([engine.net(p, "source"), engine.net(p, "target", name="t")]).eval()
    report = progressive.average_fisher_sensitivity(net, p, engine)
    with engine.seeded("sensitivity"):
        rows = torch.randperm(60)
        drawn = torch.distributions.Categorical(logits=net.logits(p.target.inputs[rows]).detach()).sample()
    everything = net.traces(p.target.inputs[rows])
    layer = 1  # the maps below the second convolution
    spread = [trace[layer].detach().std(0) for trace in everything]
    fisher = torch.zeros(2)
    for place, row in enumerate(rows):
        traces = net.traces(p.target.inputs[row][None])
        loss = F.cross_entropy(traces[-1][-1], drawn[place][None])
        grads = torch.autograd.grad(loss, [trace[layer] for trace in traces])
        fisher += torch.stack([(g[0] * s).sum((1, 2)).square().sum() for g, s in zip(grads, spread, strict=True)])
    names = [f"afs_layer1_column{column}" for column in (1, 2)]
    torch.testing.assert_close(torch.tensor([report[n] for n in names]), fisher / fisher.sum(), rtol=1e-3, atol=1e-6)


def test_the_sources_outputs_do_not_change_by_a_bit(tmp_path):
    p = problem(LABELLED, LABELLED)
    engine = run(tmp_path, config("progressive", steps=5))
    net = progressive.fit(progressive.Config(), p, engine).eval()
    from safetensors.torch import load_file

    source = engine.net(p, "source")
    state = load_file(tmp_path / "checkpoints" / "stage-source.safetensors")
    source.load_state_dict({k.removeprefix("net."): v for k, v in state.items()})
    source.eval()
    assert torch.equal(net(p.source.inputs, "source")[1], source(p.source.inputs))
    shares = [v for k, v in engine.reports.items() if k.startswith("afs_layer2")]
    assert len(shares) == 2 and abs(sum(shares) - 1) < 1e-5 and min(shares) > 0


def test_several_source_tasks_make_several_columns(tmp_path):
    p = dataclasses.replace(problem(LABELLED, LABELLED), source_classes=("a/0", "a/1", "b/0"))
    settings = config("progressive", steps=3)
    settings.model.batch_norm = True
    net = progressive.fit(progressive.Config(steps=2), p, run(tmp_path, settings))
    assert len(net.columns) == 3 and len(net.columns[2].laterals[0].alpha) == 2
    assert isinstance(net.columns[1], Column) and len(net.columns[1].laterals) == 4


def test_a_saved_net_answers_alike(tmp_path):
    net = Progressive([dense(), dense(5)]).eval()
    predictors.save(tmp_path / "p.safetensors", net, "abcde")
    again, _ = predictors.load(tmp_path / "p.safetensors")
    x = torch.randn(3, 4)
    assert torch.equal(again(x)[1], net(x)[1]) and torch.equal(again(x, "source")[1], net(x, "source")[1])
