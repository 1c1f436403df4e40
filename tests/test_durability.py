"""A run that was killed, whenever that was, and goes on ends as one that was never stopped."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Started
from transferlab import storage
from transferlab.cli import resume
from transferlab.config import from_plain
from transferlab.errors import UserError
from transferlab.evaluation import figures
from transferlab.jobs import execute
from transferlab.models import predictor as predictors
from transferlab.reports.sweeps import finished
from transferlab.runs import DONE, RunFolder

FAMILIES = {
    "dann": {},
    "subspace_alignment": {"dims": [2, 3], "store": True},
    "finetune": {"store": True},
    "conservative": {"target": "tasks", "warmup": 4, "store": True},
    "multitask": {"source": "tasks"},
    "progressive": {"source": "tasks"},
    "eszsl": {"source": "seen", "target": "unseen", "figures": True},
    "devise": {"source": "seen", "target": "unseen", "margin": [0.5, 1.0]},
    "self_taught": {"atoms": 8, "iterations": 2, "strengths": [1.0], "store": True},
    "self_taught_clustering": {"restarts": 2, "feature_clusters": 3},
}
TRIED = 4
"""How many of the moments at which a method's run may be killed are tried, others for each method; with ALL=1, all."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Feature files, in which a class is a direction: two domains, two tasks, seen and unseen classes."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    for name, classes in (
        ("one", ["a", "b", "c"]), ("other", ["a", "b", "c"]), ("tasks", ["p/a", "p/b", "q/c", "q/d"]),
        ("seen", [f"seen {i}" for i in range(6)]), ("unseen", ["new 0", "new 1"]),
    ):  # fmt: skip
        labels = np.arange(12 * len(classes)) % len(classes)
        features = rng.uniform(0, 1, (len(labels), 6)) + 2 * np.eye(len(classes), 6)[labels]
        described = {"signatures": rng.normal(size=(len(classes), 4))} if "seen" in name else {}
        np.savez(folder / name, features=features.astype("f4"), labels=np.array(classes)[labels], **described)
    return folder


def tiny(files, place, method, source="one", target="other", store=False, figures=False, **options):
    """A run's config, whose store is in ``place``."""
    described = {"signatures": "signatures"} if source == "seen" else {}
    return from_plain({
        "method": {"name": method, **options},
        "source": {"name": "features", "path": str(files / f"{source}.npz"), **described},
        "target": {"name": "features", "path": str(files / f"{target}.npz"), **described},
        "model": {"name": "mlp"}, "data": {"validation": 10}, "device": {"name": "cpu", "threads": 1},
        "train": {"steps": 6, "batch_size": 8, "evaluations": 2, "log_every": 2, "checkpoint_every": 2},
        "store": str(place / "store") if store else None, "figures": figures,
    })  # fmt: skip


def copies_at_each_write(monkeypatch, place):
    """From now on the folder ``place`` is copied before each renaming of a file; the list of copies, as it grows."""
    copies, real = [], Path.replace

    def replace(path, target):
        copies.append(shutil.copytree(place, place.with_name(f"{place.name}-{len(copies)}")))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return copies


def timeless(record):
    """Without what is a time, at any depth."""
    if isinstance(record, dict):
        times = ("seconds", "images_per_second")
        return {key: timeless(value) for key, value in record.items() if key not in times}
    return [timeless(part) for part in record] if isinstance(record, list) else record


def outcome(folder):
    """Everything that a run leaves but times: its records, rows, tensors with their texts, and points of figures."""
    run = RunFolder(folder)
    left = {"status": run.status["status"], "rows": timeless(run.read_metrics()), "points": {}}
    for name in ("results", "data"):
        left[name] = timeless(json.loads((folder / f"{name}.json").read_text()))
    for path in sorted((folder / "checkpoints").iterdir()):
        tensors, texts = storage.read(path)
        texts = {key: timeless(json.loads(text)) if text[:1] == "{" else text for key, text in texts.items()}
        left[path.name] = {key: tensor.tolist() for key, tensor in tensors.items()}, texts
    for path in folder.glob("figures/*.csv"):
        left["points"][path.name] = path.read_text()
    return left


