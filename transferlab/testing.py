"""What every method must bear, shipped or a stranger's own: proofs on tiny runs of the packaged samples.

    from transferlab.testing import check_method

    def test_mine(tmp_path):
        check_method("mine", tmp_path, config_dir="my/conf")

Each proof raises AssertionError and says what the method has done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from transferlab import data, dispatch, storage
from transferlab.config import Config, from_plain
from transferlab.data.contract import Dataset, Found
from transferlab.data.stored import Stored
from transferlab.evaluation.evaluator import Evaluator, Truth
from transferlab.inputs import Mapped
from transferlab.jobs import execute
from transferlab.map import LABELLED, look_in, method_schema
from transferlab.runs import DONE, RunFolder
from transferlab.training.engine import Engine

SCRAMBLED = 0.3
"""The least share of labels that scrambling must change; with two even classes it is a half on average."""


def check_method(
    name: str, folder: str | Path, config_dir: str | Path | None = None, options: Mapping[str, Any] | None = None
) -> None:
    """All proofs for method ``name`` with ``options``, in runs below ``folder``, which should be empty.

    config_dir: where its module and YAML lie, if it is not shipped or installed.
    """
    look_in(config_dir)
    folder = Path(folder)
    config = tiny(name, options or {})
    unseen_labels_change_nothing(config, folder / "unseen")
    tests_change_no_weight(config, folder / "tests")
    nothing_leads_to_what_is_kept_from_it(config, folder / "reached")
    resumes_to_the_same_bits(config, folder / "resumed")
    inputs_in_a_file_change_nothing(config, folder / "in files")


def tiny(name: str, options: Mapping[str, Any], **train: Any) -> Config:
    """A run of six steps on packaged samples that suit the method's place on the map."""
    sees = method_schema(name).sees
    source, target = ("emnist_letters", "mnist") if sees.classes == "disjoint" else ("mnist", "usps")
    settings = {"steps": 6, "batch_size": 8, "evaluations": 2, "log_every": 2, "checkpoint_every": 2, **train}
    return from_plain({
        "method": {"name": name, **options}, "source": {"name": source}, "target": {"name": target},
        "train": settings, "data": {"edition": "sample", "validation": 50}, "figures": False,
        "model": {"name": "ganin_mnist", "width": 0.25}, "device": {"name": "cpu", "threads": 1},
    })  # fmt: skip


def unseen_labels_change_nothing(config: Config, folder: Path) -> None:
    """Training labels that the method does not see may be scrambled: every weight and figure stays as it is."""
    sees = method_schema(config.names["method"]).sees
    hidden = {role for role in ("source", "target") if getattr(sees, role) != LABELLED}
    if not hidden:
        return
    one = finished(config, folder / "true")
    with scrambled({config.names[role] for role in hidden}, "train"):
        two = finished(config, folder / "scrambled")
    same_weights(one, two, f"labels of the {' and '.join(sorted(hidden))} have reached the method")
    assert timeless(one) == timeless(two), "labels that the method does not see have changed what is measured of it"


def tests_change_no_weight(config: Config, folder: Path) -> None:
    """Labels and inputs of both domains' tests may be others: every weight stays as it is."""
    one = finished(config, folder / "true")
    with scrambled(set(config.names.values()), "test"):
        two = finished(config, folder / "scrambled")
    same_weights(one, two, "test labels have reached the method")
    with changed(_other_inputs):
        three = finished(config, folder / "other inputs")
    same_weights(one, three, "test inputs have reached the method")


def nothing_leads_to_what_is_kept_from_it(config: Config, folder: Path) -> None:
    """Whatever the method is handed or returns leads to no test input or label, no measured accuracy and no folder."""
    module = method_schema(config.names["method"]).module
    prepare, fit = dispatch.prepare, module.fit
    truths: list[Truth] = []
    handed: list[Any] = []

    def prepared(*given: Any) -> Any:
        made = prepare(*given)
        truths.append(made[1])
        return made

    def watched(config: Any, problem: Any, run: Any) -> Any:
        predictor = fit(config, problem, run)
        handed.extend(reached(config, problem, run, predictor, run.train, problem.batches(1, 1)))  # as training left it
        return predictor

    with mock.patch.object(dispatch, "prepare", prepared), mock.patch.object(module, "fit", watched):
        finished(config, folder / "run")
    tests = [part for view in (truths[0].source_test, truths[0].target_test) for part in vars(view).values()]
    secret = {tensor.data_ptr() for tensor in tests if isinstance(tensor, torch.Tensor)}
    assert not [t for t in handed if isinstance(t, torch.Tensor) and t.data_ptr() in secret], "test data was reached"
    assert not [t for t in handed if isinstance(t, Mapped) and any(t is part for part in tests)], (
        "test data was reached"
    )
    forbidden = (RunFolder, Path, Engine, Evaluator, Truth, Dataset, Found, Config, Stored, np.memmap)
    kinds = {type(thing).__name__ for thing in handed if isinstance(thing, forbidden)}
    assert not kinds, f"{', '.join(sorted(kinds))}: the method can reach it"
    measured = [thing for thing in handed if isinstance(thing, dict) and any("accuracy" in str(key) for key in thing)]
    assert not measured, "measured accuracies were reached"


