import numpy as np
import pytest
from PIL import Image

from transferlab.evaluation import figures

RNG = np.random.default_rng(0)


def is_picture(path):
    with Image.open(path) as image:
        return image.format == "PNG" and min(image.size) > 100 and len(np.unique(np.asarray(image.convert("L")))) > 5


@pytest.mark.parametrize("rows", [
    [],
    [{"stage": "a", "step": 1, "loss/label": 1.0}],
    [{"stage": "a", "step": s, "loss/label": 1 / s, "critic_accuracy": 0.6} for s in (1, 2)]
    + [{"stage": "b", "step": s, "loss/critic": float("nan"), "target_accuracy": 0.5} for s in (1, 2)]
    + [{"stage": "d=2", "step": 4, "target_accuracy": 0.5}],
])  # fmt: skip
def test_learning_curves(tmp_path, rows):
    figures.learning_curves(rows, tmp_path / "x.png")
    assert is_picture(tmp_path / "x.png")


def test_confusion_and_samples(tmp_path):
    figures.confusion_matrix(np.diag([3, 0, 1]), ["a", "b", "long name"], tmp_path / "c.png", "title")
    images = RNG.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    figures.samples(images[:, :1], images, tmp_path / "s.png", "grey", "colour")
    assert is_picture(tmp_path / "c.png") and is_picture(tmp_path / "s.png")


@pytest.mark.parametrize(("features", "classes"), [(RNG.normal(size=(30, 7)), 3), (np.ones((30, 4)), 26)])
def test_feature_space(tmp_path, features, classes):
    labels = np.arange(30) % classes
    panel = ("before", features, labels, features + 1, labels)
    figures.feature_space([panel, panel], tmp_path / "f.png", [str(i) for i in range(classes)])
    assert is_picture(tmp_path / "f.png")


def test_class_space_shows_a_collapse(tmp_path):
    """A space whose points are one is drawn near one place; another fills the picture."""
    inked = {}
    for name, spread in (("collapsed", 1e-3), ("spread", 1.0)):
        inputs, codes = 1 + spread * RNG.normal(size=(40, 5)), 1 + spread * RNG.normal(size=(6, 5))
        figures.class_space((inputs[:20], inputs[20:]), codes, 4, tmp_path / f"{name}.png", name)
        assert is_picture(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        inked[name] = (np.ptp(pixels, axis=2) > 60).sum()  # coloured pixels
    assert inked["collapsed"] < inked["spread"]


def test_answers(tmp_path):
    photographs = RNG.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    figures.answers(photographs, {"one": [["a", "b"], ["c"]], "two": [["d"], ["e", "f"]]}, tmp_path / "a.png")
    assert is_picture(tmp_path / "a.png")
