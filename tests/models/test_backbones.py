"""Backbones: torchvision's models, cut into blocks that compute the same, in the methods."""

import dataclasses

import pytest
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from tests.methods import tiny
from transferlab import testing, weights
from transferlab.config import ModelConfig, from_plain, to_plain
from transferlab.data.contract import IMAGES
from transferlab.errors import UserError
from transferlab.map import LABELLED, method_schema
from transferlab.models import backbones
from transferlab.models.architectures import depth
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import BatchNorm, normalisation, said

PIXELS = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def net_of(name, domains=1, **options):
    config = ModelConfig(name, input_size=32, **options)
    return ConvNet(config, 4, (3, 32, 32), normalisation(config, IMAGES, [PIXELS]), domains)


@pytest.mark.parametrize(("name", "blocks", "features"), [
    ("resnet18", 5, 512), ("mobilenet_v3_small", 14, 1024), ("shufflenet_v2_x0_5", 5, 1024),
    ("squeezenet1_1", 9, 512), ("vit_b_32", 1, 768),
])  # fmt: skip
def test_the_blocks_compute_what_torchvisions_model_does(name, blocks, features):
    torch.manual_seed(0)
    own = {"image_size": 32} if name == "vit_b_32" else {}
    theirs = torchvision.models.get_model(name, weights=None, **own).eval()
    torch.manual_seed(0)
    ours = backbones.backbone(name, 32, 1).eval()
    assert backbones.depth(name, 32) == blocks
    *_, (place, classifier) = theirs.named_children()
    *_, of_classes = (n for n, part in classifier.named_modules() if isinstance(part, nn.Linear | nn.Conv2d))
    parent, _, last = f"{place}.{of_classes}".rstrip(".").rpartition(".")
    setattr(theirs.get_submodule(parent), last, nn.Identity())
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x).flatten(1), atol=1e-5, rtol=1e-4)
        assert ours(x).shape == (3, features)


@pytest.mark.parametrize(("name", "blocks"), [
    ("resnet10t", 5), ("vit_tiny_patch16_224", 1), ("mobilenetv3_small_050", 8), ("convnext_atto", 6),
])  # fmt: skip
def test_the_blocks_compute_what_timms_model_does(tmp_path, name, blocks):
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    own = {"img_size": 32} if name.startswith("vit") else {}
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=7, **own).eval()  # as of somebody's own training
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    ours = backbones.backbone(f"timm/{name}", 32, 1, tmp_path / "w.pth").eval()
    theirs.reset_classifier(0)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)
        parted = backbones.backbone(f"timm/{name}", 32, 2, tmp_path / "w.pth").eval()
        with said(parted, "target"):
            torch.testing.assert_close(parted(x), theirs(x), atol=1e-5, rtol=1e-4)
    assert backbones.depth(f"timm/{name}", 32) == blocks
    other = timm.create_model("resnet10t", num_classes=0).state_dict() if name != "resnet10t" else {}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(UserError, match=f"not weights of timm/{name}"):
        backbones.backbone(f"timm/{name}", 32, 1, tmp_path / "other.pth")


def test_names_of_timms_are_known(tmp_path, monkeypatch):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    with pytest.raises(UserError, match="model.architecture=resnet81: timm has none of this name; did you mean resnet"):
        backbones.check_name("timm/resnet81", [])
    shown = weights.recipe("timm/resnet18", "imagenet")
    assert (shown.resize, shown.crop, shown.mean) == (236, 224, (0.485, 0.456, 0.406))
    assert (
        weights.recipe("timm/resnet18", "tv_in1k").resize == 256 and "tv_in1k" in weights.library("timm/resnet18").names
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"resnet18\.tv_in1k\.safetensors is not here .*put https://huggingface\.co/timm"
    ):
        weights.file("timm/resnet18", "tv_in1k", "false")
    place = tmp_path / "transferlab" / "weights" / "resnet18.tv_in1k.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")
    assert weights.file("timm/resnet18", "tv_in1k", "false") == place


