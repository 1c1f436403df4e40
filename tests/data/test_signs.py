"""Traffic signs: the official files and the packed ones of GTSRB, and signs that are drawn."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import labels_are_known, real_data
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data.generated import _fonts, _generated, _sign_drawings, syn_numbers, syn_signs
from transferlab.data.generated._generated import Draws
from transferlab.data.pictures.gtsrb import CLASSES
from transferlab.data.split import split_rows
from transferlab.errors import DataMissing, UserError

needs_gtsrb = pytest.mark.skipif(real_data() is None or not (real_data() / "gtsrb").is_dir(), reason="no GTSRB here")
HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def find(name, root=None, edition="auto", **options):
    settings = DataConfig(root=None if root is None else str(root), download="false", edition=edition)
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
    assert labels_are_known(found)
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
            find("gtsrb", tmp_path)
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
    assert labels_are_known(found) and labels_are_known(find("gtsrb", tmp_path, classes=["speed_limit_70"]))
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
            find("gtsrb", tmp_path)


def test_gtsrb_split_by_images_parts_the_training_images_alone(tmp_path, no_data):
    (tmp_path / "gtsrb").mkdir()
    root = packed(tmp_path / "gtsrb", images=np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8))
    whole = find("gtsrb", root).load("train")
    assert labels_are_known(find("gtsrb", root, split="random_images"))
    parted = [find("gtsrb", root, split="random_images").load(part) for part in ("train", "test")]
    assert [len(part) for part in parted] == [3, 1] and parted[0].groups is None
    pictures = [sorted(image.tobytes() for part in parts for image in part.inputs) for parts in ([whole], parted)]
    assert pictures[0] == pictures[1]


@needs_gtsrb
def test_gtsrb_is_gtsrb():
    found = find("gtsrb", real_data())
    train = found.load("train")
    assert train.inputs.shape[1:] == (3, 40, 40) and set(train.labels.tolist()) == set(range(43))
    assert len({(g, c) for g, c in zip(train.groups.tolist(), train.labels.tolist())}) == train.groups.max() + 1
    centre = train.inputs[:, :, 15:25, 15:25].astype(float).mean((2, 3))
    of = {name: centre[train.labels == found.classes.index(name)].mean(0) for name in ("stop", "keep_right")}
    assert of["stop"].argmax() == 0 and of["keep_right"].argmax() == 2


# Generated sets


def quadrant_signs():
    """Two classes: a square that is red in its upper right quarter, and a blue one; [2, 4, 64, 64]."""
    signs = torch.zeros(2, 4, 64, 64)
    signs[:, 3] = 1
    signs[0, 0, :32, 32:] = 1
    signs[1, 2] = 1
    return signs


def test_there_is_a_different_drawing_for_each_class():
    signs = _sign_drawings.drawings()
    assert signs.shape == (43, 4, 128, 128) and len({sign.tobytes() for sign in signs}) == 43
    opaque = signs[:, 3] > 0
    assert (signs[:, :3].max(1)[~opaque] == 0).all()
    assert opaque.mean((1, 2)).min() > 0.35 and not opaque[:, 0].any() and not opaque[:, :, -1].any()
    for name, rgb in (("stop", "R"), ("keep_right", "B")):
        ink = signs[CLASSES.index(name), :3].sum((1, 2), dtype=np.int64)
        assert "RGB"[ink.argmax()] == rgb
    left, right = (signs[CLASSES.index(f"curve_{side}")] for side in ("left", "right"))
    assert np.array_equal(left, right[:, :, ::-1])


@pytest.mark.parametrize("name", ["syn_signs", "syn_numbers"])
def test_generated_images_depend_on_the_seed_alone(name, tmp_path, monkeypatch):
    digests = []
    for cache, seed in (("a", 0), ("b", 0), ("b", 0), ("c", 1)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        monkeypatch.delenv("TRANSFERLAB_DATA", raising=False)
        found = find(name, edition="sample", count=600, seed=seed)
        digests.append([np.asarray(found.load(split).inputs).tobytes() for split in ("train", "test")])
    assert found.edition == "sample" and digests[0] == digests[1] == digests[2]
    assert digests[0][0] != digests[3][0] and digests[0][1] != digests[3][1]
    assert not digests[0][0].startswith(digests[0][1])


@pytest.mark.parametrize("name, classes, size", [("syn_signs", 43, 40), ("syn_numbers", 10, 32)])
def test_generated_labels_are_balanced(name, classes, size, no_data):
    found = find(name, edition="sample", count=700)
    assert found.classes == (CLASSES if name == "syn_signs" else tuple("0123456789"))
    for split, count in (("train", 700), ("test", 70)):
        d = found.load(split)
        assert d.inputs.shape == (count, 3, size, size) and d.inputs.dtype == np.uint8
        assert np.ptp(np.bincount(d.labels, minlength=classes)) <= 1 and d.provenance["count"] == count
        assert d.provenance["seed"] == 0 and d.provenance["generator"] == 1
    assert labels_are_known(found)
    few = find(name, edition="sample", count=500, size=16, classes=list(found.classes[:2])).load("train")
    assert few.inputs.shape == ({43: 24, 10: 100}[classes], 3, 16, 16)


@pytest.mark.parametrize("name", ["syn_signs", "syn_numbers"])
def test_wrong_options_of_generated_sets_are_named(name, no_data):
    for options, message in (
        ({"count": 5}, "count=5: allowed is"), ({"size": 30}, "size=30: allowed are multiples of 8"),
        ({"seed": -1}, "seed=-1: must not be negative"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"{name}.{message}"):
            find(name, **options)


def test_full_edition_needs_the_photographs_and_the_fonts(no_data, monkeypatch):
    with pytest.raises(DataMissing, match="syn_signs: data.edition=full: BSDS500 not found"):
        find("syn_signs", edition="full")
    monkeypatch.setattr(_fonts, "missing", lambda: ("font_lato",))
    with pytest.raises(DataMissing, match=r"full: fonts are missing; pip install 'transferlab\[fonts\]' for font_lato"):
        find("syn_numbers", edition="full")
    assert find("syn_numbers").edition == "sample"


@pytest.mark.parametrize("name", ["syn_signs", "syn_numbers", "mnistm"])
def test_another_version_of_a_generator_is_another_edition(name, no_data, monkeypatch):
    module = importlib.import_module(data.config_class(name).__module__)
    before = find(name, edition="sample")
    monkeypatch.setattr(module, "VERSION", 2)
    after = find(name, edition="sample")
    assert (before.edition, after.edition) == ("sample", "sample-v2")


def test_a_sign_is_the_one_that_the_label_says_and_stands_in_the_middle():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 40)
    made = syn_signs.photographed(quadrant_signs(), labels, torch.zeros(80, 3, 40, 40), rng)
    bright = made.mean((1, 2, 3)) > 0.05
    middle = made[:, :, 16:24, 16:24].mean((2, 3))
    assert (middle[torch.from_numpy(labels == 1) & bright].argmax(1) == 2).all() and bright.sum() > 30
    red = made[torch.from_numpy(labels == 0) & bright][:, 0]
    assert (red[:, 8:20, 20:32].mean((1, 2)) > 0.03 + red[:, 20:32, 8:20].mean((1, 2))).all()


def test_a_homography_is_followed_point_by_point():
    """Against Python's own arithmetic at a few pixels of a linear ramp, which bilinear sampling meets exactly."""
    ramp = torch.linspace(-1 + 1 / 64, 1 - 1 / 64, 64)
    source = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64)])[None]
    matrix = np.array([[0.7, 0.1, 0.05], [-0.1, 0.6, 0.02], [0.05, -0.04, 1.0]])
    made = _generated.warped(source, matrix[None], 16)[0]
    for row, column in ((2, 3), (8, 8), (13, 4)):
        expected = np.zeros(2)
        for dy in (-0.25, 0.25):
            for dx in (-0.25, 0.25):
                x, y = (column + 0.5 + dx) / 8 - 1, (row + 0.5 + dy) / 8 - 1
                u, v, w = matrix @ [x, y, 1]
                expected += np.array([u / w, v / w]) / 4
        assert np.allclose(made[:, row, column].numpy(), expected, atol=1e-5)


