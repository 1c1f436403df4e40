import dataclasses

import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.config import LABELLED, ModelConfig
from transferlab.methods.supervised_transfer import progressive
from transferlab.models import predictor as predictors
from transferlab.models.convnet import ConvNet, Preprocess
from transferlab.models.progressive import Column, Progressive


def dense(classes=3, width=1.0):
    return ConvNet(ModelConfig("mlp", width=width), classes, (4,), Preprocess(torch.zeros(4), torch.ones(4)))


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
