import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transferlab.config import ModelConfig
from transferlab.models import predictor as predictors
from transferlab.models.convnet import BatchNorm, ConvNet, DomainCritic, Preprocess, normalisation
from transferlab.models.predictor import Classifier

PIXELS = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def net_of(config, shape=None):
    side = config.input_size
    return ConvNet(config, 10, shape or (3, side, side), Preprocess(torch.zeros(3), None))


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
    torch.testing.assert_close(Preprocess(mean, None)(x), x / 255 - mean.view(1, 3, 1, 1))
    out = Preprocess(None, None)(x)
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((1, 2, 3), correction=0), torch.ones(5), atol=1e-3, rtol=0)
    out = Preprocess(None, None, (2, 3))(x)
    torch.testing.assert_close(out, F.instance_norm(x / 255), atol=1e-4, rtol=1e-3)
    flat = torch.full((1, 1, 4, 4), 7, dtype=torch.uint8)
    assert torch.isfinite(Preprocess(None, None)(flat)).all()


def test_xavier_is_the_default():
    net = net_of(ModelConfig())
    bound = (6 / (768 + 100)) ** 0.5
    weight = net.trunk[0].weight
    assert 0.95 * bound < weight.abs().max() <= bound and not net.trunk[0].bias.any()


@pytest.mark.parametrize("model", [ModelConfig(), ModelConfig(batch_norm=True, normalisation="channel")])
def test_a_saved_predictor_answers_alike(tmp_path, model):
    preprocess = Preprocess(torch.rand(3), None) if model.normalisation == "mean" else normalisation(model, [PIXELS])
    net = ConvNet(model, 10, (1, 28, 28), preprocess, domains=2)
    net(PIXELS)  # so that the domains' statistics differ
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
    torch.testing.assert_close(normalisation(ModelConfig(), [grey, colour]).mean, expected)
    assert normalisation(ModelConfig(normalisation="image"), [grey]).mean is None


def test_vectors_are_standardised_and_a_constant_feature_does_no_harm():
    x = torch.randn(200, 5) * torch.tensor([1.0, 2, 3, 4, 0]) + 7
    out = normalisation(ModelConfig("mlp"), [x])(x)
    torch.testing.assert_close(out[:, :4], (x - x.mean(0))[:, :4] / x.std(0, correction=0)[:4], atol=1e-3, rtol=1e-3)
    assert torch.isfinite(out).all()
    sounds = torch.randn(30, 1, 8, 8) * 3 - 5
    out = normalisation(ModelConfig(), [sounds])(sounds)
    torch.testing.assert_close(out, (sounds - sounds.mean()) / sounds.std(correction=0), atol=1e-4, rtol=1e-4)


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
    for _ in range(3):
        x = torch.randn(shape) * torch.rand(12, *[1] * (len(shape) - 1))
        expected = torch.cat([layer(part) for layer, part in zip(theirs, x.chunk(2), strict=True)])
        torch.testing.assert_close(ours(x), expected)
    ours.eval()
    for domain, layer in enumerate(theirs):
        ours.domain = domain
        torch.testing.assert_close(ours(x), layer.eval()(x))


def test_a_critic_has_no_batch_normalisation():
    net = net_of(ModelConfig(batch_norm=True))
    assert not [m for m in DomainCritic(net, net.config).modules() if isinstance(m, BatchNorm)]