@pytest.mark.parametrize("method", FAMILIES)
def test_killed_at_any_write_and_gone_on_equals_never_stopped(tmp_path, files, monkeypatch, method):
    place = tmp_path / "whole"
    with monkeypatch.context() as patch:
        copies = copies_at_each_write(patch, place)
        execute(tiny(files, place, method, **FAMILIES[method]), RunFolder(place / "run"), parallel=True)
    whole = outcome(place / "run")
    assert whole["status"] in DONE and len(copies) >= 10
    every = 1 if os.environ.get("ALL") else max(1, len(copies) // TRIED)
    for copy in copies[list(FAMILIES).index(method) % every :: every]:
        execute(tiny(files, copy, method, **FAMILIES[method]), RunFolder(copy / "run"), parallel=True)
        left = outcome(copy / "run")
        for name in whole.keys() | left.keys():
            assert left.get(name) == whole.get(name), (copy, name)
        assert not list(copy.rglob("*.part")), copy


MANGLED = {
    "flipped": lambda content: bytes(byte ^ (place == len(content) // 2) for place, byte in enumerate(content)),
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "of another shape": lambda content: b"[1, 2]\n",
    "with another digit": lambda content: re.sub(rb"(\d)(?=\D*$)", lambda m: b"%d" % (9 - int(m[1])), content, count=1),
    "of a few keys": lambda content: b'{"status": "finished", "files": {}}\n',
}  # fmt: skip


@pytest.fixture(scope="module")
def two_runs(files, tmp_path_factory):
    """The places of a run that has ended, and of one that was killed in its second stage."""
    place = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        copies = copies_at_each_write(patch, place)
        execute(tiny(files, place, "finetune"), RunFolder(place / "run"), parallel=True)
    begun = [copy for copy in copies if (copy / "run" / "checkpoints" / "stage-source.safetensors").exists()]
    return {"finished": place, "killed": begun[8]}


@pytest.mark.parametrize("which", ["finished", "killed"])
def test_a_mangled_file_is_found_and_what_was_in_it_made_again(tmp_path, files, two_runs, which, caplog):
    whole = outcome(two_runs["finished"] / "run")
    names = [p.relative_to(two_runs[which]) for p in sorted((two_runs[which] / "run").rglob("*"))
             if p.is_file() and p.name not in ("run.log", ".lock")]  # fmt: skip
    if which == "finished":  # and its checkpoints are not read again
        names = [name for name in names if name.parent.name != "checkpoints" or name.stem == "predictor"]
    assert len(names) >= 5
    damages = [(name, kind) for place, name in enumerate(names) for kind in sorted(MANGLED)[place % 3 :: 3]]
    damages += list(zip(names, names[1:] + names[:1], strict=True))  # each put in the next one's place
    for number, (name, kind) in enumerate(damages):
        place = shutil.copytree(two_runs[which], tmp_path / str(number))
        content = (place / name).read_bytes()
        other = (place / kind).read_bytes() if isinstance(kind, Path) else MANGLED[kind](content)
        (place / name).write_bytes(other)
        assert not finished(place), name  # nothing is told of it in a comparison
        caplog.clear()
        execute(tiny(files, place, "finetune"), RunFolder(place / "run"), parallel=True)
        left = outcome(place / "run")
        assert {key: left[key] == whole[key] for key in left} == dict.fromkeys(whole, True), (name, kind)


def test_a_picture_that_cannot_be_drawn_costs_itself_alone(tmp_path, files, monkeypatch, capfd):
    def confusion_matrix(*_):
        raise MemoryError("Unable to allocate 9.2 GiB\nfor an array")

    monkeypatch.setattr(figures, "confusion_matrix", confusion_matrix)
    folder = tmp_path / "run"
    execute(tiny(files, tmp_path, "eszsl", "seen", "unseen", figures=True), RunFolder(folder), parallel=True)
    said = [line for line in capfd.readouterr().err.splitlines() if "drawn" in line]
    assert said == ["run: no confusion matrix drawn (MemoryError: Unable to allocate 9.2 GiB for an array)"]
    assert RunFolder(folder).status["status"] in DONE and (folder / "figures" / "features.csv").exists()
    assert {"results.json", "metrics.csv"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["config.json", "status.json"])
def test_a_run_whose_own_words_are_lost_is_notresumed(tmp_path, two_runs, name):
    place = shutil.copytree(two_runs["killed"] / "run", tmp_path / "run")
    path = place / name
    path.write_bytes(MANGLED["with another digit"](path.read_bytes()))
    with pytest.raises(
        UserError, match=f"resume=.*{name}: changed since it was written.*; start the run again"
    ) as error:
        resume(place)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", MANGLED)
def test_a_mangled_predictor_is_one_line(tmp_path, two_runs, kind):
    checkpoints = two_runs["finished"] / "run" / "checkpoints"
    path = tmp_path / "predictor.safetensors"
    path.write_bytes(MANGLED[kind]((checkpoints / "predictor.safetensors").read_bytes()))
    shutil.copy(checkpoints / "stage-source.safetensors", tmp_path / "stage.safetensors")
    for place in (path, tmp_path / "stage.safetensors"):
        with pytest.raises(UserError, match=place.name) as error:
            predictors.load(place)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "left",
    [
        (), (".lock",), (".lock", ".hydra", "run.log"), ("config.json",), (".config.json.7.part",),
        ("config.json", ".status.json.7.part", "figures"),
    ],
)  # fmt: skip
def test_a_run_that_died_before_it_began_begins_again(tmp_path, files, two_runs, left):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in left:
        if name in (".hydra", "figures"):
            (folder / name).mkdir()
        else:
            shutil.copy(two_runs["finished"] / "run" / "config.json", folder / name)
    execute(tiny(files, tmp_path, "finetune"), RunFolder(folder), parallel=True)
    assert outcome(folder)["results"] == outcome(two_runs["finished"] / "run")["results"]
    assert not list(folder.glob("*.part"))


def test_anothers_folder_is_left_alone(tmp_path, files, two_runs):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "figures").mkdir()
    (tmp_path / "thesis" / "figures" / "mine.png").write_bytes(b"")
    other = shutil.copytree(two_runs["finished"] / "run", tmp_path / "other")
    (other / "status.json").write_text("{}")  # whose config says that it is another's all the same
    for folder in (tmp_path / "thesis", other):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        execute(tiny(files, tmp_path, "multitask"), RunFolder(folder), parallel=True)
        before.pop(folder / "run.log", None)  # which says so
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("room_for", [0, 1, 2, 5, 9, 14])
def test_a_full_disk_fails_the_run_in_one_line_and_nothing_is_lost(
    tmp_path, files, two_runs, monkeypatch, capfd, room_for
):
    with monkeypatch.context() as patch:
        written = []

        def fsync(file):
            written.append(file)
            if len(written) > room_for:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "fsync", fsync)
        execute(tiny(files, tmp_path, "finetune"), RunFolder(tmp_path / "run"), parallel=True)
    said = [line for line in capfd.readouterr().err.splitlines() if "run: failed: No space left on device: " in line]
    assert len(said) == 1 and not list(tmp_path.rglob("*.part"))
    status = RunFolder(tmp_path / "run").status
    if room_for < 2:  # not even for a config and a first status
        assert not status
    else:
        assert status["status"] == "failed" and status["reason"].startswith("No space left on device: ")
    execute(tiny(files, tmp_path, "finetune"), RunFolder(tmp_path / "run"), parallel=True)
    assert outcome(tmp_path / "run") == outcome(two_runs["finished"] / "run")


