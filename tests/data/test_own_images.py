"""Own images as people have them: rubbish, levels, links, odd formats; each is read, passed over or named."""

import dataclasses
import io
import logging
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import transferlab
from tests.conftest import command, done, labels_are_known
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import content
from transferlab.data.pictures import _images, folder
from transferlab.errors import UserError


def pictures(root, classes=("bar", "disc"), count=4, first=0):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, first + count):
            Image.new("RGB", (8, 8), (40 * number, 10 * i, first)).save(root / name / f"{i}.png")
    return root


def find(root, **options):
    return data.find("folder", folder.Config(root=str(root), size=8, **options), DataConfig())


def counts(found):
    assert labels_are_known(found)
    return [np.bincount(found.load(split).labels).tolist() for split in ("train", "test")]


def refusal(root, **options):
    with pytest.raises(UserError) as error:
        find(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "place",
    [".ipynb_checkpoints", "@eaDir/x.png", ".Trash-1000/files", "__MACOSX", "$RECYCLE.BIN", "lost+found", "#recycle",
     "System Volume Information"],
)  # fmt: skip
@pytest.mark.parametrize("within", ["", "disc"])
def test_hidden_and_system_folders_are_no_classes_and_hold_no_images(tmp_path, place, within):
    pictures(tmp_path)
    shutil.copytree(tmp_path / "bar", tmp_path / within / place)
    found = find(tmp_path)
    assert found.classes == ("bar", "disc") and counts(found) == [[3, 3], [1, 1]]
    assert found.remark == f"1 folder passed over: {'disc/' if within else ''}{place.partition('/')[0]}/"


