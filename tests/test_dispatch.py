"""Data that does not hold what a run needs is one clear line, before any training."""

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import dataset
from transferlab import compatibility, data, dispatch, plan
from transferlab.config import from_plain
from transferlab.data.contract import IMAGES, Dataset
from transferlab.errors import UserError
from transferlab.jobs import execute
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.runs import RunFolder


def settings(**target):
    return from_plain({
        "method": {"name": "finetune"}, "source": {"name": "mnist"}, "target": {"name": "usps", **target},
        "data": {"validation": 10}, "device": {"name": "cpu"},
    })  # fmt: skip


def prepare(both, sees=LABELLED, **target):
    """Both domains prepared from the data set ``both``, the target seen as ``sees``."""
    found = {role: data.Found(role, "full", both.classes, IMAGES, (1, 28, 28), lambda split: both, "")
             for role in ("source", "target")}  # fmt: skip
    return dispatch.prepare(settings(**target), Sees(UNLABELLED, sees, classes="any"), torch.device("cpu"), found)


def test_a_class_without_training_samples_is_named():
    whole = dataset()
    without = dataclasses.replace(whole, classes=("class 0", "class 1", "class 2", "nobody"))
    with pytest.raises(UserError, match="target=usps: class nobody has no training samples"):
        prepare(without)
    prepare(whole)
    prepare(without, UNLABELLED)  # whose labels decide nothing


def test_more_samples_than_a_class_has():
    with pytest.raises(UserError, match=r"per_class=60: class class 0 has only \d+ samples"):
        prepare(dataset(), per_class=60)
    problem, _, _ = prepare(dataset(), per_class=4)
    assert np.bincount(problem.target.labels).tolist() == [4, 4, 4]


def refusal(*words):
    """What is said of a command's data before its run begins; nothing where it may begin."""
    try:
        compatibility.find(plan.config_of(["method=finetune", "data.download=false", *words]))
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def own(path, **counts):
    """Words for vectors of classes with so many training and test rows each, in both domains."""
    labels = [name for name, (train, test) in counts.items() for _ in range(train + test)]
    parts = [part for train, test in counts.values() for part in ["train"] * train + ["test"] * test]
    np.savez(path, features=np.random.default_rng(0).normal(size=(len(labels), 3)), labels=labels, split=parts)
    return ["model=mlp", *(f"{role}{word}" for role in ("source", "target")
                           for word in ("=features", f".path={path}", ".split=split"))]  # fmt: skip


def test_what_training_would_refuse_is_refused_before_a_run(tmp_path, no_data):
    """Where labels are known before they are loaded, validation's share of them is known too."""
    words = own(tmp_path / "own.npz", a=(20, 2), b=(9, 2), c=(20, 2))
    said = []
    for wanted in (6, 7, 8, 9, 10):
        settings = plan.config_of(["method=finetune", *words, f"target.per_class={wanted}"])
        found = compatibility.find(plan.config_of(["method=finetune", *words]))
        try:
            dispatch.prepare(settings, Sees(LABELLED, LABELLED), torch.device("cpu"), found)
            said.append("")
        except UserError as error:
            said.append(str(error))
        assert refusal(*words, f"target.per_class={wanted}") == said[-1]
    assert said[0] == "" and said[-1] == "target.per_class=10: class b has only 8 samples to train on"


def test_data_that_cannot_do_is_refused_before_a_run(tmp_path, no_data, animals):
    digits = ["source=mnist", "target=usps", "data.edition=sample"]
    assert "target.per_class=5000: class 0 has only" in refusal(*digits, "target.per_class=5000")
    assert refusal(*digits, "target.per_class=5") == ""
    words = own(tmp_path / "own.npz", a=(5, 3), b=(5, 0), c=(5, 0))
    few = "target=features: none of its test samples is of these classes"
    assert refusal(*words, "source.classes=[b,c]", "target.classes=[b,c]", "method=source_only") == few.replace(
        "target", "source"
    )
    unseen = [f"data.root={animals}", "source=awa1", "target=awa1", "target.part=unseen", "model=mlp"]
    assert "target=awa1: class animal1, animal5 has no training samples" in refusal(*unseen)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (9, 9), 50 * i).save(tmp_path / "pictures" / name / f"{i}.png")
    folders = [f"{role}{word}" for role in ("source", "target") for word in ("=folder", f".root={tmp_path}/pictures")]
    assert refusal(*folders) == ""
    (tmp_path / "pictures" / "light" / "3.jpg").write_bytes(b"<html>not found</html>")
    assert f"{tmp_path}/pictures/light/3.jpg: not a readable image" in refusal(*folders)