def words(files, **options):
    """A tiny run's words on the command line."""
    more = {"train.steps": 6, "train.batch_size": 8, "train.checkpoint_every": 2, "train.log_every": 2} | options
    return [
        "method=source_only", "model=mlp", "source=features", "target=features", f"source.path={files / 'one.npz'}",
        f"target.path={files / 'other.npz'}", "data.validation=10", "device=cpu", "device.threads=1", "figures=false",
        "store=null", *(f"{key}={value}" for key, value in more.items()),
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="limits are of POSIX")
def test_a_sweep_whose_files_do_not_fit_goes_on_and_prints_its_table(tmp_path, files):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from transferlab.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", *words(files, seed="0,1")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Error" not in done.stderr
    assert "0/2" in done.stdout and "failed: File too large: " in done.stdout and "summary.csv" in done.stdout
    statuses = [json.loads(path.read_text())["status"] for path in tmp_path.glob("outputs/sweep/*/status.json")]
    assert statuses == ["failed", "failed"] and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_to_be_that(tmp_path, files, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match=r"run: its file system has no locks \(.*\); choose a folder on") as error:
        folder.claim(tiny(files, tmp_path, "finetune"), {})
    assert "\n" not in str(error.value) and not folder.claimed


def test_a_system_without_fcntl_has_locks(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = None\nfrom pathlib import Path\nfrom transferlab import locks\n"
        f"one = locks.acquire(Path({str(tmp_path / 'x.lock')!r})); assert one and one.is_locked; one.release()"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_starts_of_one_sweep_run_nothing_twice(tmp_path, files):
    sweep = ["-m", *words(files, seed="0,1", **{"train.steps": 300})]
    both = [begun.end(300) for begun in [Started(*sweep, cwd=tmp_path) for _ in range(2)]]
    assert [done.returncode for done in both] == [0, 0], both
    with (tmp_path / "outputs" / "sweep" / "summary.csv").open() as file:
        assert all(float(row["target_accuracy"]) >= 0 for row in csv.DictReader(file))
    logs = [path.read_text() for path in tmp_path.glob("outputs/sweep/*/run.log")]
    assert len(logs) == 2 and [log.count("data ready in") for log in logs] == [1, 1]


def test_a_killed_parents_workers_stop_at_a_checkpoint(tmp_path, files):
    command = [sys.executable, "-m", "transferlab", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    options = {"train.steps": 10**6, "train.checkpoint_every": 10**6, "train.log_every": 50, "train.evaluations": 1}
    with subprocess.Popen(
        [*command, *words(files, seed="0,1,2", **options)], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as parent:  # fmt: skip
        until(lambda: len(list(tmp_path.glob("outputs/sweep/*/data.json"))) == 2)
        parent.send_signal(signal.SIGTERM)
        parent.wait(60)
        begun = [path.parent for path in tmp_path.glob("outputs/sweep/*/data.json")]
        until(lambda: all(RunFolder(folder).status["status"] == "interrupted" for folder in begun))
        until(lambda: group_is_gone(parent.pid))
    assert len(begun) == 2 and all((folder / "checkpoints" / "last.safetensors").exists() for folder in begun)
    assert len(list(tmp_path.glob("outputs/sweep/*/status.json"))) == 2  # the third was not begun


def until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def group_is_gone(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return True
    return False