def test_what_is_passed_over_is_said_in_a_few_words(tmp_path):
    pictures(tmp_path)
    assert find(tmp_path).remark == ""
    for name in ("Thumbs.db", "notes.txt", "disc/._0.png", "disc/list.csv"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7 no image")
    (tmp_path / "disc" / "dead.png").symlink_to("/nowhere/x.png")
    os.mkfifo(tmp_path / "disc" / "pipe.png")
    assert find(tmp_path).remark == "6 files passed over: Thumbs.db, disc/._0.png, disc/dead.png, …"
    assert counts(find(tmp_path)) == [[3, 3], [1, 1]]


def test_images_are_known_by_their_beginning_where_not_by_their_name(tmp_path):
    pictures(tmp_path)
    for suffix, kind in (("", "PNG"), (".image", "JPEG"), (".dat", "WEBP"), (".jfif", "JPEG"), (".JPG", "PNG")):
        Image.new("RGB", (8, 8)).save(tmp_path / "disc" / f"odd{suffix}", format=kind)
    assert sum(sum(part) for part in counts(find(tmp_path))) == 13 and find(tmp_path).remark == ""


@pytest.mark.parametrize(
    "parts", [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("seg_train", "seg_test"),
              ("trainImages", "testImages"), ("train", "eval")],
)  # fmt: skip
def test_training_and_test_part_are_known_in_whatever_case(tmp_path, parts):
    pictures(tmp_path / parts[0])
    pictures(tmp_path / parts[1], count=2, first=10)
    Image.new("RGB", (8, 8)).save(tmp_path / parts[0] / "stray.png")
    found = find(tmp_path)
    assert found.classes == ("bar", "disc") and counts(found) == [[4, 4], [2, 2]]


@pytest.mark.parametrize(("parts", "words"), [
    (("val", "test"), "both train/ and test/ are needed"),
    (("train", "Train", "test"), "one of each"),
    (("train", "val", "dev"), "one of each"),
])  # fmt: skip
def test_other_parts_are_refused_with_what_to_do(tmp_path, parts, words):
    for part in parts:
        pictures(tmp_path / part)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize(("train", "validation"), [("train", "val"), ("Train", "Valid"), ("training", "dev")])
def test_a_validation_part_is_for_testing_where_no_other_is(tmp_path, train, validation):
    pictures(tmp_path / train, count=4)
    pictures(tmp_path / validation, count=2, first=10)
    found = find(tmp_path)
    assert counts(found) == [[4, 4], [2, 2]]
    assert all(name.startswith(f"{validation}/") for name in found.load("test").provenance["files"])
    assert found.remark == f"{validation}/ is for testing, as there is no test/"
    assert dict(found.idle) == {"test_fraction": f"{train}/ and {validation}/"} and found.classes_in is None


def test_a_validation_part_is_unused_beside_a_test_part_and_that_is_said(tmp_path):
    for number, (part, count) in enumerate((("train", 4), ("val", 3), ("test", 2))):
        pictures(tmp_path / part, count=count, first=10 * number)
    (tmp_path / "notes.txt").write_text("of the weather")
    found = find(tmp_path)
    assert counts(found) == [[4, 4], [2, 2]]
    assert not any(
        name.startswith("val/") for split in ("train", "test") for name in found.load(split).provenance["files"]
    )
    assert found.remark == "val/ unused: train/ is learned from, test/ tested on, 1 file passed over: notes.txt"


def test_parts_without_classes_are_refused(tmp_path):
    pictures(tmp_path / "flat", ("train", "test"))
    assert "a folder for each class is needed in them" in refusal(tmp_path / "flat")
    pictures(tmp_path / "vehicles", ("train_station", "test_tube"))
    assert find(tmp_path / "vehicles").classes == ("test_tube", "train_station")
    for name in ("bar", "disc"):
        pictures(tmp_path / "within" / name, ("train", "test"))
    assert "hold the same folders test, train" in refusal(tmp_path / "within")


def test_a_root_one_level_too_high_is_named(tmp_path):
    pictures(tmp_path / "single" / "images")
    assert refusal(tmp_path / "single").endswith(f"bar/, disc/ lie in {tmp_path}/single/images: say root="
                                                 f"{tmp_path}/single/images")  # fmt: skip
    for domain in ("amazon", "dslr", "webcam"):
        pictures(tmp_path / "office" / domain / "images")
    Image.new("RGB", (8, 8)).save(tmp_path / "office" / "dslr" / "stray.png")
    assert f"say root={tmp_path}/office/amazon/images" in refusal(tmp_path / "office")
    assert len(find(tmp_path / "office", classes=["amazon", "dslr", "webcam"]).classes) == 3
    (tmp_path / "loose").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "loose" / "0.png")
    assert "has 0 and 1 images beside" in refusal(tmp_path / "loose")


def test_links_are_followed_out_of_the_folder_but_not_round_in_it(tmp_path):
    pictures(tmp_path / "real")
    more = pictures(tmp_path / "more", ("x",), count=3, first=20)
    (tmp_path / "real" / "disc" / "more").symlink_to(more / "x")
    (more / "x" / "again").symlink_to(more / "x")
    for place in (tmp_path / "real" / "up", tmp_path / "real" / "disc" / "up", tmp_path / "real" / "disc" / "bars"):
        place.symlink_to(tmp_path / "real" / ("bar" if place.name == "bars" else ""))
    found = find(tmp_path / "real")
    assert found.classes == ("bar", "disc") and counts(found) == [[3, 6], [1, 1]]
    for name in ("disc/bars/", "disc/more/again/", "disc/up/"):
        assert name in found.remark
    (tmp_path / "linked").mkdir()
    for name in ("bar", "disc"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "real" / name)
    assert find(tmp_path / "linked").classes == ("bar", "disc")


