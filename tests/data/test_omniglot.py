"""Omniglot in its own layout, from a folder and from the small archives, and what is missing from it."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import labels_are_known, real_data
from transferlab import data
from transferlab.config import DataConfig
from transferlab.errors import UserError


def drawing(row):
    """A one-bit picture, black ink on white, with a bar at ``row`` of three."""
    pixels = np.full((105, 105), 255, np.uint8)
    pixels[35 * row : 35 * row + 35] = 0
    content = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(content, "PNG")
    return content.getvalue()


def find(root, **options):
    return data.find("omniglot", data.config_class("omniglot")(**options), DataConfig(root=str(root), download="false"))


@pytest.fixture
def root(tmp_path):
    """Two alphabets with two characters and one: a folder as the full archive unpacks."""
    for row, character in enumerate(("Greek/character01", "Greek/character02", "Latin/character01")):
        folder = tmp_path / "omniglot" / "images_background" / character
        folder.mkdir(parents=True)
        for drawer in range(1, 21):
            (folder / f"0{row}_{drawer:02}.png").write_bytes(drawing(row))
    return tmp_path


def test_characters_are_bright_on_black_and_drawers_apart(root):
    found = find(root)
    assert found.classes == ("Greek/character01", "Greek/character02", "Latin/character01")
    train, test = found.load("train"), found.load("test")
    assert labels_are_known(found) and labels_are_known(find(root, alphabets=["Latin"]))
    assert np.bincount(train.labels).tolist() == [16] * 3 and np.bincount(test.labels).tolist() == [4] * 3
    assert train.inputs.shape == (48, 1, 28, 28) and train.inputs.dtype == np.uint8
    for row in range(3):
        brightness = train.inputs[train.labels == row].mean((0, 1, 3))
        middle = slice(28 * row // 3 + 2, 28 * (row + 1) // 3 - 1)
        assert brightness[middle].min() == 255 and np.delete(brightness, np.r_[middle]).mean() < 60


def test_alphabets_choose_classes(root):
    assert find(root, alphabets=["Latin"]).classes == ("Latin/character01",)
    with pytest.raises(UserError, match="omniglot.alphabets: no Latn in edition full; .*did you mean Latin"):
        find(root, alphabets=["Latn"])


def test_a_character_that_is_not_whole_is_named(root):
    (root / "omniglot" / "images_background" / "Latin" / "character01" / "02_07.png").unlink()
    with pytest.raises(UserError, match="Latin/character01 lacks 1 of 20 drawings"):
        find(root)


def test_what_both_small_archives_hold_counts_once(tmp_path):
    (tmp_path / "omniglot").mkdir()
    for number, alphabet in ((1, "Korean"), (2, "Tagalog")):
        name = f"images_background_small{number}"
        with zipfile.ZipFile(tmp_path / "omniglot" / f"{name}.zip", "w") as archive:
            for place in (alphabet, "Greek"):
                for drawer in range(1, 21):
                    archive.writestr(f"{name}/{place}/character01/0001_{drawer:02}.png", drawing(0))
    found = find(tmp_path)
    assert found.classes == ("Greek/character01", "Korean/character01", "Tagalog/character01")
    assert found.edition == "small1+small2" and len(found.load("train")) == 48


@pytest.mark.skipif(not real_data(), reason="needs the real data")
def test_the_small_sets_have_their_characters():
    found = find(real_data())
    counts = {alphabet: sum(name.startswith(alphabet) for name in found.classes) for alphabet in ("Greek", "Latin")}
    assert counts == {"Greek": 24, "Latin": 26} and len(found.classes) == 242
