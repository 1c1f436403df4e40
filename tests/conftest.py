"""Shared pieces of the tests: small synthetic problems, and where real data is."""

from __future__ import annotations

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

from transferlab.config import Config, DataConfig, DeviceConfig, ModelConfig, TrainConfig
from transferlab.data import Found
from transferlab.data.contract import IMAGES, Dataset
from transferlab.map import LABELLED, Role
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.runs import RunFolder
from transferlab.training.engine import Engine

torch.set_num_threads(1)
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