def test_a_pose_puts_turns_and_stretches():
    one = np.ones(1)
    pose = _generated.poses(np.array([[0.1, -0.2]]), 90 * one, 0.5 * one, 0.8 * one, 0 * one, np.array([[0.25, 0]]))[0]
    for (x, y), expected in (((0, 0), (0.1, -0.2)), ((0, 1), (0.1 - 0.8, -0.2)), ((1, 0), (0.1, -0.2 + 0.5 / 1.25))):
        u, v, w = pose @ [x, y, 1]
        # The place is a shift of what the viewer sees, so it does not shrink with distance.
        assert np.allclose([u / w, v / w], expected)


def test_blur_is_scipys_gaussian():
    from scipy.ndimage import gaussian_filter

    image = np.random.default_rng(0).random((1, 3, 20, 20)).astype(np.float32)
    one, zero = np.ones(1), np.zeros(1)
    ours = _generated.blurred(torch.from_numpy(image), 0.9 * one, 0.9 * one, 0.4 * one, zero)
    theirs = np.stack([gaussian_filter(channel, 0.9, radius=4, mode="nearest") for channel in image[0]])
    assert np.allclose(ours[0].numpy(), theirs, atol=1e-5)
    streak = _generated.blurred(torch.eye(20).expand(1, 3, 20, 20), 2.0 * one, 0.3 * one, np.pi / 4 * one, zero)
    assert streak[0, 0, 10, 10] > 0.8  # along the diagonal, which it leaves nearly as it is
    fringed = _generated.blurred(torch.eye(20).expand(1, 3, 20, 20), 0.3 * one, 0.3 * one, zero, one)
    assert [int(fringed[0, c, 10].argmax()) for c in range(3)] == [11, 10, 9]


