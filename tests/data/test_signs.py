"""Traffic signs: the official files and the packed ones of GTSRB, and signs that are drawn."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import real_data
from transferlab import data
from transferlab.config import DataConfig
from transferlab.errors import UserError
from transferlab.problem import split_rows

needs_gtsrb = pytest.mark.skipif(real_data() is None or not (real_data() / "gtsrb").is_dir(), reason="no GTSRB here")
HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def find(name, root=None, **options):
    settings = DataConfig(root=None if root is None else str(root), download="false")
    return data.find(name, data.config_class(name)(**options), settings)


def picture(label, width=30, height=20):
    """A grey border of 5 pixels around a box of one colour, which tells the class."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[5:-5, 5:-5] = (5 * label, 255 - 5 * label, 7)
    return pixels


def official(root):
    """GTSRB's standard layout: two tracks of two frames for each class, and two test images."""
    for label in range(43):
        folder = root / "GTSRB" / "Final_Training" / "Images" / f"{label:05}"
        folder.mkdir(parents=True)
        lines = [HEADER]
        for track in range(2):
            for frame in range(2):
                name = f"{track:05}_{frame:05}.ppm"
                Image.fromarray(picture(label)).save(folder / name)
                lines.append(f"{name};30;20;5;5;25;15;{label}")
        (folder / f"GT-{label:05}.csv").write_text("\n".join(lines) + "\n")
    folder = root / "GTSRB" / "Final_Test" / "Images"
    folder.mkdir(parents=True)
    lines = [HEADER]
    for number, label in enumerate((42, 7)):
        Image.fromarray(picture(label)).save(folder / f"{number:05}.ppm")
        lines.append(f"{number:05}.ppm;30;20;5;5;25;15;{label}")
    (folder / "GT-final_test.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_gtsrb_in_its_official_layout(tmp_path, no_data):
    official(tmp_path)
    found = find("gtsrb", tmp_path, size=16)
    train, test = found.load("train"), found.load("test")
    assert found.edition == "subset-174" and len(found.classes) == 43 and found.shape == (3, 16, 16)
    assert np.bincount(train.labels).tolist() == [4] * 43 and test.labels.tolist() == [42, 7]
    assert np.unique(train.groups, return_counts=True)[1].tolist() == [2] * 86 and test.groups is None
    assert train.inputs[0, :, 0, 0].tolist() == [128] * 3 and test.inputs[1, :, 8, 8].tolist() == [35, 220, 7]
    assert len(train.provenance["files"]) == 43 and train.provenance["crop"] == "whole"
    rows, held_out = split_rows(train, 5000)
    assert len(held_out) == 16 and not set(train.groups[rows]) & set(train.groups[held_out])
    roi = find("gtsrb", tmp_path, size=16, crop="roi").load("test")
    assert (roi.inputs[:, :, 2:-2, 2:-2] == np.array([[210, 45, 7], [35, 220, 7]])[:, :, None, None]).all()


def test_gtsrb_test_labels_may_lie_where_their_archive_has_them(tmp_path, no_data):
    folder = official(tmp_path)
    (folder / "GT-final_test.csv").rename(tmp_path / "GTSRB" / "GT-final_test.csv")
    assert find("gtsrb", tmp_path / "GTSRB").load("test").labels.tolist() == [42, 7]
    (tmp_path / "GTSRB" / "GT-final_test.csv").unlink()
    with pytest.raises(UserError, match=r"Images: lacks GT-final_test\.csv"):
        find("gtsrb", tmp_path)


def test_damaged_gtsrb_is_named(tmp_path, no_data):
    with pytest.raises(UserError, match="gtsrb: not found; put Final_Training/Images, Final_Test/Images into"):
        find("gtsrb", tmp_path)
    folder = official(tmp_path)
    table = folder / "GT-final_test.csv"
    good = table.read_text()
    for bad, message in (
        (good.replace(";7", ";43"), "labels 42 to 43, allowed are 0 to 42"),
        (good.replace("ClassId", "Class"), r"GT-final_test\.csv: not a table"),
        (good.replace("00001.ppm", "00009.ppm"), r"00009\.ppm: not a readable image"),
    ):
        table.write_text(bad)
        with pytest.raises(UserError, match=message):
            find("gtsrb", tmp_path).load("test")
    table.write_text(good.replace("25;15", "35;15"))
    with pytest.raises(UserError, match=r"00000\.ppm: a sign's box .* does not fit"):
        find("gtsrb", tmp_path, crop="roi").load("test")
    table.parent.parent.parent.joinpath("Final_Training/Images/00003/GT-00003.csv").unlink()
    with pytest.raises(UserError, match="has 42 of 43 tables"):
        find("gtsrb", tmp_path)


def packed(root, **changes):
    labels = np.array([3, 3, 3, 4], np.uint8)
    arrays = {
        "images": np.stack([np.asarray(Image.fromarray(picture(c)).resize((32, 32), 0)) for c in labels]),
        "labels": labels, "track": np.array([0, 0, 1, 0]), "original_size": np.tile([30, 20], (4, 1)),
        "roi": np.tile([5, 5, 25, 15], (4, 1)),
    }  # fmt: skip
    for split in ("train", "test"):
        np.savez(root / f"{split}.npz", **arrays | changes)
    return root


def test_gtsrb_as_arrays(tmp_path, no_data):
    (tmp_path / "gtsrb").mkdir()
    found = find("gtsrb", packed(tmp_path / "gtsrb"), crop="roi", size=8)
    train = found.load("train")
    assert found.edition == "subset-8" and train.groups.tolist() == [0, 0, 1, 2]
    # The box in original pixels (5, 5, 25, 15) of (30, 20), scaled to the 32 pixels.
    assert (train.inputs[:, :, 1:-1, 1:-1] == np.array(
        [[15, 240, 7]] * 3 + [[20, 235, 7]])[:, :, None, None]).all()  # fmt: skip
    assert find("gtsrb", tmp_path, classes=["speed_limit_70"]).load("train").groups.tolist() == [2]
    for changes, message in (
        ({"images": np.zeros((4, 32, 32))}, "images are float64"),
        ({"roi": np.zeros((3, 4))}, "roi has 3 rows, images 4"),
        ({"labels": np.array([0, 1, 2, 43])}, "labels 0 to 43, allowed are 0 to 42"),
    ):
        packed(tmp_path / "gtsrb", **changes)
        with pytest.raises(UserError, match=message):
            find("gtsrb", tmp_path).load("train")


@needs_gtsrb
def test_gtsrb_is_gtsrb():
    found = find("gtsrb", real_data())
    train = found.load("train")
    assert train.inputs.shape[1:] == (3, 40, 40) and set(train.labels.tolist()) == set(range(43))
    assert len({(g, c) for g, c in zip(train.groups.tolist(), train.labels.tolist())}) == train.groups.max() + 1
    centre = train.inputs[:, :, 15:25, 15:25].astype(float).mean((2, 3))
    of = {name: centre[train.labels == found.classes.index(name)].mean(0) for name in ("stop", "keep_right")}
    assert of["stop"].argmax() == 0 and of["keep_right"].argmax() == 2
