"""Each data set against facts known from elsewhere."""

import dataclasses
import hashlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import labels_are_known, real_data
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import stored
from transferlab.data.generated import _released_mnistm, mnistm
from transferlab.data.generated._photographs import packaged, patches
from transferlab.data.pictures import _samples, folder, mnist, svhn, usps
from transferlab.data.pictures._images import read_image
from transferlab.errors import UserError
from transferlab.files import cache_dir

needs_data = pytest.mark.skipif(real_data() is None, reason="the full data is not on this machine")


def load(name, split="train", edition="sample", **options):
    settings = DataConfig(root=str(real_data()) if edition == "full" else None, edition=edition, download="false")
    loaded = data.find(name, data.config_class(name)(**options), settings).load(split)
    return dataclasses.replace(loaded, inputs=np.asarray(loaded.inputs))


@pytest.mark.parametrize("name", ["mnist", "usps", "emnist_letters", "fashion_mnist", "mnistm", "digits", "omniglot"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_sample_is_balanced_and_well_formed(no_data, name, split):
    d = load(name, split)
    counts = np.bincount(d.labels, minlength=len(d.classes))
    assert d.inputs.dtype == np.uint8 and d.inputs.ndim == 4 and len(d) == len(d.labels)
    assert counts.min() >= 0.9 * counts.max() and d.provenance["count"] == len(d)
    found = data.find(name, data.config_class(name)(), DataConfig(edition="sample"))
    assert found.shape == d.inputs.shape[1:] and found.classes == d.classes and labels_are_known(found)


def test_samples_fit_into_the_wheel_and_are_as_large_as_promised(no_data):
    assert sum(p.stat().st_size for p in _samples.FOLDER.iterdir()) < 8_000_000
    assert (len(load("mnist")), len(load("mnist", "test"))) == (10_000, 2_000)


def test_a_damaged_sample_is_named(no_data, monkeypatch, tmp_path):
    for path in _samples.FOLDER.glob("usps*"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(_samples, "FOLDER", tmp_path)
    _samples._index.cache_clear()
    (tmp_path / "sha256.json").write_text('{"usps.train.npz.xz": "0"}')
    with pytest.raises(UserError, match="usps.train.npz.xz: damaged"):
        load("usps")
    _samples._index.cache_clear()


@needs_data
def test_a_part_of_a_set_is_called_so():
    settings = DataConfig(root=str(real_data()), edition="full", download="false")
    editions = {name: data.find(name, data.config_class(name)(), settings).edition for name in ("mnist", "mnistm")}
    assert editions["mnist"] == "full" and re.fullmatch(r"full(-bsds500-\d+\+\d+)?", editions["mnistm"])
    letters = data.find("emnist_letters", data.config_class("emnist_letters")(), settings)
    count = len(letters.load("train"))
    assert letters.edition == ("full" if count == 124_800 else f"subset-{count}")


@needs_data
def test_mnist_is_mnist():
    train, test = load("mnist", "train", "full"), load("mnist", "test", "full")
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    header = bytes.fromhex("00000803" + "0000ea60" + "0000001c" * 2)
    assert hashlib.md5(header + train.inputs.tobytes()).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"


@needs_data
def test_usps_is_usps_and_agrees_with_torchvision():
    from torchvision.datasets import USPS

    d = load("usps", "test", "full")
    assert np.bincount(d.labels).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    theirs = USPS(str(real_data() / "usps"), train=False)
    assert np.array_equal(d.inputs[:, 0], theirs.data) and d.labels.tolist() == theirs.targets


@needs_data
def test_letters_stand_upright():
    d = load("emnist_letters", "train", "full")
    # An I is a vertical stroke: its ink lies in the middle columns, not in the middle rows.
    ink = d.inputs[d.labels == 8].astype(float).mean((0, 1))
    assert ink[:, 10:18].sum() > 1.3 * ink[10:18].sum()


def test_mnistm_is_the_absolute_difference(no_data):
    digits, blended = load("mnist", "test"), load("mnistm", "test")
    assert blended.inputs.shape == (2000, 3, 28, 28) and np.array_equal(blended.labels, digits.labels)
    rng = np.random.default_rng([0, True])
    backgrounds = patches(packaged().read("test"), 2000, 28, rng)
    for i in (0, 7, 1999):
        for channel in range(3):
            for y in range(28):
                for x in range(28):
                    expected = abs(int(digits.inputs[i, 0, y, x]) - int(backgrounds[i, channel, y, x]))
                    assert blended.inputs[i, channel, y, x] == expected


def test_patches_are_pieces_of_the_photographs():
    photograph = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3).astype(np.uint8)
    cut = patches([photograph], 30, 28, np.random.default_rng(0))
    pieces = {photograph[y : y + 28, x : x + 28].transpose(2, 0, 1).tobytes() for y in range(13) for x in range(23)}
    assert all(patch.tobytes() in pieces for patch in cut)


def test_train_and_test_patches_come_from_apart():
    train, test = packaged().read("train"), packaged().read("test")
    for left, right in zip(train, test, strict=True):
        whole = left.shape[1] + right.shape[1]
        assert left.shape[0] == right.shape[0] and left.shape[1] == whole * 2 // 3


def test_mnistm_depends_on_seed_alone_and_two_processes_agree(no_data, tmp_path):
    import os

    code = (
        "from transferlab import data; from transferlab.config import DataConfig; import hashlib\n"
        "d = data.find('mnistm', data.config_class('mnistm')(), DataConfig(edition='sample')).load('train')\n"
        "print(hashlib.sha256(d.inputs[:].tobytes()).hexdigest())"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "both")}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    digests = {p.communicate(timeout=100)[0].strip() for p in both}
    assert digests == {hashlib.sha256(load("mnistm").inputs.tobytes()).hexdigest()}
    assert not list((tmp_path / "both").rglob("*.part"))
    assert not np.array_equal(load("mnistm", seed=1).inputs, load("mnistm").inputs)


def test_a_damaged_cache_is_made_again(no_data):
    made = []

    def make():
        made.append(1)
        return [np.arange(5)]

    for _ in range(2):
        assert np.array_equal(stored.kept("x", [1], 5, make), np.arange(5))
    assert len(made) == 1
    (path,) = (cache_dir() / "arrays").glob("x-*.npy")
    path.write_bytes(path.read_bytes()[:-3])
    assert np.array_equal(stored.kept("x", [1], 5, make), np.arange(5)) and len(made) == 2
    stored.kept("x", [2], 5, make)
    assert len(made) == 3


def test_digits_are_scikit_learns(no_data):
    from sklearn.datasets import load_digits

    train, test = load("digits", "train"), load("digits", "test")
    assert len(train) + len(test) == 1797
    theirs = sorted(image.astype(int).tobytes() for image in np.round(load_digits().data * 255 / 16))
    ours = sorted(i.astype(int).tobytes() for d in (train, test) for i in d.inputs.reshape(-1, 64))
    assert ours == theirs


def mat(path, x, y):
    import scipy.io

    scipy.io.savemat(path, {"X": x, "y": y})


def test_svhn_in_its_real_format(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 6), dtype=np.uint8)
    y = np.array([[1], [10], [9], [10], [2], [3]], np.uint8)
    mat(tmp_path / "train_32x32.mat", x, y)
    mat(tmp_path / "test_32x32.mat", x, y)
    settings = DataConfig(root=str(tmp_path), download="false")
    found = data.find("svhn", svhn.Config(), settings)
    d = found.load("train")
    assert labels_are_known(found)
    assert found.edition == "subset-12" and d.labels.tolist() == [1, 0, 9, 0, 2, 3]
    assert d.inputs[4, 2, 10, 20] == x[10, 20, 2, 4]
    for split in ("train", "test"):
        mat(tmp_path / f"{split}_32x32.mat", x[:30], y)
        with pytest.raises(UserError, match=rf"{split}_32x32.mat: X is uint8 \(30, 32, 3, 6\)"):
            data.find("svhn", svhn.Config(), settings)
        mat(tmp_path / f"{split}_32x32.mat", x, y + 1)
        with pytest.raises(UserError, match="labels 2 to 11, allowed are 1 to 10"):
            data.find("svhn", svhn.Config(), settings)
        (tmp_path / f"{split}_32x32.mat").write_bytes(b"\0" * 500)
        with pytest.raises(UserError, match=f"{split}_32x32.mat: damaged"):
            data.find("svhn", svhn.Config(), settings)
        mat(tmp_path / f"{split}_32x32.mat", x, y)