def test_linked_classes_do_not_flow_into_each_other(tmp_path):
    real = pictures(tmp_path / "real")
    (tmp_path / "linked").mkdir()
    for name in ("bar", "disc"):
        (tmp_path / "linked" / name).symlink_to(real / name)
    for name, end in (("up", real), ("self", real / "disc"), ("other", real / "bar")):
        (real / "disc" / name).symlink_to(end)
    more = pictures(tmp_path / "more", ("x",), count=3, first=20)
    (real / "bar" / "first").symlink_to(more / "x")
    (real / "bar" / "second").symlink_to(more)
    found = find(tmp_path / "linked")
    assert counts(found) == [[6, 3], [1, 1]]
    assert "4 folders passed over" in found.remark


def test_what_cannot_be_read_inside_a_class_is_named(tmp_path, monkeypatch):
    pictures(tmp_path)
    (tmp_path / "disc" / "more").mkdir()
    (tmp_path / "disc" / "note").write_bytes(b"text")
    for closed in (tmp_path / "disc" / "more", tmp_path / "disc" / "note"):

        def refuse(real, closed=closed):
            def of(path, *rest, **more):
                if str(path) == str(closed):
                    raise PermissionError(13, "Permission denied", str(path))
                return real(path, *rest, **more)

            return of

        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", refuse(os.scandir))
            patch.setattr(Path, "open", refuse(Path.open))
            assert refusal(tmp_path) == f"{closed}: not readable (Permission denied)"


