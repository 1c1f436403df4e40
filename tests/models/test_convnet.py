import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, SPECTROGRAMS, VECTORS
from transferlab.errors import UserError
from transferlab.models import predictor as predictors
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.models.normalisation import BatchNorm, Preprocess, normalisation, said
from transferlab.models.predictor import Classifier

PIXELS = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def net_of(config, shape=None, preprocess=None):
    side = config.input_size
    return ConvNet(config, 10, shape or (3, side, side), preprocess or Preprocess("mean", torch.zeros(3)))


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [("ganin_mnist", 28, 768), ("ganin_mnist", 32, 1200), ("ganin_gtsrb", 40, 6400), ("lenet", 32, 128)],
)
def test_published_feature_counts(name, size, features):
    assert net_of(ModelConfig(name, input_size=size)).feature_size == features


def test_mnist_net_has_the_papers_parameters():
    net = net_of(ModelConfig())
    shapes = [tuple(p.shape) for name, p in net.named_parameters() if name.endswith("weight")]
    assert shapes == [(32, 3, 5, 5), (48, 32, 5, 5), (100, 768), (100, 100), (10, 100)]
    critic = [tuple(p.shape) for p in DomainCritic(net, ModelConfig()).parameters()]
    assert critic == [(100, 768), (100,), (1, 100), (1,)]


def test_pooling_before_relu_is_the_papers_function():
    net = net_of(ModelConfig())
    x = torch.rand(4, 3, 28, 28)
    c1, c2 = net.extractor[0], net.extractor[3]
    pool, relu = nn.MaxPool2d(2, 2), nn.ReLU()
    as_printed = pool(relu(c2(pool(relu(c1(x)))))).flatten(1)
    torch.testing.assert_close(net.extractor(x), as_printed)


def test_preprocessing_by_hand():
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean = torch.tensor([0.1, 0.2, 0.3])
    torch.testing.assert_close(Preprocess("mean", mean)(x), x / 255 - mean.view(1, 3, 1, 1))
    out = Preprocess("image")(x)
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((1, 2, 3), correction=0), torch.ones(5), atol=1e-3, rtol=0)
    out = Preprocess("channel")(x)
    torch.testing.assert_close(out, F.instance_norm(x / 255), atol=1e-4, rtol=1e-3)
    flat = torch.full((1, 1, 4, 4), 7, dtype=torch.uint8)
    assert torch.isfinite(Preprocess("image")(flat)).all()


def test_xavier_is_the_default():
    net = net_of(ModelConfig())
    bound = (6 / (768 + 100)) ** 0.5
    weight = net.trunk[0].weight
    assert 0.95 * bound < weight.abs().max() <= bound and not net.trunk[0].bias.any()


@pytest.mark.parametrize("model", [ModelConfig(), ModelConfig(batch_norm=True, normalisation="channel")])
def test_a_saved_predictor_answers_alike(tmp_path, model):
    preprocess = normalisation(model, IMAGES, [PIXELS])
    net = ConvNet(model, 10, (1, 28, 28), preprocess, domains=2)
    net(PIXELS, [("source", 3), ("target", 5)])  # so that the domains' statistics differ
    predictor = Classifier(net, head=nn.Linear(100, 10), critic=DomainCritic(net, model)).eval()
    predictors.save(tmp_path / "p.safetensors", predictor, tuple("0123456789"))
    again, classes = predictors.load(tmp_path / "p.safetensors")
    x = PIXELS[:3]
    assert classes == tuple("0123456789")
    for domain in ("source", "target"):
        assert torch.equal(again(x, domain)[1], predictor(x, domain)[1])
    assert torch.equal(predictor(x, "source")[1], predictor(x, "target")[1]) != model.batch_norm
    assert torch.equal(again.critic(again(x)[0]), predictor.critic(predictor(x)[0]))


def test_the_mean_weighs_the_domains_alike():
    grey = torch.randint(0, 256, (7, 1, 4, 4), dtype=torch.uint8)
    colour = torch.randint(0, 256, (11, 3, 4, 4), dtype=torch.uint8)
    expected = (grey.float().mean() / 255 + colour.float().mean((0, 2, 3)) / 255) / 2
    torch.testing.assert_close(normalisation(ModelConfig(), IMAGES, [grey, colour]).mean, expected)
    assert normalisation(ModelConfig(normalisation="image"), IMAGES, [grey]).mean is None


