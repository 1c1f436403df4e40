"""What no method may do: look at a label that it does not see; and what each must: resume to the same bits."""

import dataclasses
import functools
import importlib
import json
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import config as settings
from tests.conftest import run
from transferlab import compatibility, data, dispatch, storage
from transferlab.cli import execute
from transferlab.config import Config, from_plain
from transferlab.data.contract import Dataset, Found
from transferlab.evaluation.evaluator import Evaluator, Truth
from transferlab.map import LABELLED, method_files, method_schema
from transferlab.runs import RunFolder
from transferlab.training.engine import Engine

METHODS = sorted(method_files())


OPTIONS = {
    "subspace_alignment": {"dims": [2, 4], "strengths": [0.1, 1.0], "samples": 200},
    "self_taught": {"atoms": 8, "iterations": 2, "strengths": [1.0]},
    "self_taught_clustering": {"samples": 60, "source_samples": 60, "restarts": 2},
    "zero_shot": {"margin": [0.2]}, "ale": {"margin": [1.0]},  # devise chooses among margins, in stages of their own
}  # fmt: skip


def tiny(method, root=None, **train):
    domains = {"source": {"name": "mnist"}, "target": {"name": "usps"}}
    if method_schema(method).sees.classes == "disjoint":
        domains = {"source": {"name": "awa1"}, "target": {"name": "awa1", "part": "unseen"}}
    if not method_schema(method).sees.net:
        train = {"batch_size": 8, **train}
    return from_plain({
        "method": {"name": method, **OPTIONS.get(method, {})}, **domains,
        "train": {"steps": 6, "batch_size": 8, "evaluations": 2, "log_every": 2, "checkpoint_every": 2, **train},
        "data": {"edition": "auto" if root else "sample", "root": root and str(root), "validation": 50},
        "model": {"width": 0.25}, "device": {"name": "cpu", "threads": 1}, "figures": False,
    })  # fmt: skip


def outcome(folder):
    tensors, _ = storage.read(folder / "checkpoints" / "predictor.safetensors")
    record = json.loads((folder / "results.json").read_text())
    return tensors, record


def scrambled(monkeypatch, roles, of_split="train"):
    """Make ``find`` hand out the labels of a split in another order for the data sets named."""
    real = data.find

    def find(name, options, settings):
        found = real(name, options, settings)
        if name not in roles:
            return found

        def load(split):
            d = found.load(split)
            if split != of_split:
                return d
            labels = np.random.default_rng(1).permutation(d.labels)
            assert (labels != d.labels).mean() > 0.3
            return dataclasses.replace(d, labels=labels)

        return dataclasses.replace(found, load=load)

    monkeypatch.setattr(data, "find", find)


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_a_method_does_not_see_change_nothing(tmp_path, no_data, monkeypatch, animals, method):
    sees = method_schema(method).sees
    config = tiny(method, animals if sees.classes == "disjoint" else None)
    execute(config, RunFolder(tmp_path / "true"), parallel=True)
    # Where it sees the source's labels the evaluator does too (held-out source accuracy).
    scrambled(monkeypatch, {"usps"} if sees.source == LABELLED else {"usps", "mnist"})
    execute(config, RunFolder(tmp_path / "scrambled"), parallel=True)
    one, two = outcome(tmp_path / "true"), outcome(tmp_path / "scrambled")
    same = all((one[0][k] == two[0][k]).all() for k in one[0])
    assert same == (sees.target != LABELLED)
    if sees.target != LABELLED:
        for record in (one[1], two[1]):
            del record["seconds"], record["images_per_second"]
        assert one[1] == two[1]


@pytest.mark.parametrize("method", METHODS)
def test_no_test_label_changes_a_weight(tmp_path, no_data, monkeypatch, animals, method):
    config = tiny(method, animals if method_schema(method).sees.classes == "disjoint" else None)
    execute(config, RunFolder(tmp_path / "true"), parallel=True)
    scrambled(monkeypatch, {"mnist", "usps", "awa1"}, "test")
    execute(config, RunFolder(tmp_path / "scrambled"), parallel=True)
    one, two = outcome(tmp_path / "true"), outcome(tmp_path / "scrambled")
    assert all((one[0][k] == two[0][k]).all() for k in one[0])