def test_a_full_class_of_a_kind_that_is_not_read_is_not_called_empty(tmp_path):
    pictures(tmp_path)
    (tmp_path / "disc2").mkdir()
    (tmp_path / "disc2" / "0.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert "disc2: needs at least 2 images, has 0, and what is not read as one: 0.heic;" in refusal(tmp_path)


@pytest.mark.parametrize(("layout", "words"), [
    (("images/bar", "images/disc", "samples"), "the classes seem to be in images/: say root="),
    (("data/train/bar", "data/train/disc", "data/test/bar", "data/test/disc", "preview"), "seem to be in data/"),
    (("amazon/bar", "amazon/disc", "webcam/Bar", "webcam/Disc"), "hold the same folders bar, disc"),
    (("real/bar", "real/disc", "sketch/bar", "sketch/star"), "hold the same folders bar"),
])  # fmt: skip
def test_other_roots_one_level_too_high_are_named(tmp_path, layout, words):
    for place in layout:
        pictures(tmp_path / Path(place).parent, (Path(place).name,))
    assert words in refusal(tmp_path)
    names = sorted({place.partition("/")[0] for place in layout})
    assert find(tmp_path, classes=names).classes == tuple(names)


def test_letters_in_both_cases_are_not_the_same_folder_twice(tmp_path):
    for name, classes in (("letters", ("a", "A")), ("digits", ("0", "1"))):
        pictures(tmp_path / name, classes)
    assert find(tmp_path).classes == ("digits", "letters")


def test_parts_whose_classes_are_links_within_the_folder(tmp_path):
    for part, number in (("train", 1), ("test", 2)):
        for name in ("cat", "dog"):
            pictures(tmp_path / "all", (f"{name}{number}",), count=3, first=3 * number)
            (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / part / name).symlink_to(tmp_path / "all" / f"{name}{number}")
    (tmp_path / "all").rename(tmp_path / "set" / "all")
    for link in (tmp_path / "set").glob("t*/*"):
        link.unlink()
        number = 1 if link.parent.name == "train" else 2
        link.symlink_to(tmp_path / "set" / "all" / f"{link.name}{number}")
    assert counts(find(tmp_path / "set")) == [[3, 3], [3, 3]]


def test_test_images_do_not_flow_into_training(tmp_path):
    for part in ("train", "test"):
        pictures(tmp_path / part, ("cat", "dog"), count=2)
    (tmp_path / "train" / "cat" / "more").symlink_to(tmp_path / "test" / "cat")
    assert counts(find(tmp_path)) == [[2, 2], [2, 2]]


def test_classes_with_a_folder_of_one_name_in_each_are_classes(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / name, ("images",))
    assert find(tmp_path).classes == ("cat", "dog")


def test_repeats_across_training_and_test_data_and_across_classes_are_said(tmp_path, caplog):
    pictures(tmp_path / "train")
    pictures(tmp_path / "test", first=10)
    shutil.copy(tmp_path / "train" / "bar" / "0.png", tmp_path / "test" / "bar" / "copy.png")
    shutil.copy(tmp_path / "train" / "bar" / "1.png", tmp_path / "train" / "disc" / "copy.png")
    with caplog.at_level(logging.WARNING):
        counts(find(tmp_path))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "1 image is both in training and test data, byte for byte: train/bar/0.png = test/bar/copy.png" in said[0]
    assert "1 image is in two classes, byte for byte: train/bar/1.png = train/disc/copy.png" in said[1]


def test_names_are_one_line_of_text_whatever_they_are_made_of(tmp_path):
    pictures(tmp_path, ("two\nlines", "plain"))
    (tmp_path / "plain").rename(tmp_path / os.fsdecode(b"d\xefsc"))
    found = find(tmp_path)
    assert found.classes == ("d\\xefsc", "two\\nlines")
    assert all(name.encode() for name in found.load("train").provenance["files"])


def test_accents_of_another_system_are_the_same_name(tmp_path):
    for place, name in (("ours", "caf\u00e9"), ("theirs", "cafe\u0301")):
        pictures(tmp_path / place, (name, "tea"))
        assert find(tmp_path / place, classes=["tea", "cafe\u0301"]).classes == ("tea", "caf\u00e9")
    assert find(tmp_path / "ours").classes == find(tmp_path / "theirs").classes
    pictures(tmp_path / "ours", ("cafe\u0301",))
    assert "two folders are called caf\u00e9" in refusal(tmp_path / "ours")
    assert "not readable (File name too long)" in refusal("x" * 5000)


def test_names_that_yaml_takes_for_numbers_are_answered_with_quotes(tmp_path):
    pictures(tmp_path, ("1.10", "1.9", "001", "cat"))
    for written, name in (("1.1", "1.10"), ("1", "001")):
        assert f"classes=['{name}']" in refusal(tmp_path, classes=[written, "1.9"])
    assert "quotes" not in refusal(tmp_path, classes=["dog"])


# Formats


GREY = np.full((64, 64), 100, np.uint8)
GREY[:32, :32] = 255


def read(tmp_path, name, image, **options):
    image.save(tmp_path / name, **options)
    pixels = _images.read_image(tmp_path / name, name, 32)
    return pixels[:, 8, 8].tolist(), pixels[:, 24, 24].tolist()


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("sixteen.png", GREY.astype(np.uint16) * 257), ("sixteen.tif", GREY.astype(np.uint16) * 257),
        ("twelve.png", GREY.astype(np.uint16) * 16), ("ten.tif", GREY.astype(np.uint16) * 4),
        ("eight_in_sixteen.tif", GREY.astype(np.uint16)), ("int.tif", GREY.astype(np.int32) * 257),
        ("unit.tif", GREY.astype(np.float32) / 255), ("float.tif", GREY.astype(np.float32)),
        ("float_twelve.tif", GREY.astype(np.float32) * 16), ("big.tif", (GREY.astype(">u2") * 257)),
    ],
)  # fmt: skip
def test_grey_levels_survive(tmp_path, name, levels):
    image = Image.fromarray(levels) if levels.dtype != ">u2" else Image.frombytes("I;16B", (64, 64), levels.tobytes())
    assert read(tmp_path, name, image) == ([255] * 3, [100] * 3)


def test_grey_levels_of_a_pgm_and_below_zero(tmp_path):
    (tmp_path / "deep.pgm").write_bytes(b"P5 64 64 65535\n" + (GREY.astype(">u2") * 257).tobytes())
    assert (_images.read_image(tmp_path / "deep.pgm", "deep", 32)[:, [8, 24], [8, 24]] == [255, 100]).all()
    hounsfield = np.where(GREY == 255, 1000, -1000).astype(np.float32)
    hounsfield[-1] = 0
    assert read(tmp_path, "scan.tif", Image.fromarray(hounsfield)) == ([255] * 3, [0] * 3)


