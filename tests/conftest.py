"""Shared pieces of the tests: small synthetic problems, and where real data is."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from transferlab import map as the_map
from transferlab.config import Config, DataConfig, DeviceConfig, ModelConfig, TrainConfig
from transferlab.data import Found
from transferlab.data.contract import IMAGES, Dataset
from transferlab.map import LABELLED, Role
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.runs import RunFolder
from transferlab.training.engine import Engine

torch.set_num_threads(1)
_cache = tempfile.TemporaryDirectory()  # the user's own stays as it is
atexit.register(_cache.cleanup)
os.environ["XDG_CACHE_HOME"] = _cache.name
CLASSES = ("left", "middle", "right")


def real_data() -> Path | None:
    """The folder of real data, where this machine has one."""
    places = [os.environ.get("TRANSFERLAB_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    return next((Path(p) for p in places if p and Path(p).is_dir()), None)


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """A machine without data, cache or network settings: only the packaged samples are left."""
    monkeypatch.delenv("TRANSFERLAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def animals(tmp_path_factory):
    """A data root with a tiny data set in the layout of Animals with Attributes."""
    root = tmp_path_factory.mktemp("data")
    (root / "awa1").mkdir()
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 10)
    np.savez(root / "awa1" / "features.npz", features=rng.normal(size=(80, 5)).astype(np.float16), labels=labels)
    np.savez(
        root / "awa1" / "attributes.npz", class_names=np.array([f"animal{i}" for i in range(8)]),
        binary=rng.integers(0, 2, (8, 4)), continuous=rng.uniform(1, 100, (8, 4)),
        unseen_classes=np.array([1, 5]), ps_unseen_classes=np.array([2, 3]), seen_classes=np.array([0, 2, 3, 4, 6, 7]),
    )  # fmt: skip
    return root


# A method, a data set and a table of a user's own.
METHOD = '''"""Source only, with another name."""
from dataclasses import dataclass
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.domain_adaptation import source_only
sees = Sees(source=LABELLED, target=UNLABELLED)
@dataclass
class Config(source_only.Config):
    """Options of mine."""
    strength: float = 1.0
    """How much of it."""
def fit(config, problem, run):
    run.report({"strength": config.strength})
    return source_only.fit(config, problem, run)
'''
BLOBS = '''"""Two Gaussian clouds."""
from dataclasses import dataclass
import numpy as np
from transferlab.data.contract import VECTORS, Dataset, Found, Labels
from transferlab.data.selection import Selection
@dataclass
class Config(Selection):
    """Options of blobs."""
    shift: float = 0.0
    """How far they are moved."""
def find(options, settings):
    def draw(split):
        rng, labels = np.random.default_rng(split == "test"), np.arange(200) % 2
        return (rng.normal(size=(200, 5)) + 2 * labels[:, None] + options.shift).astype("f4"), labels
    def load(split):
        return Dataset(*draw(split), ("a", "b"), {"name": "blobs", "split": split})
    labels = lambda split: Labels(draw(split)[1])
    return Found("blobs", "full", ("a", "b"), VECTORS, (5,), load, f"blobs {options.shift}", labels=labels)
'''
TABLE = """title: Tiny
time: seconds
minutes: 0.1
seeds: 1
overrides: [train.steps=10, model=mlp, source=blobs, figures=false]
rows: {mine: {overrides: [method=mine]}, dann: {overrides: [method=dann]}}
columns: {b: {overrides: [target=blobs]}}
"""
WORDS = ("method=mine", "source=blobs", "target=blobs", "model=mlp", "train.steps=10", "figures=false")


@pytest.fixture
def own(tmp_path, no_data):
    """A folder of the user's with a method, a data set and a table."""
    folder = tmp_path / "my choices"
    files = {
        "method/mine.py": METHOD, "method/mine.yaml": "name: mine\nhead: softmax\nstrength: 1.0\n",
        "source/blobs.py": BLOBS, "source/blobs.yaml": "name: blobs\n",
        "target/blobs.yaml": "name: blobs\nshift: 0.5\n",
        "table/tiny.yaml": TABLE,
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    yield folder
    the_map.look_in(None)


def config(method="dann", options=None, steps=6, seed=0, **train) -> Config:
    """A tiny run's config."""
    settings = {"batch_size": 8, "log_every": 2, "checkpoint_every": 2, "evaluations": 2, **train}
    return Config(
        method=options, source=None, target=None, model=ModelConfig(), train=TrainConfig(steps=steps, **settings),
        device=DeviceConfig(name="cpu"), data=DataConfig(), names={"method": method, "source": "a", "target": "b"},
        seed=seed,
    )  # fmt: skip


def images(count: int, channels: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 [count, channels, 28, 28] whose brightest third of the picture is its class, int64 [count]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    pixels = generator.integers(0, 90, size=(count, channels, 28, 28))
    for i, label in enumerate(labels):
        pixels[i, :, :, 9 * label : 9 * label + 9] += 120
    return torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels)


def problem(source: Role, target: Role, seed=0) -> Problem:
    """A three-class problem: grey source, coloured target, seen as a method asks."""
    views = {}
    for role, sees, channels in (("source", source, 1), ("target", target, 3)):
        pixels, labels = images(60, channels, seed=len(role) + channels)
        views[role] = (
            None if sees == "nothing" else Labelled(pixels, labels) if sees == LABELLED else Unlabelled(pixels)
        )
    return Problem(**views, classes=CLASSES, source_classes=CLASSES, seed=seed, kind=IMAGES)


def run(folder: Path, settings: Config, evaluate=lambda predictor: {}) -> Engine:
    """An engine that works in ``folder``."""
    return Engine(settings, RunFolder(folder), torch.device("cpu"), evaluate)


def dataset(count=60, channels=1, seed=0, classes=3) -> Dataset:
    pixels, labels = images(count, channels, seed, classes)
    return Dataset(pixels.numpy(), labels.numpy(), tuple(f"class {i}" for i in range(classes)), {"name": "synthetic"})


def labels_are_known(found: Found) -> bool:
    """Whether a data set says before it is loaded what labels and groups it will have."""
    assert found.labels is not None
    for split in ("train", "test"):
        before, loaded = found.labels(split), found.load(split)
        assert loaded.labels is not None and np.array_equal(before.labels, loaded.labels)
        assert (before.groups is None) == (loaded.groups is None)
        assert before.groups is None or np.array_equal(before.groups, loaded.groups)
    return True


# A server that has imported what runs need forks for each command, which is spared the seconds of a start.
_COMMANDS = multiprocessing.get_context("forkserver")
_COMMANDS.set_forkserver_preload(
    ["torch._dynamo", "sklearn.linear_model", "sklearn.manifold", "matplotlib.pyplot", "transferlab.cli",
     "transferlab.dispatch", "transferlab.methods.domain_adaptation.dann"]
)  # fmt: skip


def program(*words: str, cwd: Path, timeout: float = 200, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command, from the start of its interpreter to its end."""
    env = {**os.environ, "PYTHONWARNINGS": "default", **environment}
    return subprocess.run(
        [sys.executable, "-m", "transferlab", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout
    )


class Started:
    """The real command, begun in a process of its own that is forked; :func:`program` where it has children."""

    def __init__(self, *words: str, cwd: Path, **environment: str):
        self.words, self.said = words, tempfile.TemporaryDirectory()
        places = [Path(self.said.name) / name for name in ("out", "err")]
        self.process = _COMMANDS.Process(target=_main, args=(words, cwd, {**os.environ, **environment}, places))
        self.process.start()

    def end(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise subprocess.TimeoutExpired(self.words, timeout)
        with self.said as folder:
            said = [(Path(folder) / name).read_text(encoding="utf-8") for name in ("out", "err")]
        return subprocess.CompletedProcess(self.words, self.process.exitcode, *said)


def command(*words: str, cwd: Path, timeout: float = 200, **environment: str) -> subprocess.CompletedProcess[str]:
    """:class:`Started`, and waited for."""
    return Started(*words, cwd=cwd, **environment).end(timeout)


def done(*words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """:func:`command`, and insist on how it ends."""
    said = command(*words, cwd=cwd)
    assert said.returncode == code and "Traceback" not in said.stderr, said.stderr
    return said


def _main(words: Sequence[str], cwd: Path, env: Mapping[str, str], places: Sequence[Path]) -> None:
    """What ``python -m transferlab`` does in a new process with this folder and environment."""
    for stream, place in zip((sys.stdout, sys.stderr), places, strict=True):
        with place.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["transferlab", *words]
    warnings.resetwarnings()
    warnings.simplefilter("default")
    runpy.run_module("transferlab", run_name="__main__")
