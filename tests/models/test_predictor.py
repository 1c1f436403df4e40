"""What every kind of predictor has in common: it is known when loaded, and it refuses inputs that it cannot judge."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from transferlab import storage
from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, VECTORS
from transferlab.errors import UserError
from transferlab.models import predictor as predictors
from transferlab.models.aligned import Aligned, Nearest
from transferlab.models.clusters import Clusters
from transferlab.models.coded import Coded, Encoder
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import Preprocess
from transferlab.models.predictor import Classifier, Predictor
from transferlab.models.progressive import Progressive
from transferlab.models.zero_shot import Lift, ZeroShot


def image_net():
    return ConvNet(ModelConfig(), 2, (3, 28, 28), Preprocess("mean", torch.zeros(3)))


def vector_net():
    return ConvNet(ModelConfig("mlp"), 2, (4,), Preprocess("none"))


def coded(**patch):
    kind = IMAGES if patch else VECTORS
    encoder = Encoder(torch.zeros(4), torch.ones(()), torch.eye(4), 0.1, "pca", kind, **patch)
    return Coded(encoder, nn.Linear(4, 2), True)


ROWS = torch.randn(9, 4)
PREDICTORS = {
    "Classifier of images": lambda: Classifier(image_net()),
    "Classifier": lambda: Classifier(vector_net()),
    "Aligned": lambda: Aligned(
        None, nn.Linear(4, 3), nn.Linear(4, 3), Nearest(ROWS[:, :3], torch.arange(9) % 2, 2), VECTORS
    ),
    "Aligned of images": lambda: Aligned(image_net(), nn.Linear(100, 3), nn.Linear(100, 3), nn.Linear(3, 2), IMAGES),
    "Progressive": lambda: Progressive([vector_net(), vector_net()]),
    "Coded": coded,
    "Coded of patches": lambda: coded(patch=2, stride=2),
    "Clusters": lambda: Clusters(nn.Linear(4, 2), VECTORS),
    "Clusters of images": lambda: Clusters(nn.Linear(4, 2), IMAGES),
    "ZeroShot of images": lambda: ZeroShot(
        Lift.fitted(pixels(9, 3, 2, 2), IMAGES), torch.ones(4, 3), torch.ones(3), torch.ones(4, 3), 2, "dot"
    ),
    "ZeroShot": lambda: ZeroShot(
        Lift.fitted(ROWS, VECTORS), torch.ones(4, 3), torch.ones(3), torch.ones(4, 3), 2, "dot"
    ),
}


def test_every_kind_is_here():
    kinds = [kind for kind in Predictor.__subclasses__() if kind.__module__.startswith("transferlab.")]
    assert {name.split()[0] for name in PREDICTORS} == {kind.__name__ for kind in kinds}


@pytest.mark.parametrize("logits", [True, False])
def test_whether_scores_are_logits_is_saved(tmp_path, logits):
    for number, predictor in enumerate((Classifier(vector_net(), scores_are_logits=logits), coded())):
        predictor.scores_are_logits = logits
        predictors.save(tmp_path / f"{number}", predictor, "ab")
        assert predictors.load(tmp_path / f"{number}")[0].scores_are_logits is logits


def test_a_fresh_interpreter_knows_every_kind(tmp_path):
    x = torch.arange(8.0).view(2, 4)
    names = [name for name in PREDICTORS if " " not in name]
    expected = []
    for name in names:
        predictor = PREDICTORS[name]().eval()
        predictors.save(tmp_path / name, predictor, "ab")
        expected.append(predictor(x)[1].tolist())
    code = f"""
import torch
from pathlib import Path
from transferlab.models.predictor import load
x = torch.arange(8.0).view(2, 4)
print([load(Path({str(tmp_path)!r}) / name)[0](x)[1].tolist() for name in {names}])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(expected)


def test_an_unknown_kind_is_one_line(tmp_path):
    class Clustres(Clusters):
        pass

    predictors.save(tmp_path / "p", Clustres(nn.Linear(4, 2), VECTORS), "ab")
    with pytest.raises(UserError, match="p: a predictor of unknown kind Clustres; .* did you mean Clusters") as error:
        predictors.load(tmp_path / "p")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("told", [
    [], {}, {"kind": "Clusters"}, {"kind": "Clusters", "parts": {}, "classes": ["a", "b"]},
    {"kind": "Classifier", "parts": {"model": 3}, "classes": ["a", "b"]}, {"kind": ["x"], "parts": {}, "classes": []},
])  # fmt: skip
def test_a_description_of_another_shape_is_one_line(tmp_path, told):
    storage.write(tmp_path / "p", Clusters(nn.Linear(4, 2), VECTORS).state_dict(), {"predictor": json.dumps(told)})
    with pytest.raises(UserError, match="p: ") as error:
        predictors.load(tmp_path / "p")
    assert "\n" not in str(error.value)


def pixels(*shape):
    return torch.zeros(shape, dtype=torch.uint8)


@pytest.mark.parametrize(("name", "good", "bad"), [
    ("Classifier of images", [pixels(2, 1, 28, 28), pixels(2, 3, 28, 28)],
     [pixels(2, 1, 32, 32), pixels(1, 28, 28), pixels(2, 2, 28, 28), torch.rand(2, 3, 28, 28), torch.rand(2, 4)]),
    ("Classifier", [torch.rand(2, 4)], [torch.rand(2, 5), torch.rand(4), pixels(2, 4), torch.rand(2, 1, 2, 2)]),
    ("Aligned", [torch.rand(2, 4)], [torch.rand(2, 5), torch.rand(4), pixels(2, 3, 2, 2), pixels(2, 4)]),
    ("Aligned of images", [pixels(2, 1, 28, 28)], [pixels(2, 1, 32, 32), torch.rand(2, 4)]),
    ("Progressive", [torch.rand(2, 4)], [torch.rand(2, 5), torch.rand(4)]),
    ("Coded", [torch.rand(2, 4)], [torch.rand(2, 5), torch.rand(4), pixels(2, 1, 2, 2)]),
    ("Coded of patches", [pixels(2, 1, 5, 6)],
     [pixels(2, 3, 5, 6), pixels(2, 1, 5, 1), torch.rand(2, 4), torch.rand(2, 1, 5, 6)]),
    ("Clusters", [torch.rand(2, 4)], [torch.rand(2, 5), pixels(2, 1, 2, 2)]),
    ("Clusters of images", [pixels(2, 1, 2, 2)], [torch.rand(2, 4), pixels(2, 3, 2, 2)]),
    ("ZeroShot", [torch.rand(2, 4)], [torch.rand(2, 5), torch.rand(4), pixels(2, 3, 2, 2)]),
    ("ZeroShot of images", [pixels(2, 3, 2, 2), pixels(2, 1, 4, 1)], [torch.rand(2, 4), pixels(2, 3, 4, 4)]),
])  # fmt: skip
def test_inputs_of_another_shape_are_one_line(name, good, bad):
    predictor = PREDICTORS[name]().eval()
    for x in good:
        assert predictor(x)[1].shape[0] == 2
    for x in bad:
        with pytest.raises(UserError, match=r"a predictor of .* was given (float32|uint8) \[") as error:
            predictor(x)
        assert "\n" not in str(error.value)