class WithoutMemory(TorchFunctionMode):
    """Parameters of no content, so that the largest model is made in a moment."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **{**(kwargs or {}), **({"device": "meta"} if func is torch.empty else {})})


def test_nothing_in_any_model_is_of_imagenets_classes(monkeypatch):
    kept = []
    monkeypatch.setattr(backbones, "_in_a_row", lambda model, probe: kept.append(model) or nn.Sequential())
    for name in set(backbones.names()) - {"efficientnet_lite0"}:  # whose class layer is left out by name
        with WithoutMemory():
            backbones.backbone(name, 224, 1)
        model = kept.pop()
        *_, (place, classifier) = model.named_children()
        setattr(model, place, nn.Sequential(*backbones._without_class_layer(classifier)))
        assert 1000 not in {size for parameter in model.parameters() for size in parameter.shape}, name


def test_trying_the_blocks_leaves_randomness_alone():
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        backbones.backbone("shufflenet_v2_x0_5", 32, 1)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_each_domain_has_statistics_of_its_own_in_every_normalisation():
    joint, one = net_of("resnet18", domains=2), net_of("resnet18")
    norms = [module for module in joint.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == 20 and not [m for m in joint.modules() if isinstance(m, nn.BatchNorm2d)]
    weights = dict(joint.named_parameters())
    with torch.no_grad():
        for key, parameter in one.named_parameters():
            weights[key].copy_(parameter)
    x = torch.randn(8, 3, 32, 32) * 3
    apart = [one.extractor(part) for part in (x[:3], x[3:])]
    with said(joint, [("source", 3), ("target", 5)]):
        torch.testing.assert_close(joint.extractor(x), torch.cat(apart), atol=1e-4, rtol=1e-3)


def test_a_bottleneck_and_the_layers_from_input_to_head():
    net = net_of("resnet18", hidden=[16], batch_norm=True)
    assert net.feature_size == 512 and net.hidden_size == 16
    assert len(net.layers) == depth(net.config) == 5 + 1 + 1
    every = {id(p) for layer in net.layers for p in layer.parameters()}
    assert every == {id(p) for p in net.parameters()}
    assert net(PIXELS).shape == (6, 4)


@pytest.mark.parametrize(("name", "side", "line"), [
    ("resnet81", 32, "model.name=resnet81: allowed are ganin_mnist, .*; did you mean resnet18"),
    ("inception_v3", 32, "model.name=inception_v3: allowed are"),
    ("vit_b_16", 40, "model=vit_b_16: cannot take images of 40 x 40 pixels"),
    ("alexnet", 32, "model=alexnet: cannot take images of 32 x 32 pixels"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(name, side, line):
    with pytest.raises(UserError, match=line) as error:
        depth(ModelConfig(name, input_size=side))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("method", "options"), [
    ("dann", {}), ("finetune", {"freeze": 2}), ("layer_transfer", {"layers": 3}), ("multitask", {"private": 1}),
    ("mcd", {}),
])  # fmt: skip
def test_methods_train_a_backbone_and_go_on_to_the_same_bits(tmp_path, no_data, method, options):
    plain = to_plain(testing.tiny(method, options))
    plain["model"] |= {"name": "shufflenet_v2_x0_5", "width": 1.0, "input_size": 32}
    config = from_plain(plain)
    testing.resumes_to_the_same_bits(config, tmp_path)
    if method_schema(method).sees.target != LABELLED:
        testing.unseen_labels_change_nothing(config, tmp_path / "labels")


@pytest.mark.parametrize("method", ["source_only", "finetune", "layer_transfer"])
def test_a_backbones_source_model_is_shared(tmp_path, no_data, method):
    plain = to_plain(testing.tiny(method, {}))
    plain["model"] |= {"name": "shufflenet_v2_x0_5", "width": 1.0, "input_size": 32}
    config = dataclasses.replace(from_plain(plain), store=str(tmp_path / "store"))
    one, two = (testing.finished(config, tmp_path / name) for name in ("one", "two"))
    testing.same_weights(one, two, "the shared model is another")
    taken = "trained" if method == "source_only" else "taken"
    assert [f.results["source_model"] for f in (one, two)] == ["trained", taken]


@pytest.mark.parametrize(("method", "off", "on"), [
    ("dann", {"largest_lambda": 0.0}, {}), ("deep_coral", {"weight": 0.0}, {"weight": 100.0}),
    ("mcd", {"weight": 0.0}, {}), ("mean_teacher", {"weight": 0.0}, {"weight": 100.0}), ("finetune", {"freeze": 1}, {}),
])  # fmt: skip
def test_a_methods_own_term_reaches_a_backbones_first_layer(tmp_path, method, off, on):
    learned = []
    for name, options in (("off", off), ("on", on)):
        asked = tiny.settings(method, options, "shufflenet_v2_x0_5")
        predictor, _ = tiny.learn(tmp_path / name, asked, tiny.problem(method, "images"))
        learned.append(next(predictor.net.layers[0].parameters()).detach())
    assert (learned[0] - learned[1]).abs().max() > 1e-5 * learned[1].abs().max()
