import pytest
import torch
from torch import nn

from transferlab.config import ModelConfig
from transferlab.models import predictor as predictors
from transferlab.models.convnet import ConvNet, DomainCritic, Preprocess
from transferlab.models.predictor import Classifier


@pytest.mark.parametrize(
    ("name", "size", "features"), [("ganin_mnist", 28, 768), ("ganin_mnist", 32, 1200), ("ganin_gtsrb", 40, 6400)]
)
def test_published_feature_counts(name, size, features):
    assert ConvNet(ModelConfig(name, size), 10, torch.zeros(3)).feature_size == features


def test_mnist_net_has_the_papers_parameters():
    net = ConvNet(ModelConfig(), 10, torch.zeros(3))
    shapes = [tuple(p.shape) for name, p in net.named_parameters() if name.endswith("weight")]
    assert shapes == [(32, 3, 5, 5), (48, 32, 5, 5), (100, 768), (100, 100), (10, 100)]
    critic = [tuple(p.shape) for p in DomainCritic(net, ModelConfig()).parameters()]
    assert critic == [(100, 768), (100,), (1, 100), (1,)]


def test_pooling_before_relu_is_the_papers_function():
    net = ConvNet(ModelConfig(), 10, torch.zeros(3))
    x = torch.rand(4, 3, 28, 28)
    c1, c2 = net.extractor[0], net.extractor[3]
    pool, relu = nn.MaxPool2d(2, 2), nn.ReLU()
    as_printed = pool(relu(c2(pool(relu(c1(x)))))).flatten(1)
    torch.testing.assert_close(net.extractor(x), as_printed)


def test_preprocessing_by_hand():
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean = torch.tensor([0.1, 0.2, 0.3])
    torch.testing.assert_close(Preprocess(mean)(x), x / 255 - mean.view(1, 3, 1, 1))
    out = Preprocess(None)(x)
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((1, 2, 3), correction=0), torch.ones(5), atol=1e-3, rtol=0)
    flat = torch.full((1, 1, 4, 4), 7, dtype=torch.uint8)
    assert torch.isfinite(Preprocess(None)(flat)).all()


def test_xavier_is_the_default():
    net = ConvNet(ModelConfig(), 10, torch.zeros(3))
    bound = (6 / (768 + 100)) ** 0.5
    weight = net.trunk[0].weight
    assert 0.95 * bound < weight.abs().max() <= bound and not net.trunk[0].bias.any()


@pytest.mark.parametrize("model", [ModelConfig(), ModelConfig(batch_norm=True, normalisation="image")])
def test_a_saved_predictor_answers_alike(tmp_path, model):
    mean = torch.rand(3) if model.normalisation == "mean" else None
    net = ConvNet(model, 10, mean)
    predictor = Classifier(net, head=nn.Linear(100, 10), critic=DomainCritic(net, model)).eval()
    predictors.save(tmp_path / "p.safetensors", predictor, model, tuple("0123456789"))
    again, classes = predictors.load(tmp_path / "p.safetensors")
    x = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    assert classes == tuple("0123456789")
    assert torch.equal(again(x)[1], predictor(x)[1])
    assert torch.equal(again.critic(again(x)[0]), predictor.critic(predictor(x)[0]))