def pictures(root, classes, count=5, mode="RGB", suffix="png"):
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new(mode, (20 + i, 30), 10 * i).save(root / name / f"{i}.{suffix}")


def folder_find(root, **options):
    return data.find("folder", folder.Config(root=str(root), size=16, **options), DataConfig())


def test_folder_of_classes(tmp_path):
    pictures(tmp_path, ["cat", "dog", "eel"])
    found = folder_find(tmp_path, test_fraction=0.4)
    train, test = found.load("train"), found.load("test")
    assert found.classes == ("cat", "dog", "eel") and train.inputs.shape == (9, 3, 16, 16) and len(test) == 6
    assert not set(train.provenance["files"]) & set(test.provenance["files"])


def test_folder_with_train_and_test(tmp_path):
    pictures(tmp_path / "train", ["a", "b"], 3, "L", "jpg")
    pictures(tmp_path / "test", ["a", "b"], 2)
    found = folder_find(tmp_path)
    assert len(found.load("train")) == 6 and len(found.load("test")) == 4
    pictures(tmp_path / "train", ["c"])
    with pytest.raises(UserError, match="class c is in only one of train/ and test/"):
        folder_find(tmp_path)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        folder_find(tmp_path / "nowhere")
    pictures(tmp_path, ["only"])
    with pytest.raises(UserError, match="at least 2 classes, has 1"):
        folder_find(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: needs at least 2 images, has 0"):
        folder_find(tmp_path)
    pictures(tmp_path, ["empty"])
    (tmp_path / "empty" / "0.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(UserError, match="0.png: not a readable image"):
        for split in ("train", "test"):
            folder_find(tmp_path).load(split)


def released(root):
    return data.find("mnistm", mnistm.Config(build="released"), DataConfig(root=str(root), download="false"))


def test_released_mnistm_as_pictures(tmp_path, no_data, monkeypatch):
    for split in ("train", "test"):
        (tmp_path / "mnist_m" / f"mnist_m_{split}").mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        for i in range(2):
            Image.fromarray(pixels[i]).save(tmp_path / "mnist_m" / f"mnist_m_{split}" / f"0000000{i}.png")
        (tmp_path / "mnist_m" / f"mnist_m_{split}_labels.txt").write_text("00000000.png 5\n00000001.png 0\n")
    found = released(tmp_path)
    d = found.load("train")
    assert found.edition == "released-subset-2+2" and d.labels.tolist() == [5, 0]
    assert labels_are_known(found)
    monkeypatch.setattr(_released_mnistm, "COUNTS", [2, 2])
    assert released(tmp_path).edition == "released"
    for line, words in (("00000000.png 10", "labels 0 to 10, allowed are 0 to 9"), ("1.png 1", "1.png: not a readable"),
                        ("00000000.png one", "line 2 is not")):  # fmt: skip
        index = tmp_path / "mnist_m" / "mnist_m_test_labels.txt"
        index.write_text(f"00000000.png 0\n{line}\n")
        with pytest.raises(UserError, match=words):
            released(tmp_path)
    assert np.array_equal(d.inputs[1], pixels[1, 2:30, 2:30].transpose(2, 0, 1))


def test_released_mnistm_as_torch_files(tmp_path, no_data):
    import torch

    x = torch.randint(0, 256, (3, 28, 28, 3), dtype=torch.uint8)
    for split in ("train", "test"):
        torch.save((x, torch.tensor([1, 2, 3])), tmp_path / f"mnist_m_{split}.pt")
    assert np.array_equal(released(tmp_path).load("test").inputs, x.permute(0, 3, 1, 2).numpy())


def test_released_mnistm_as_a_pickle_runs_no_code(tmp_path, no_data):
    import pickle

    path = tmp_path / "mnistm_data.pkl"
    arrays = {s: np.zeros((n, 28, 28, 3), np.uint8) for s, n in (("train", 9000), ("valid", 1000), ("test", 2000))}
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    assert len(released(tmp_path).load("train")) == 10_000 and labels_are_known(released(tmp_path))
    assert released(tmp_path).edition == released(tmp_path).load("test").provenance["edition"] == "rebuild-mnistm_data"

    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"asks for builtins\.print"):
        released(tmp_path)
    assert _released_mnistm.PICKLES


def test_usps_that_is_not(tmp_path):
    import bz2

    path = tmp_path / "usps.bz2"
    for content in (b"rubbish", bz2.compress(b"1 1:0.5\n"), bz2.compress(b"hello world\n")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="usps.bz2"):
            usps.read(path)


def test_the_random_numbers_of_the_patches_are_pinned():
    """MNIST-M is a function of its ingredients; NumPy promises its bit generators' streams, not these draws."""
    photograph = np.arange(40 * 50 * 3, dtype=np.uint32).reshape(40, 50, 3).astype(np.uint8)
    cut = patches([photograph, photograph[::-1]], 100, 28, np.random.default_rng([0, False]))
    assert hashlib.sha256(cut.tobytes()).hexdigest()[:16] == "8906899952f6256b"


def test_released_pickle_of_tensorflows_reader_is_in_mnists_order(tmp_path, no_data):
    import pickle

    place = (np.arange(10_000) % 251).astype(np.uint8)
    images = np.broadcast_to(place[:, None, None, None], (10_000, 28, 28, 3)).copy()
    # TensorFlow's read_data_sets: validation is the first images, train the rest.
    arrays = {"train": images[1000:], "valid": images[:1000], "test": images[:2000]}
    for protocol in (2, 5):
        (tmp_path / "mnistm_data.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
        assert np.array_equal(released(tmp_path).load("train").inputs[:, 0, 0, 0], place)


def test_damaged_released_files_are_named(tmp_path, no_data):
    import torch

    for split in ("train", "test"):
        torch.save(([1], [2]), tmp_path / f"mnist_m_{split}.pt")
    with pytest.raises(UserError, match=r"mnist_m_train\.pt: not a torch file"):
        released(tmp_path)
    (tmp_path / "mnist_m").mkdir()
    for split in ("train", "test"):
        (tmp_path / "mnist_m" / f"mnist_m_{split}_labels.txt").write_text("")
    with pytest.raises(UserError, match="names no pictures"):
        released(tmp_path)


def test_mnistm_refuses_or_names_what_is_not_the_edition_asked_for(no_data, small_full_mnist):
    with pytest.raises(UserError, match="data.edition=full: BSDS500 not found"):
        data.find("mnistm", mnistm.Config(), DataConfig(root=small_full_mnist, edition="full", download="false"))
    with pytest.raises(UserError, match="must not be negative"):
        mnistm.Config(seed=-1)
    pictures(Path(small_full_mnist) / "BSDS500" / "data" / "images", ["train", "val"], suffix="jpg")
    settings = DataConfig(root=small_full_mnist, edition="sample")
    assert data.find("mnistm", mnistm.Config(photographs="bsds500"), settings).edition == "sample-bsds500-5+5"
    assert data.find("mnistm", mnistm.Config(), settings).edition == "sample"


@pytest.fixture
def small_full_mnist(tmp_path):
    """A data root in which MNIST's files exist, with no more than an image each."""
    idx_files(tmp_path / "mnist", (1, 1))
    return str(tmp_path)


def idx_files(folder, counts):
    """MNIST's files with so many black zeros; those parts that are 0 take no room on the disk."""
    folder.mkdir()
    for split, count in zip(("train", "test"), counts, strict=True):
        for name, shape in zip(mnist.SPLITS[split], ((count, 28, 28), (count,)), strict=True):
            path = folder / name.removesuffix(".gz")
            header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            path.write_bytes(header)
            os.truncate(path, len(header) + math.prod(shape))


def test_finding_mnistm_imports_nothing_slow():
    code = (
        "import sys; from transferlab import data; from transferlab.config import DataConfig\n"
        "data.find('mnistm', data.config_class('mnistm')(), DataConfig(edition='sample'))\n"
        "assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cache_that_cannot_be_kept_leaves_nothing(no_data, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored.os, "fsync", full)
    assert np.array_equal(stored.kept("x", [1], 5, lambda: [np.arange(5)]), np.arange(5))
    assert {path.suffix for path in (cache_dir() / "arrays").iterdir()} == {".lock"}


def test_folder_takes_what_real_folders_hold(tmp_path):
    for part, count in (("train", 2), ("test", 1)):
        pictures(tmp_path / "divided" / part, ["a", "b"], count)
    found = folder_find(tmp_path / "divided")
    assert (len(found.load("train")), len(found.load("test"))) == (4, 2)
    pictures(tmp_path / "odd", ["train", "bus"], 4)  # a class that happens to be called train
    (tmp_path / "odd" / "bus" / "._0.png").write_bytes(b"the Finder's")
    (tmp_path / "odd" / "bus" / "x.png").mkdir()
    assert folder_find(tmp_path / "odd").classes == ("bus", "train")
    pictures(tmp_path / "half" / "val", ["a", "b"])
    pictures(tmp_path / "half" / "test", ["a", "b"])
    with pytest.raises(UserError, match="both train/ and test/ are needed"):
        folder_find(tmp_path / "half")


def test_sixteen_bit_and_turned_pictures(tmp_path):
    Image.fromarray(np.full((20, 20), 0x4321, np.uint16)).save(tmp_path / "deep.png")
    assert (read_image(tmp_path / "deep.png", "deep.png", 16) == 0x43).all()
    turned = Image.new("RGB", (20, 20))
    turned.paste((255, 255, 255), (0, 0, 20, 10))
    exif = turned.getexif()
    exif[0x112] = 3  # upside down
    turned.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png", "turned.png", 20)[0, 15, 5] == 255


def test_a_folder_called_as_another_set_is_not_taken(tmp_path, no_data):
    """Fashion-MNIST's files have MNIST's names: the wrong one must not be read without a word."""
    idx_files(tmp_path / "fashion-mnist", (2, 1))
    settings = DataConfig(root=str(tmp_path / "fashion-mnist"), download="false")
    assert data.find("mnist", mnist.Config(), settings).edition == "sample"
    found = data.find("fashion_mnist", data.config_class("fashion_mnist")(), settings)
    assert found.edition == "subset-2"


def test_svhn_and_usps_without_numbers(tmp_path):
    import bz2

    mat(tmp_path / "x.mat", np.zeros((32, 32, 3, 0), np.uint8), np.zeros((0, 1), np.uint8))
    with pytest.raises(UserError, match=r"x\.mat"):
        svhn.read(tmp_path / "x.mat")
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(b"1 " + b" ".join(b"%d:nan" % i for i in range(1, 257))))
    with pytest.raises(UserError, match="values -1 to 1"):
        usps.read(tmp_path / "usps.bz2")


@pytest.mark.parametrize(("counts", "edition"), [
    ((60_000, 10_000), "full"), ((500, 10_000), "subset-500"), ((60_000, 500), "subset-60000+500"),
])  # fmt: skip
def test_a_set_is_full_with_all_of_its_files(tmp_path, no_data, counts, edition):
    idx_files(tmp_path / "mnist", counts)
    settings = DataConfig(root=str(tmp_path), download="false")
    assert data.find("mnist", mnist.Config(), settings).edition == edition


def test_a_part_of_usps_is_called_so(tmp_path, no_data, monkeypatch):
    import bz2

    monkeypatch.setattr(usps, "COUNTS", [9, 4])
    (tmp_path / "usps").mkdir()
    settings = DataConfig(root=str(tmp_path), download="false")
    line = b"1 " + b" ".join(b"%d:0.5" % i for i in range(1, 257)) + b"\n"
    for tests, edition in ((3, "subset-9+3"), (4, "full")):
        for name, count in (("usps.bz2", 9), ("usps.t.bz2", tests)):
            (tmp_path / "usps" / name).write_bytes(bz2.compress(line * count))
        assert data.find("usps", usps.Config(), settings).edition == edition


def test_training_and_test_images_have_noise_of_their_own():
    from transferlab.data.selection import transformed

    grey = np.full((4, 1, 8, 8), 128, np.uint8)
    train, test = (transformed(grey, "noise", split) for split in ("train", "test"))
    assert not np.array_equal(train, test) and np.array_equal(train, transformed(grey, "noise"))