def test_deep_pictures_of_one_set_share_a_scale(tmp_path):
    """A dark picture that fills 10 of 12 bits stays darker than its neighbours."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i, level in enumerate((4000, 800, 4000)):
            Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / name / f"{i}.png")
    found = find(tmp_path)
    levels = {int(image[0, 0, 0]) for split in ("train", "test") for image in found.load(split).inputs}
    assert levels == {4000 >> 4, 800 >> 4}


@pytest.mark.parametrize("high", [1.02, 2.0, 9.5])
def test_floats_somewhat_above_one_keep_their_grey_levels(tmp_path, high):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i, level in enumerate((0.39, 0.5, 0.2)):
            pixels = np.full((8, 8), level if (name, i) != ("a", 0) else high, np.float32)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.tif")
    found = find(tmp_path)
    levels = {int(image[0, 0, 0]) for split in ("train", "test") for image in found.load(split).inputs}
    assert levels == {255, *(int(255 * level / high + 1e-3) for level in (0.39, 0.5, 0.2))}


def transparent(mode, ink, alpha=None):
    alpha = (GREY == 255).astype(np.uint8) * 255 if alpha is None else alpha
    bands = [Image.new("L", (64, 64), ink)] * (len(mode) - 1)
    return Image.merge(mode, [*bands, Image.fromarray(alpha)])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_ink_on_a_transparent_ground_can_be_seen(tmp_path, mode):
    assert read(tmp_path, "dark.png", transparent(mode, 0)) == ([0] * 3, [255] * 3)
    assert read(tmp_path, "light.png", transparent(mode, 255)) == ([255] * 3, [0] * 3)
    opaque = transparent(mode, 255, np.full((64, 64), 255, np.uint8))
    assert read(tmp_path, "opaque.png", opaque) == ([255] * 3, [255] * 3)
    assert read(tmp_path, "nothing.png", transparent(mode, 0, np.zeros((64, 64), np.uint8))) == ([255] * 3, [255] * 3)


def test_a_palettes_transparency_and_animations(tmp_path):
    palette = Image.new("P", (64, 64))
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.paste(1, (0, 0, 32, 32))
    assert read(tmp_path, "p.png", palette, transparency=bytes([0, 255])) == ([200, 0, 0], [255, 255, 255])
    frames = [Image.fromarray(GREY), Image.new("L", (64, 64))]
    for name in ("a.gif", "a.png", "a.tif"):
        assert read(tmp_path, name, frames[0], save_all=True, append_images=frames[1:]) == ([255] * 3, [100] * 3)
    assert read(tmp_path, "bits.png", Image.fromarray(GREY == 255)) == ([255] * 3, [0] * 3)
    ink = read(tmp_path, "print.tif", Image.fromarray(GREY).convert("CMYK"))
    assert ink == ([255] * 3, [100] * 3)


def test_an_odd_note_of_the_camera_spoils_nothing(tmp_path):
    """Orientation 6 and a rational with the denominator 0, which cannot be written again."""
    tags = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 10, 1, struct.pack("<I", 8 + 2 + 24 + 4))]
    ifd = struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags) + struct.pack("<I", 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + ifd + struct.pack("<ii", -1, 0)
    turned = Image.fromarray(GREY).transpose(Image.Transpose.ROTATE_90)
    (left, right) = read(tmp_path, "turned.jpg", turned, quality=95, exif=exif)
    assert left == [255] * 3 and right == [100] * 3
    assert (
        read(tmp_path, "rubbish.jpg", Image.fromarray(GREY), quality=95, exif=b"Exif\0\0" + bytes(60))[1] == [100] * 3
    )


def damaged():
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    png = buffer.getvalue()
    nan = io.BytesIO()
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(nan, "TIFF")
    return {
        "zero.jpg": b"", "page.jpg": b"<html>404</html>", "cut.png": png[: len(png) // 2],
        "spoilt.png": png[:60] + b"\x55" + png[61:], "nan.tif": nan.getvalue(), "short.gif": b"GIF89a",
        "bomb.pgm": b"P5 40000 40000 255\n" + bytes(100), "cut.tif": nan.getvalue()[:-300],
        "cut.bmp": b"BM" + bytes(20),
    }  # fmt: skip


@pytest.mark.parametrize("name", damaged())
def test_every_file_that_cannot_be_read_is_named_on_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(damaged()[name])
    with pytest.raises(UserError) as error:
        _images.read_image(tmp_path / name, name, 32)
    assert str(error.value).startswith(f"{name}: not a readable image (") and "\n" not in str(error.value)
    pictures(tmp_path).joinpath("disc", name).write_bytes(damaged()[name])
    assert f"{tmp_path}/disc/{name}: not a readable image (" in refusal(tmp_path)


def test_pictures_are_looked_at_once(tmp_path, monkeypatch):
    """What has been read without an error is not read again before it is loaded, nor by another process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(content, "SETTLED", 0)
    looked = []
    monkeypatch.setattr(folder, "check", lambda paths: looked.append(len(paths)))
    pictures(tmp_path / "own")
    digest = find(tmp_path / "own").digest
    content._memory.clear()
    assert find(tmp_path / "own").digest == digest and looked == [8]
    Image.new("RGB", (9, 9)).save(tmp_path / "own" / "disc" / "0.png")
    assert find(tmp_path / "own").digest != digest and looked == [8, 8]