def reached(*begin):
    """All objects that attributes, items and closures lead to, without what modules and classes hold."""
    found, waiting = {}, list(begin)
    while waiting:
        thing = waiting.pop()
        if id(thing) in found or isinstance(thing, type | types.ModuleType | str | bytes | int | float | np.dtype):
            continue
        found[id(thing)] = thing
        waiting += getattr(thing, "__dict__", {}).values()
        waiting += [getattr(thing, name, None) for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        if isinstance(thing, dict):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif isinstance(thing, types.MethodType):
            waiting += [thing.__self__, thing.__func__]
        elif isinstance(thing, types.FunctionType):
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()] + list(thing.__defaults__ or ())
        elif isinstance(thing, functools.partial):
            waiting += [thing.func, thing.args, thing.keywords]
    return list(found.values())


@pytest.mark.parametrize("method", METHODS)
def test_nothing_that_a_method_is_handed_leads_to_test_data_or_the_runs_folder(
    tmp_path, no_data, monkeypatch, animals, method
):
    module = importlib.import_module(method_schema(method).module)
    truths, handed = [], []
    prepare, fit = dispatch.prepare, module.fit
    monkeypatch.setattr(dispatch, "prepare", lambda *given: truths.append(prepare(*given)) or truths[0])

    def watched(config, problem, run):
        predictor = fit(config, problem, run)
        handed.extend(
            reached(config, problem, run, predictor, run.train, problem.batches(1, 1))
        )  # as training left them
        return predictor

    monkeypatch.setattr(module, "fit", watched)
    folder = RunFolder(tmp_path / "run")
    execute(tiny(method, animals if method_schema(method).sees.classes == "disjoint" else None), folder, parallel=True)
    assert folder.status["status"] in ("finished", "collapsed"), folder.status
    truth = truths[0][1]
    secret = {view.inputs.data_ptr() for view in (truth.source_test, truth.target_test)}
    secret |= {view.labels.data_ptr() for view in (truth.source_test, truth.target_test)}
    assert len(handed) > 20
    tensors = [thing for thing in handed if isinstance(thing, torch.Tensor)]
    assert not [t for t in tensors if t.data_ptr() in secret]
    forbidden = (RunFolder, Path, Engine, Evaluator, Truth, Dataset, Found, Config)
    assert not [type(thing) for thing in handed if isinstance(thing, forbidden)]
    assert not [thing for thing in handed if isinstance(thing, dict) and any("accuracy" in str(key) for key in thing)]


def test_what_an_engine_holds_would_be_found(tmp_path):
    things = reached(run(tmp_path, settings()).train)
    assert any(isinstance(thing, RunFolder) for thing in things) and any(isinstance(thing, Config) for thing in things)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_resumes_to_the_same_bits(tmp_path, no_data, monkeypatch, animals, method):
    config = tiny(method, animals if method_schema(method).sees.classes == "disjoint" else None)
    execute(config, RunFolder(tmp_path / "whole"), parallel=True)
    calls = []
    real = storage.write

    def failing(path, *rest):
        calls.append(path)
        if len(calls) == 2:  # as sudden as a full disk, while the second checkpoint is written
            raise OSError("disk full")
        real(path, *rest)

    monkeypatch.setattr(storage, "write", failing)
    execute(config, RunFolder(tmp_path / "cut"), parallel=True)
    assert RunFolder(tmp_path / "cut").status["status"] == "failed"
    execute(config, RunFolder(tmp_path / "cut"), parallel=True)
    one, two = outcome(tmp_path / "whole"), outcome(tmp_path / "cut")
    assert all((one[0][k] == two[0][k]).all() for k in one[0])
    assert one[1]["target_accuracy"] == two[1]["target_accuracy"]
    assert one[1].get("chosen_by_bnm") == two[1].get("chosen_by_bnm")


def test_an_oracle_is_called_oracle_and_never_the_headline(tmp_path, no_data):
    execute(tiny("dann"), RunFolder(tmp_path / "r"), parallel=True)
    record = outcome(tmp_path / "r")[1]
    assert record["oracle_target_accuracy"] >= record["target_accuracy"]
    last = RunFolder(tmp_path / "r").read_metrics()[-1]
    assert record["target_accuracy"] == pytest.approx(last["target_accuracy"])


def test_plan_names_a_job_by_everything_that_determines_it(no_data):
    base = tiny("dann")
    names = {c.fingerprint(compatibility.digests(c)) for c in (base, tiny("dann", lr=0.02), tiny("dann", log_every=5))}
    assert len(names) == 2