TINY = ("train.steps=2", "train.batch_size=4", "train.evaluations=1", "device.name=cpu", "device.threads=1",
        "figures=false", "store=null", "model.hidden=[8]")  # fmt: skip


@pytest.mark.parametrize("method", ["dann", "deep_coral", "source_only", "subspace_alignment", "finetune", "multitask"])
def test_without_validation_images_a_run_has_no_validators(tmp_path, no_data, method):
    """Whether nothing is to be held out, or nothing can be, since no class gives its only training sample away."""
    words = own(tmp_path / "own.npz", a=(8, 2), b=(8, 2), c=(8, 2))
    few = own(tmp_path / "few.npz", a=(1, 1), b=(1, 1), c=(9, 1))
    for name, chosen in (("none", [*words, "data.validation=0"]), ("few", few)):
        folder = RunFolder(tmp_path / name)
        execute(plan.config_of([f"method={method}", *chosen, *TINY]), folder, parallel=True)
        assert folder.status["status"] in ("finished", "collapsed"), folder.status
        assert "chosen_by_entropy" not in folder.results and folder.results["target_test_count"] in (3, 6)


def test_a_validator_needs_something_to_choose_by(tmp_path, no_data):
    words = own(tmp_path / "own.npz", a=(20, 2), b=(20, 2))
    chosen = ["method=dann", "select=entropy", *words]
    assert refusal(*chosen) == ""
    few = "select=entropy: of the source 0 are held out to choose by, and 2 are needed; see data.validation"
    assert refusal(*chosen, "data.validation=0") == few
    one = own(tmp_path / "one.npz", a=(9, 2), b=(9, 2))
    assert "of the source 1 are held out" in refusal("method=dann", "select=entropy", *one)


@pytest.mark.parametrize(("label", "classes"), [(3, 3), (-1, 3)])
def test_labels_out_of_range_are_refused(label, classes):
    names = tuple("abc"[:classes])
    with pytest.raises(UserError, match=f"mine: label {label} is out of range; {classes} classes allow 0 to"):
        Dataset(np.zeros((2, 4), np.float32), np.array([0, label]), names, {"name": "mine"})


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is what torch brings on Linux")
def test_waiting_threads_do_not_hold_a_busy_core():
    """What libgomp says of itself as it is loaded: a short spin, unless the user wants another way of waiting."""
    library = next(Path(torch.__file__).parent.glob("lib/libgomp*"))
    line = f"import ctypes, transferlab; ctypes.CDLL({str(library)!r})"
    for chosen, spins in (({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")):
        clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
        env = {**clean, "OMP_DISPLAY_ENV": "verbose", **chosen}
        said = subprocess.run([sys.executable, "-c", line], env=env, capture_output=True, text=True).stderr
        assert f"GOMP_SPINCOUNT = '{spins}'" in said


def test_a_run_inside_its_own_data_and_a_store_that_is_a_file_are_refused_before_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, i in itertools.product(("bar", "disc"), range(3)):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), 40 * i).save(tmp_path / name / f"{i}.png")
    words = ["method=source_only", "source=folder", "target=folder", "source.root=.", f"target.root={tmp_path}"]
    for more in ([], ["-m"], ["hydra.run.dir=bar/run"]):
        with pytest.raises(UserError, match=r"source=folder: .* would lie in it and be taken for a class; choose"):
            plan.jobs(plan.arguments([*more, *words]))
    elsewhere = f"hydra.run.dir={tmp_path.parent}/elsewhere"
    with pytest.raises(UserError, match=r"source=folder: outputs/.store would lie in it .* with store="):
        plan.jobs(plan.arguments([*words, elsewhere]))
    assert plan.jobs(plan.arguments([*words, elsewhere, "store=null"]))
    (tmp_path.parent / "file").write_text("")
    here = [word.replace("root=.", "root=bar/..").replace(f"root={tmp_path}", "root=bar/..") for word in words]
    for name in ("file", "file/sub"):
        with pytest.raises(UserError, match=f"store={tmp_path.parent}/{name}: .*file is not a folder; choose another"):
            plan.jobs(plan.arguments([*here, elsewhere, f"store={tmp_path.parent}/{name}"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bar", "disc"]
    for part, name in itertools.product(("train", "test"), ("bar", "disc")):  # beside these it is no class
        (tmp_path / part).mkdir(exist_ok=True)
        shutil.copytree(tmp_path / name, tmp_path / part / name)
    for name in ("bar", "disc"):
        shutil.rmtree(tmp_path / name)
    assert plan.jobs(plan.arguments(words))