def test_jpeg_is_pillows():
    import io

    smooth = np.random.default_rng(0).random((2, 3, 6, 6)).astype(np.float32)
    images = torch.nn.functional.interpolate(torch.from_numpy(smooth), (40, 40), mode="bicubic").clamp(0, 1)
    images = (images * 255).round() / 255
    for quality in (30, 60, 90):
        ours = _generated.bytes_of(_generated.jpeg(images, np.full(2, quality)))
        for image, mine in zip(_generated.bytes_of(images), ours, strict=True):
            file = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "jpeg", quality=quality, subsampling=0)
            theirs = np.asarray(Image.open(file)).transpose(2, 0, 1).astype(int)
            # Pillow rounds to whole numbers on the way, which now and then makes another coefficient.
            assert np.abs(mine - theirs).mean() < min(1.2, np.abs(image - theirs).mean() / 2)


def test_images_do_not_depend_on_their_batch():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((5, 3, 16, 16)).astype(np.float32))
    numbers = rng.uniform(0.5, 2, (4, 5))
    matrices = np.tile(np.eye(3), (5, 1, 1)) + rng.normal(0, 0.1, (5, 3, 3))
    warped = _generated.warped(images, matrices, 16)
    blurred = _generated.blurred(images, *numbers)
    packed = _generated.jpeg(images, 40 * numbers[0])
    for i in range(5):
        one = images[i : i + 1]
        assert torch.allclose(_generated.warped(one, matrices[i : i + 1], 16)[0], warped[i], atol=1e-5)
        assert torch.allclose(_generated.blurred(one, *numbers[:, i : i + 1])[0], blurred[i], atol=1e-5)
        assert torch.allclose(_generated.jpeg(one, 40 * numbers[0, i : i + 1])[0], packed[i], atol=1e-5)


def test_the_label_is_the_digit_in_the_middle():
    """Digits drawn as bars of a height of their own: the middle columns tell the label, whatever stands beside."""
    glyphs = torch.zeros(1, 10, 48, 48, dtype=torch.uint8)
    for digit in range(10):
        glyphs[0, digit, 8 : 11 + 3 * digit, 20:28] = 255
    draws = Draws(np.random.default_rng(0), 60)
    enlarged = np.tile(np.diag([1.2, 1.2, 1.0]), (60, 1, 1))
    labels = np.arange(60) % 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(syn_numbers, "_poses", lambda draws: enlarged)
        ink = syn_numbers.written(draws, labels, glyphs, np.full((1, 10), 8), 32)
    tall = ink[:, 0, :, 15:17].mean(2).sum(1) / (1.2 * 32 / 48)
    assert np.abs(tall.numpy() - (3 + 3 * labels)).max() < 0.3
    beside = ink[:, 0, :, :12].amax((1, 2)) + ink[:, 0, :, 20:].amax((1, 2))
    assert 0.1 < (beside > 0.5).float().mean() < 1


def test_test_fonts_are_of_families_of_their_own():
    packages = ("matplotlib", *(p for p in _fonts.FAMILIES if p != "matplotlib" and p not in _fonts.missing()))
    train, test = (_fonts.files(packages, split) for split in ("train", "test"))
    assert {path.name[:4] for path in _fonts.files(("matplotlib",), "test")} == {"STIX"}
    assert not {path.name[:5] for path in train} & {path.name[:5] for path in test} - {"Sourc"}
    assert len(set(train)) == len(train) and len(train) >= 17
    assert {family for families in _fonts.FAMILIES.values() for family in families} > _fonts.TEST
    for paths in (train[:3], test[:2]):
        ink, widths = _fonts.digits(paths)
        assert ink.shape == (len(paths), 10, 48, 48) and len(
            {glyph.tobytes() for glyph in ink.reshape(-1, 2304)}
        ) == 10 * len(paths)
        rows = np.flatnonzero((ink.max((0, 1)) > 0).any(1))
        assert rows.min() in (7, 8) and rows.max() in (39, 40) and widths.min() > 3 and widths.max() < 40


def test_finding_generated_sets_imports_nothing_slow():
    code = (
        "import sys; from transferlab import data; from transferlab.config import DataConfig\n"
        "for name in ('syn_signs', 'syn_numbers', 'gtsrb'):\n"
        "    config = data.config_class(name)()\n"
        "    if name != 'gtsrb': data.find(name, config, DataConfig(edition='sample'))\n"
        "assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