def test_vectors_are_standardised_and_a_constant_feature_does_no_harm():
    x = torch.randn(200, 5) * torch.tensor([1.0, 2, 3, 4, 0]) + 7
    out = normalisation(ModelConfig("mlp"), VECTORS, [x])(x)
    torch.testing.assert_close(out[:, :4], (x - x.mean(0))[:, :4] / x.std(0, correction=0)[:4], atol=1e-3, rtol=1e-3)
    assert torch.isfinite(out).all()
    sounds = torch.randn(30, 1, 8, 8) * 3 - 5
    out = normalisation(ModelConfig(), SPECTROGRAMS, [sounds])(sounds)
    torch.testing.assert_close(out, (sounds - sounds.mean()) / sounds.std(correction=0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("mean", "spread", "expected"), [
    (0.3, 0.0, 1.0), (1e6, 0.0, 1.0), (0.0, 0.0, 1.0),  # constants
    (1000.0, 0.1, 0.1), (1e4, 1.0, 1.0), (0.0, 1e-9, 1e-9), (-3.0, 1e-4, 1e-4),
])  # fmt: skip
@pytest.mark.parametrize("how", ["standardise", "domain"])
def test_a_deviation_is_found_beside_any_mean(how, mean, spread, expected):
    rng = np.random.default_rng(0)
    source, target = (torch.from_numpy((mean + spread * rng.normal(size=(n, 2))).astype("f4")) for n in (4000, 3000))
    found = normalisation(ModelConfig("mlp", normalisation=how), VECTORS, [source, target])
    numpys = np.mean([np.var(part.double().numpy() - mean) for part in (source, target)]) ** 0.5 if spread else 1.0
    torch.testing.assert_close(found.deviation, torch.full_like(found.deviation, numpys), rtol=0.03, atol=0)
    torch.testing.assert_close(found.deviation, torch.full_like(found.deviation, expected), rtol=0.03, atol=0)


def test_deviations_about_the_common_mean_of_both_domains():
    source, target = torch.randn(300, 3) + 2, torch.randn(500, 3) * 2 - 1
    found = normalisation(ModelConfig("mlp"), VECTORS, [source, target])
    mean = (source.mean(0) + target.mean(0)) / 2
    variance = ((source - mean).square().mean(0) + (target - mean).square().mean(0)) / 2
    torch.testing.assert_close(found(target), (target - mean) / variance.sqrt())


def test_the_other_normalisations_of_vectors_are_scikit_learns():
    from sklearn.preprocessing import normalize

    source, target = torch.randn(40, 3) + 2, torch.randn(60, 3) - 1
    for how in ("l1", "l2"):
        ours = normalisation(ModelConfig("mlp", normalisation=how), VECTORS, [source])(target)
        np.testing.assert_allclose(ours, normalize(target.numpy(), how), rtol=1e-5)
    assert torch.equal(normalisation(ModelConfig("mlp", normalisation="none"), VECTORS, [source])(target), target)
    zero = torch.zeros(1, 3)  # a text without a word
    assert torch.equal(normalisation(ModelConfig("mlp", normalisation="l1"), VECTORS, [source])(zero), zero)


def test_each_domain_by_its_own_mean_and_deviation():
    source, target = torch.randn(40, 3) + 2, torch.randn(40, 3) * 3 - 1
    config = ModelConfig("mlp", normalisation="domain")
    net = ConvNet(config, 2, (3,), normalisation(config, VECTORS, [source, target]), domains=2)
    own = [(x - x.mean(0)) / x.std(0, correction=0) for x in (source, target)]
    with said(net, [("target", 40), ("source", 10)]):  # in whatever order and numbers
        torch.testing.assert_close(net.preprocess(torch.cat([target, source[:10]])), torch.cat([own[1], own[0][:10]]))
    for x, expected, domain in zip((source, target), own, ("source", "target"), strict=True):
        with said(net, domain):
            torch.testing.assert_close(net.preprocess(x), expected)
    with pytest.raises(RuntimeError, match="say of which"):
        net(source)
    with pytest.raises(UserError, match="model.normalisation=domain: .* one domain only"):
        normalisation(config, VECTORS, [source])


@pytest.mark.parametrize(("kind", "inputs", "how", "line"), [
    (IMAGES, PIXELS, "l2", "model.normalisation=l2: not for images, which allow auto, mean, image, channel"),
    (IMAGES, PIXELS, "standardise", "not for images"),
    (VECTORS, torch.zeros(2, 4), "image", "not for vectors, which allow auto, standardise, domain, l1, l2, none"),
    (VECTORS, torch.zeros(2, 4), "mean", "not for vectors"),
    (SPECTROGRAMS, torch.zeros(2, 1, 4, 4), "channel", "spectrograms, which allow auto, standardise, domain, none"),
    (SPECTROGRAMS, torch.zeros(2, 1, 4, 4), "l1", "not for spectrograms"),
])  # fmt: skip
def test_a_normalisation_of_another_kind_of_input_is_refused(kind, inputs, how, line):
    with pytest.raises(UserError, match=line):
        normalisation(ModelConfig(normalisation=how), kind, [inputs])


def test_a_critic_of_vectors_looks_at_what_is_learned():
    for hidden, features in ((None, 256), ([7], 7), ([9, 7], 7)):
        net = net_of(ModelConfig("mlp", hidden=hidden), (4,), Preprocess("none"))
        assert net.feature_size == features and list(net.extractor.parameters())
        assert [layer[0].out_features for layer in net.layers] == [*(hidden or [256, 256]), 10]
        x = torch.randn(3, 4)
        torch.testing.assert_close(net(x), net.head(net.hidden(net.features(x))))


def test_the_papers_shallow_net():
    """Ganin et al. 2016, section 4: one layer of sigmoids, and logistic regression of the domain on it."""
    config = ModelConfig("mlp", hidden=[5], activation="sigmoid", critic=[])
    net = net_of(config, (4,), Preprocess("none"))
    critic = DomainCritic(net, config)
    x = torch.randn(3, 4)
    (w, b), (v, c), (u, d) = ((layer.weight, layer.bias) for layer in (net.extractor[1], net.head, critic[0]))
    h = 1 / (1 + torch.exp(-(x @ w.T + b)))
    torch.testing.assert_close(net(x), h @ v.T + c)
    torch.testing.assert_close(critic(net.features(x)), (h @ u.T + d)[:, 0])
    assert [tuple(p.shape) for p in DomainCritic(net, ModelConfig("mlp", critic=[8, 6])).parameters()][::2] == [
        (8, 5), (6, 8), (1, 6)]  # fmt: skip


def test_activations_and_widths_of_convolutional_nets():
    net = net_of(ModelConfig(hidden=[30], activation="tanh"))
    assert [layer[0].weight.shape[0] for layer in net.layers] == [32, 48, 30, 10]
    assert sum(isinstance(module, nn.Tanh) for module in net.modules()) == 3
    assert net_of(ModelConfig(hidden=[])).hidden_size == 768
    x = torch.rand(2, 3, 28, 28)
    as_printed = nn.MaxPool2d(2)(torch.tanh(net.extractor[0](x)))
    torch.testing.assert_close(net.extractor[:3](x), as_printed)


@pytest.mark.parametrize(("options", "line"), [
    ({"name": "mlp", "hidden": []}, "model.hidden=.*: no dense hidden layer is left, and mlp has no others"),
    ({"hidden": [], "dropout": 0.5}, "model.dropout=0.5: no dense hidden layer is left by model.hidden="),
    ({"hidden": [10, 0]}, "model.hidden=.*: a layer needs at least 1 unit"),
    ({"critic": [0]}, "model.critic=.*: a layer needs at least 1 unit"),
])  # fmt: skip
def test_layers_that_cannot_be(options, line):
    with pytest.raises(UserError, match=line):
        ModelConfig(**options)


def test_layers_go_from_input_to_head_with_their_batch_normalisation():
    layers = net_of(ModelConfig(batch_norm=True)).layers
    assert [type(layer[0]).__name__ for layer in layers] == ["Conv2d", "Conv2d", "Linear", "Linear", "Linear"]
    assert [len(layer) for layer in layers] == [2, 2, 2, 2, 1]


def test_width_scales_all_but_the_critic():
    net = net_of(ModelConfig(width=0.5))
    assert [layer[0].weight.shape[0] for layer in net.layers] == [16, 24, 50, 50, 10]
    assert DomainCritic(net, ModelConfig(width=0.5))[0].out_features == 100


@pytest.mark.parametrize("shape", [(12, 5), (12, 5, 3, 4)])
def test_each_domain_is_normalised_as_by_a_layer_of_its_own(shape):
    ours = BatchNorm(5, domains=2)
    theirs = [(nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5) for _ in range(2)]
    for layer in (ours, *theirs):
        nn.init.constant_(layer.weight, 2), nn.init.constant_(layer.bias, 3)
    for count in (6, 4, 9):
        x = torch.randn(shape) * torch.rand(12, *[1] * (len(shape) - 1))
        expected = torch.cat([layer(part) for layer, part in zip(theirs, (x[:count], x[count:]), strict=True)])
        with said(ours, [("source", count), ("target", 12 - count)]):
            torch.testing.assert_close(ours(x), expected)
    ours.eval()
    for domain, layer in zip(("source", "target"), theirs, strict=True):
        with said(ours, domain):
            torch.testing.assert_close(ours(x), layer.eval()(x))
    with pytest.raises(RuntimeError, match="say of which"):
        ours(x)


def test_a_critic_has_no_batch_normalisation():
    net = net_of(ModelConfig(batch_norm=True))
    assert not [m for m in DomainCritic(net, net.config).modules() if isinstance(m, BatchNorm)]


@pytest.mark.parametrize("how", ["mean", "image", "channel"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_a_net_is_given_is_left_as_it_is(how, layout):
    model = ModelConfig(normalisation=how)
    net = ConvNet(model, 10, (3, 28, 28), normalisation(model, IMAGES, [PIXELS]))
    x = (PIXELS.expand(-1, 3, -1, -1).float() + 0.5).contiguous(memory_format=layout)
    before = x.clone()
    assert torch.equal(net(x), net(x)) and torch.equal(x, before)
