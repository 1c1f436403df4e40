"""Inputs that stay in a file: the same to a method as those in memory, and known without being read."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import command, dataset, run
from tests.conftest import config as settings
from transferlab import data, testing
from transferlab.config import DataConfig
from transferlab.data import stored
from transferlab.data.contract import IMAGES
from transferlab.data.pictures import folder
from transferlab.data.selection import transformed
from transferlab.data.stored import Stored, kept
from transferlab.errors import UserError
from transferlab.files import cache_dir
from transferlab.inputs import Mapped, held
from transferlab.map import LABELLED
from transferlab.problem import Problem, view
from transferlab.runs import RunFolder
from transferlab.training.store import Store, content_key

CPU = torch.device("cpu")


def in_file(folder: Path, array: np.ndarray, rows=None) -> Stored:
    """``array`` in a file, or some ``rows`` of it."""
    np.save(folder / "array.npy", array)
    mapped = np.load(folder / "array.npy", mmap_mode="r")
    return Stored(mapped, "digest", np.arange(len(array)) if rows is None else np.array(rows))


@pytest.mark.parametrize("size", [None, 28, 20, 40])
@pytest.mark.parametrize("rows", [slice(2, 7), slice(None), torch.tensor([5, 0, 5]), torch.arange(9) % 2 == 0])
def test_whatever_is_asked_of_inputs_in_a_file_is_as_in_memory(tmp_path, size, rows):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 28, 28)).astype(np.uint8)
    own = np.array([11, 3, 4, 0, 9, 8, 7, 1, 2])
    there, here = (held(in_file(tmp_path, pixels), own, size, CPU, resident) for resident in (0, 1))
    assert isinstance(there, Mapped) and isinstance(here, torch.Tensor)
    assert torch.equal(there[rows], here[rows]) and there[rows].dtype == here.dtype
    assert tuple(there.shape) == tuple(here.shape) and len(there) == len(here) == 9
    assert there.device == here.device
    assert all(torch.equal(a, b) for a, b in zip(there.split(4), here.split(4), strict=True))
    if isinstance(rows, torch.Tensor) and rows.dtype == torch.int64:
        assert torch.equal(there.index_select(0, rows), here.index_select(0, rows))


def test_the_limit_is_of_the_rows_that_are_seen(tmp_path):
    file = in_file(tmp_path, np.zeros((8, 1, 16, 16), np.uint8))
    limit = 4 * 256 / 2**30
    assert isinstance(held(file, np.arange(4), None, CPU, limit), torch.Tensor)
    assert isinstance(held(file, np.arange(5), None, CPU, limit), Mapped)


def test_nothing_leads_from_inputs_to_the_rest_of_their_file(tmp_path):
    mapped = held(in_file(tmp_path, np.zeros((8, 1, 16, 16), np.uint8)), np.arange(4), None, CPU, 0)
    assert not [thing for thing in testing.reached(mapped, mapped.split) if isinstance(thing, np.ndarray | Stored)]


class Untouchable(np.ndarray):
    """An array of which no value may be read."""

    def __getitem__(self, key):
        raise AssertionError("pixels were read")

    def take(self, *given, **named):
        raise AssertionError("pixels were read")


def test_they_are_known_by_file_rows_and_size_without_a_pixel_being_read():
    array = np.zeros((6, 1, 8, 8), np.uint8).view(Untouchable)

    def key(digest="d", rows=(0, 1, 2), size=None) -> str:
        return content_key({"inputs": Mapped(Stored(array, digest, np.array(rows)), CPU, size)}, {})

    with pytest.raises(AssertionError, match="pixels were read"):
        Mapped(Stored(array, "d", np.arange(3)), CPU, None)[:]
    keys = [key(), key(digest="e"), key(rows=(0, 2, 1)), key(rows=(0, 1)), key(size=16)]
    assert len(set(keys)) == len(keys) and key() == keys[0]


def mapped_problem(place: Path, seed: int = 0) -> Problem:
    """Two domains whose inputs lie in files."""
    views = {}
    for role in ("source", "target"):
        given = dataset(40, 3, seed=len(role))
        (place / role).mkdir(parents=True, exist_ok=True)
        own = dataclasses.replace(given, inputs=in_file(place / role, np.asarray(given.inputs)))
        views[role] = view(own, np.arange(40), LABELLED, IMAGES, 28, CPU, 0)
    classes = ("left", "middle", "right")
    return Problem(**views, classes=classes, source_classes=classes, seed=seed, kind=IMAGES)


def test_batches_that_are_read_ahead_are_those_that_are_asked_for(tmp_path):
    problem = mapped_problem(tmp_path)
    resident = dataclasses.replace(
        problem, **{
            role: dataclasses.replace(part, inputs=part.inputs[:])
            for role in ("source", "target") if (part := getattr(problem, role))
        }
    )  # fmt: skip
    ahead, plain = problem.batches(7, 5), resident.batches(7, 5)
    # In order, over the end of an epoch, in another stage, back, and on from a checkpoint.
    for stage, step in [*(("a", step) for step in range(15)), ("b", 0), ("b", 1), ("a", 3), ("a", 4), ("a", 100)]:
        one, two = ahead(stage, step), plain(stage, step)
        assert torch.equal(one.inputs, two.inputs) and torch.equal(one.source.labels, two.source.labels)
        assert torch.equal(one.target.rows, two.target.rows) and one.step == two.step


def test_a_source_model_of_inputs_in_a_file_is_shared(tmp_path):
    def trained(name: str, problem: Problem):
        from transferlab.methods.source import source_model

        engine = run(tmp_path / name, settings())
        engine._store = Store(tmp_path / "store")
        source_model(problem, engine)
        return engine.shared_model

    assert [trained(name, mapped_problem(tmp_path / "data")) for name in ("one", "two")] == ["trained", "taken"]


def pictures(folder: Path, count: int = 12, size: int = 40) -> Path:
    """A folder of two classes of noise around a dark or a bright grey."""
    rng = np.random.default_rng(ord(folder.name[0]))
    for name, level in (("dark", 60), ("bright", 190)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-50, 51, (size, size + number, 3)) + level
            Image.fromarray(noise.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def of_folders(tmp_path, out, *words, **environment):
    a, b = tmp_path / "a", tmp_path / "b"
    for root in (a, b):
        if not root.exists():
            pictures(root)
    return command(
        "method=dann", "source=folder", f"source.root={a}", "target=folder", f"target.root={b}", "train.steps=12",
        "train.batch_size=6", "train.evaluations=2", "train.checkpoint_every=4", "model.width=0.1", "device=cpu",
        "data.validation=0", "figures=false", "device.threads=1", f"hydra.run.dir={tmp_path / out}", *words,
        cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"), **environment,
    )  # fmt: skip


@pytest.mark.parametrize("transform", ["none", "inverted", "permuted", "noise"])
def test_a_run_on_folders_that_stay_in_the_cache_is_the_run_in_memory(tmp_path, transform):
    words = [f"target.transform={transform}", "source.classes=[bright,dark]", "target.classes=[bright,dark]"]
    for out, resident in (("here", "2"), ("there", "0")):
        done = of_folders(tmp_path, out, f"data.resident={resident}", *words)
        assert done.returncode == 0, done.stderr
    here, there = (RunFolder(tmp_path / out) for out in ("here", "there"))
    testing.same_weights(here, there, "other weights")
    assert testing.timeless(here) == testing.timeless(there)
    assert here.status["fingerprint"] == there.status["fingerprint"]


def test_pictures_are_decoded_once_for_all_runs(tmp_path, monkeypatch):
    assert of_folders(tmp_path, "one").returncode == 0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("folder-*.npy")}
    assert len(files) == 4  # pixels and checksums of two folders
    assert of_folders(tmp_path, "two", "seed=1", "source.test_fraction=0.5").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("folder-*.npy")} == files
    Image.new("RGB", (40, 40)).save(tmp_path / "a" / "dark" / "0.png")
    assert of_folders(tmp_path, "three").returncode == 0
    assert len(list((tmp_path / "cache").rglob("folder-*.npy"))) == 6


def test_what_is_transformed_in_a_file_is_what_is_transformed_in_memory(tmp_path, no_data):
    pixels = np.random.default_rng(0).integers(0, 256, (2300, 3, 8, 8)).astype(np.uint8)
    rows = np.random.default_rng(1).permutation(2300)[:2100]
    for name in ("inverted", "permuted", "noise"):
        for split in ("train", "test"):
            there = transformed(in_file(tmp_path, pixels, rows), name, split)
            assert isinstance(there, Stored) and np.array_equal(there, transformed(pixels[rows], name, split))


def test_a_file_is_made_piece_by_piece_and_made_again_where_it_was_cut_off(no_data, monkeypatch):
    def pieces():
        yield np.arange(6).reshape(2, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept("x", [1], 3, pieces)
    assert not list((cache_dir() / "arrays").glob("*.npy")) and not list((cache_dir() / "arrays").glob(".*.part"))
    whole = kept("x", [1], 3, lambda: [np.arange(6).reshape(2, 3), np.array([[7, 8, 9]])])
    assert isinstance(whole, Stored) and np.asarray(whole).tolist() == [[0, 1, 2], [3, 4, 5], [7, 8, 9]]
    assert np.asarray(kept("x", [1], 3, lambda: 1 / 0)).tolist() == np.asarray(whole).tolist()


def test_pictures_that_change_while_they_are_decoded_are_not_kept(tmp_path, no_data, monkeypatch):
    def find():
        return data.find("folder", folder.Config(root=str(root), size=16), DataConfig())

    root = pictures(tmp_path / "a")
    first = (root / "dark" / "0.png").read_bytes()
    found, decode = find(), folder.read_images

    def edited(paths, *given):
        (root / "dark" / "0.png").write_bytes((root / "bright" / "0.png").read_bytes())
        return decode(paths, *given)

    with monkeypatch.context() as patched:
        patched.setattr(folder, "read_images", edited)
        with pytest.raises(UserError, match="changed while it was read; start the command again"):
            found.load("train")
    (root / "dark" / "0.png").write_bytes(first)
    again = np.asarray(find().load("train").inputs)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert np.array_equal(again, find().load("train").inputs)


def test_a_whole_file_is_read_where_nothing_may_be_written(no_data, monkeypatch):
    whole = np.asarray(kept("x", [1], 3, lambda: [np.arange(3)]))
    monkeypatch.setattr(stored, "_claimed", lambda path: 1 / 0)
    assert np.array_equal(kept("x", [1], 3, lambda: 1 / 0), whole)


@pytest.mark.parametrize("damage", ["another file", "not text", "no checksum", "other rows"])
def test_what_is_not_as_it_was_written_under_its_name_is_made_again(no_data, damage):
    for number in (1, 2):
        kept("x", [number], 3, lambda number=number: [np.full(3, number)])
    (one, two) = sorted((cache_dir() / "arrays").glob("x-*.npy"), key=lambda path: int(np.load(path)[0]))
    if damage == "another file":
        one.write_bytes(two.read_bytes())
        one.with_suffix(".sha256").write_bytes(two.with_suffix(".sha256").read_bytes())
    elif damage == "not text":
        one.with_suffix(".sha256").write_bytes(b"\xff\xfe")
    elif damage == "no checksum":
        one.with_suffix(".sha256").unlink()
    made = []
    count = 4 if damage == "other rows" else 3
    assert np.array_equal(kept("x", [1], count, lambda: made.append(1) or [np.full(count, 1)]), np.full(count, 1))
    assert made == [1]


def test_where_the_disk_is_full_it_is_made_in_memory(no_data, monkeypatch):
    def full(file, checksum, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "_put", full)
    made = kept("x", [1], 3, lambda: [np.zeros((2, 3)), np.ones((1, 3))])
    assert isinstance(made, np.ndarray) and made.tolist() == [[0] * 3] * 2 + [[1] * 3]


LIMITED = """
import resource, sys
import torch
from transferlab import compatibility, dispatch
from transferlab.config import from_plain
from transferlab.map import method_schema
from transferlab.models.normalisation import mean_over_images