def test_a_class_keeps_its_only_training_image(tmp_path):
    from transferlab.data.split import split_rows

    found = find(pictures(tmp_path, [f"class_{i:02}" for i in range(12)], count=2))
    train = found.load("train")
    assert [np.bincount(found.load(split).labels).tolist() for split in ("train", "test")] == [[1] * 12] * 2
    assert len(split_rows(train, 5000)[1]) == 1  # whose labels decide nothing
    rows, validation = split_rows(train, 5000, labelled=True)
    assert set(train.labels[rows]) == set(range(12)) and len(validation) == 0
    grouped = dataclasses.replace(train, groups=np.arange(12) // 2)
    assert len(split_rows(grouped, 5000, labelled=True)[1]) == 0
    assert len(split_rows(grouped, 0)[1]) == 0


def test_transductive_data_is_seen_whole_and_tested_whole(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 128, (8, 8, 3), np.uint8) + 100 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "mine" / name / f"{number}.png")
    options = folder.Config(root=str(tmp_path / "mine"), transductive=True, size=8)
    found = folder.find(options, DataConfig())
    train, test = found.load("train"), found.load("test")
    assert len(train) == len(test) == 20 and np.array_equal(train.inputs, test.inputs)
    assert dict(found.idle) == {"test_fraction": "transductive=true"}
    words = (
        "source=folder", "source.root=mine", "target=folder", "target.root=mine", "model=lenet", "train.steps=2",
        "model.input_size=32", "train.batch_size=4", "figures=false", "device=cpu", "target.transductive=true",
    )  # fmt: skip
    said = command("method=target_only", *words, cwd=tmp_path)
    assert said.returncode == 2 and len(said.stderr.splitlines()) == 1
    assert "target.transductive=true: method=target_only learns from target labels, and would be tested" in said.stderr
    said = command("method=dann", *words, "source.transductive=true", cwd=tmp_path)
    assert said.returncode == 2 and "source.transductive=true: method=dann learns from source labels" in said.stderr
    done("method=dann", *words, "hydra.run.dir=run", cwd=tmp_path)
    assert transferlab.record(tmp_path / "run").results["target_test_count"] == 20
