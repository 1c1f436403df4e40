"""Data that does not hold what a run needs is one clear line, before any training."""

import dataclasses

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
    found = {role: data.Found(role, "full", both.classes, (1, 28, 28), lambda split: both)
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