config = from_plain({
    "method": {"name": "dann"}, "figures": False, "model": {"name": "ganin_mnist", "input_size": 256},
    **{role: {"name": "folder", "root": role, "size": 256} for role in ("source", "target")},
    "data": {"resident": float(sys.argv[1])}, "device": {"name": "cpu", "threads": 1},
})
found = compatibility.find(config)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 320 * 2**20,) * 2)
problem, truth, _ = dispatch.prepare(config, method_schema("dann").sees, torch.device("cpu"), found)
mean_over_images(problem.source.inputs)
draw = problem.batches(source=16, target=16)
print(sum(len(draw("adapt", step).inputs) for step in range(20)), sum(map(len, truth.target_test.inputs.split(64))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_more_images_than_memory_are_read(tmp_path):
    """400 MiB of pixels where there is room for 320 MiB: in memory they fail, from their file all of them are there."""
    for number, level in enumerate(np.random.default_rng(0).integers(0, 256, (2200, 3))):
        path = tmp_path / ("source", "target")[number % 2] / ("dark", "bright")[number // 2 % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (256, 256), tuple(level.tolist())).save(path)

    def done(resident: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        code = [sys.executable, "-c", LIMITED, resident]
        return subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True)

    mapped = done("0")
    assert mapped.stdout == "640 220\n", mapped.stderr
    assert "memory" in done("2").stderr.lower()
