"""Data is known by its content: whatever changes it changes the digest, wherever it lies."""

import hashlib
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from tests.conftest import images
from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import content
from transferlab.data.content import digest, digests, drawn, remembered
from transferlab.data.generated import _fonts, _photographs, _sign_drawings, mnistm, patches, syn_numbers, syn_signs
from transferlab.errors import UserError

SAMPLE = DataConfig(edition="sample", download="false")


@pytest.fixture(autouse=True)
def settled(monkeypatch, no_data):
    """Files count as settled at once, and nothing is remembered of other tests."""
    monkeypatch.setattr(content, "SETTLED", -(10**18))
    monkeypatch.setattr(content, "_memory", {})


def known(name, root=None, **options):
    return data.find(name, data.config_class(name)(**options), DataConfig(root=root and str(root), download="false"))


def test_a_changed_byte_is_noticed_with_the_old_size_and_time(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    before, stat = digest([file]), file.stat()
    file.write_bytes(b"new")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest([file]) != before and digests([file]) == {"a": hashlib.sha256(b"new").hexdigest()}
    file.write_bytes(b"old")
    assert digest([file]) == before


def test_a_file_that_has_just_changed_is_read_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 10 * 10**9)
    (tmp_path / "a").write_bytes(b"1")
    digest([tmp_path / "a"])
    assert content._memory == {}


def test_a_digest_is_kept_for_other_processes_and_a_damaged_one_made_again(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    first = digest([tmp_path / "a"])
    (kept,) = (tmp_path / "cache" / "transferlab" / "digests").iterdir()
    monkeypatch.setattr(content, "_sha256", lambda path: pytest.fail("read again"))
    monkeypatch.setattr(content, "_memory", {})
    assert digest([tmp_path / "a"]) == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for damaged in ("", "x" * 64):
        kept.write_text(damaged)
        monkeypatch.setattr(content, "_memory", {})
        assert digest([tmp_path / "a"]) == first


def test_without_a_cache_it_is_kept_in_memory(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "a").write_bytes(b"1")
    first = digest([tmp_path / "a"])
    monkeypatch.setattr(content, "_sha256", lambda path: pytest.fail("read again"))
    assert digest([tmp_path / "a"]) == first


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing: not readable"):
        digest([tmp_path / "nothing"])


def test_a_folder_is_its_files_and_their_names_but_not_hidden_ones(tmp_path):
    (tmp_path / "one" / "in").mkdir(parents=True)
    (tmp_path / "one" / "in" / "x").write_bytes(b"1")
    first = digest([tmp_path / "one"])
    (tmp_path / "one" / ".hidden").write_bytes(b"2")
    assert digest([tmp_path / "one"]) == first
    (tmp_path / "one" / "in" / "x").rename(tmp_path / "one" / "in" / "y")
    assert digest([tmp_path / "one"]) != first


def test_what_is_remembered_of_files_is_read_again_when_they_change(tmp_path):
    read = remembered(maxsize=1)(lambda files, more: files[0].read_text() + more)
    file = tmp_path / "a"
    for text in ("1", "2"):
        file.write_text(text)
        assert read((file,), "!") == f"{text}!"


def test_an_own_folder_may_move_and_no_picture_may_change(tmp_path):
    pixels, _ = images(8, 1, 0)
    for i, picture in enumerate(pixels.numpy()):
        place = tmp_path / "own" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0]).save(place)
    first = _folder(tmp_path / "own")
    shutil.move(tmp_path / "own", tmp_path / "moved")
    assert _folder(tmp_path / "moved").digest == first.digest
    Image.fromarray(255 - pixels.numpy()[0][0]).save(tmp_path / "moved" / "a" / "0.png")
    assert _folder(tmp_path / "moved").digest != first.digest


def _folder(root):
    return data.find("folder", data.config_class("folder")(root=str(root)), SAMPLE)


def test_own_vectors_may_be_called_otherwise_and_no_number_may_change(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 1], 10)

    def found(name):
        return data.find("features", data.config_class("features")(path=str(tmp_path / name)), SAMPLE)

    np.savez(tmp_path / "a.npz", features=x, labels=y)
    first = found("a.npz")
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    assert found("b.npz").digest == first.digest
    np.savez(tmp_path / "a.npz", features=x, labels=1 - y)
    second = found("a.npz")
    assert second.digest != first.digest
    assert np.array_equal(second.load("train").labels, 1 - first.load("train").labels)


def test_within_a_process_no_table_outlives_its_file(animals, tmp_path):
    root = shutil.copytree(animals, tmp_path / "data")
    first = known("awa1", root)
    with np.load(root / "awa1" / "features.npz") as arrays:
        changed = {**arrays, "features": arrays["features"] + 1}
    np.savez(root / "awa1" / "features.npz", **changed)
    second = known("awa1", root)
    assert second.digest != first.digest
    assert not np.array_equal(second.load("train").inputs, first.load("train").inputs)


@pytest.mark.parametrize("name", ["mnistm", "syn_numbers", "syn_signs"])
def test_a_generated_set_is_known_by_what_makes_it(name, monkeypatch):
    module = {"mnistm": mnistm, "syn_numbers": syn_numbers, "syn_signs": syn_signs}[name]

    def now(**options):
        return module.find(module.Config(**options), SAMPLE).digest

    first = now()
    assert now() == first != now(seed=1)
    with monkeypatch.context() as other:
        other.setattr(module, "VERSION", 99)
        assert now() != first
    with monkeypatch.context() as other:
        if name == "mnistm":
            fewer = _photographs.packaged()
            fewer = _photographs.Photographs("packaged", {s: p[:2] for s, p in fewer.paths.items()}, fewer.parts)
            other.setattr(mnistm, "packaged", lambda: fewer)
        elif name == "syn_signs":
            other.setattr(_sign_drawings, "drawings", lambda: np.zeros(3))
        else:
            other.setattr(_fonts, "digits", lambda paths: (np.zeros(3), None))
        other.setattr(content, "version", lambda package: "another")  # what was kept of the old one is not asked
        assert now() != first


def test_what_is_drawn_is_known_by_its_pixels_not_by_the_librarys_version(monkeypatch):
    first = drawn(lambda: np.arange(3), "x")
    monkeypatch.setattr(content, "version", lambda package: "another")
    assert drawn(lambda: np.arange(3), "x") == first != drawn(lambda: np.arange(4), "y")


def test_every_data_set_at_hand_has_a_digest_of_its_own():
    found = {}
    for name in data.names():
        try:
            found[name] = data.find(name, data.config_class(name)(), SAMPLE).digest
        except UserError:
            continue
    assert len(found) >= 8 and len(set(found.values())) == len(found) and all(len(d) == 64 for d in found.values())


def test_asking_again_is_quick(tmp_path):
    for i in range(2000):
        (tmp_path / f"{i}").write_bytes(b"1")
    paths = sorted(tmp_path.iterdir())
    digest(paths[:2000])
    started = time.process_time()
    digest(paths[:2000])
    assert time.process_time() - started < 1


def test_patches_are_known_by_their_photographs(monkeypatch):
    first = patches.find(patches.Config(), SAMPLE).digest
    whole = _photographs.packaged()
    fewer = _photographs.Photographs("packaged", {s: p[:2] for s, p in whole.paths.items()}, whole.parts)
    monkeypatch.setattr(_photographs, "packaged", lambda: fewer)
    assert patches.find(patches.Config(), SAMPLE).digest != first