def resumes_to_the_same_bits(config: Config, folder: Path) -> None:
    """A run that fails while its second file of tensors is written goes on to the same weights and figures."""
    whole, resumed = finished(config, folder / "whole"), cut_and_resumed(config, folder / "cut")
    same_weights(whole, resumed, "a resumed run ends with other weights")
    assert timeless(whole) == timeless(resumed), "a resumed run ends with another record"


def inputs_in_a_file_change_nothing(config: Config, folder: Path) -> None:
    """Inputs that stay in a file end with the weights and figures of those in memory, in a run that was cut off too."""
    whole = finished(config, folder / "in memory")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, resident=0.0))
    with in_files(folder):
        nothing_leads_to_what_is_kept_from_it(config, folder / "reached")
        mapped = cut_and_resumed(config, folder / "cut")
    same_weights(whole, mapped, "inputs that stay in a file lead to other weights")
    assert timeless(whole) == timeless(mapped), "inputs that stay in a file lead to another record"


def cut_and_resumed(config: Config, path: Path) -> RunFolder:
    """The folder of a run that failed while its second file of tensors was written, and went on to its end."""
    cut, calls, write = RunFolder(path), 0, storage.write

    def failing(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("disk full")
        write(*given)

    with mock.patch.object(storage, "write", failing):
        execute(config, cut, parallel=True)
    assert cut.status["status"] == "failed", cut.status
    return finished(config, cut.path)


def finished(config: Config, path: Path) -> RunFolder:
    """The folder of a run of ``config``, which must come to its end."""
    folder = RunFolder(path)
    execute(config, folder, parallel=True)
    assert folder.status.get("status") in DONE, folder.status
    return folder


def timeless(folder: RunFolder) -> dict[str, Any]:
    """A run's results without how long it took."""
    return {key: value for key, value in folder.results.items() if key not in ("seconds", "images_per_second")}


def same_weights(one: RunFolder, two: RunFolder, otherwise: str) -> None:
    """Raise where two runs' predictors are not equal bit for bit."""
    tensors = [storage.read(f.path / "checkpoints" / "predictor.safetensors")[0] for f in (one, two)]
    assert tensors[0].keys() == tensors[1].keys(), otherwise
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0]), otherwise


def scrambled(names: set[str], of_split: str) -> contextlib.AbstractContextManager[None]:
    """Inside, the data sets of these ``names`` give out the labels of a split in another order."""

    def change(name: str, split: str, true: Dataset) -> Dataset:
        if name not in names or split != of_split or true.labels is None:
            return true
        labels = np.random.default_rng(1).permutation(true.labels)
        assert (labels != true.labels).mean() > SCRAMBLED
        return dataclasses.replace(true, labels=labels)

    return changed(change)


def _other_inputs(name: str, split: str, true: Dataset) -> Dataset:
    """Of the test split, inputs that are turned round, and of images the negative."""
    if split != "test":
        return true
    inputs = np.ascontiguousarray(np.asarray(true.inputs)[..., ::-1])
    return dataclasses.replace(true, inputs=255 - inputs if inputs.dtype == np.uint8 else inputs)


def in_files(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Inside, every data set gives out inputs that lie in a file of ``folder``, among others and in another order."""

    def change(name: str, split: str, true: Dataset) -> Dataset:
        path, rows = folder / f"{name}-{split}.npy", np.random.default_rng(2).permutation(len(true) + 3)[: len(true)]
        array = np.zeros((len(true) + 3, *true.inputs.shape[1:]), true.inputs.dtype)
        array[rows] = true.inputs
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
        return dataclasses.replace(true, inputs=Stored(np.load(path, mmap_mode="r"), f"{name} {split}", rows))

    return changed(change)


@contextlib.contextmanager
def changed(change: Callable[[str, str, Dataset], Dataset]) -> Iterator[None]:
    """Inside, ``change`` makes of each data set's name, split and data what the run gets."""
    real = data.find

    def find(name: str, options: Any, settings: Any) -> Found:
        found = real(name, options, settings)
        return dataclasses.replace(found, load=lambda split: change(name, split, found.load(split)))

    with mock.patch.object(data, "find", find):
        yield


def reached(*begin: Any) -> Sequence[Any]:
    """All objects that attributes, items, closures, weak references lead to, without what modules and classes hold."""
    found: dict[int, Any] = {}
    waiting = list(begin)
    while waiting:
        thing = waiting.pop()
        if id(thing) in found or isinstance(thing, type | types.ModuleType | str | bytes | int | float | np.dtype):
            continue
        found[id(thing)] = thing
        waiting += getattr(thing, "__dict__", {}).values()
        waiting.append(getattr(thing, "__weakref__", None))
        waiting += [getattr(thing, name, None) for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        if isinstance(thing, dict):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif isinstance(thing, types.MethodType):
            waiting += [thing.__self__, thing.__func__]
        elif isinstance(thing, types.FunctionType):
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()] + list(thing.__defaults__ or ())
        elif isinstance(thing, weakref.ref):
            waiting += [thing(), thing.__callback__]
        elif isinstance(thing, functools.partial):
            waiting += [thing.func, thing.args, thing.keywords]
    return list(found.values())
