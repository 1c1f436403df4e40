"""Data that does not hold what a run needs is one clear line, before any training."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import dataset
from transferlab import data, dispatch
from transferlab.config import LABELLED, UNLABELLED, Sees, from_plain
from transferlab.data.dataset import Dataset
from transferlab.errors import UserError


def settings(**target):
    return from_plain({
        "method": {"name": "finetune"}, "source": {"name": "mnist"}, "target": {"name": "usps", **target},
        "data": {"validation": 10}, "device": {"name": "cpu"},
    })  # fmt: skip


def prepare(both, sees=LABELLED, **target):
    """Both domains prepared from the data set ``both``, the target seen as ``sees``."""
    found = {role: data.Found(role, "full", both.classes, (1, 28, 28), lambda split: both, "")
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
