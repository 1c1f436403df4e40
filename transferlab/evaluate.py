"""The verb evaluate: every metric of a trained model on data that its run has not had, or has."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transferlab import compatibility, plan, trained
from transferlab.config import Config, from_plain, to_plain
from transferlab.data.contract import IMAGES, Dataset, Found
from transferlab.data.selection import with_classes
from transferlab.data.stored import of_rows
from transferlab.errors import UserError, nearest, require, some
from transferlab.evaluation import evaluator
from transferlab.files import csv_text, expanded, write_json, write_text
from transferlab.inputs import held
from transferlab.reports import layouts
from transferlab.reports.layouts import figure
from transferlab.runs import choices_of
from transferlab.trained import TrainedModel, place_for

DEFAULTS = {"run": "", "out": "", "split": "", "device": "auto"}
UNSEEN = "unseen"
SPLITS = {"train": ("train",), "test": ("test",), "all": ("train", "test"), UNSEEN: ("train", "test")}


def run(words: Sequence[str]) -> int:
    """Print the record, and write it to ``out`` where that is named."""
    options, of_data = _parted(words)
    require(options["run"] != "", "evaluate: say which run's folder, with run=…")
    out = expanded(options["out"]) if options["out"] else None
    require(out is None or out.suffix == ".json", f"out={options['out']}: a name that ends in .json is needed")
    place_for(out)
    model = trained.load(options["run"], options["device"])
    config, found = _data(model, expanded(options["run"]), of_data)
    split = options["split"] or _split(model, config, found)
    require(split in SPLITS, f"split={split}: allowed are {', '.join(SPLITS)}")
    parts = [found.load(name) for name in SPLITS[split]]
    had = _had(model)
    repeated = sum(known in had for data in parts for known in data.provenance.get("files", {}).values())
    if split == UNSEEN:
        parts = [new for data in parts if len(new := _without(data, had))]
        require(len(parts) > 0, f"target={found.name}: the run has trained on all of it; add split=all")
    measured = _measured(model, found, parts)
    told = {
        "run": str(expanded(options["run"])), "target": found.name, "edition": found.edition, "split": split,
        "left_out" if split == UNSEEN else "trained_on_before": repeated, **measured.record,
    }  # fmt: skip
    if out is not None:
        write_json(out, told)
        write_text(out.with_suffix(".csv"), csv_text(measured.class_rows))
        print(f"{out}, {out.with_suffix('.csv').name}")
    _show(told, measured.class_rows)
    if split != UNSEEN and repeated:
        print(f"warning: the run has trained on {repeated} of these, with labels or without", file=sys.stderr)
    return 0


def _data(model: TrainedModel, folder: Path, words: Sequence[str]) -> tuple[Config, Found]:
    """The run's config with the target that ``words`` name, and that data, of classes that the model knows."""
    with choices_of(folder):
        config = _config(model.config, words)
        try:
            found = compatibility.domain(config, "target", seen=False)
        except UserError as error:
            own = "; it is the run's own target, named from where the run was started: say where it is now"
            raise UserError(f"{error}{'' if words else own}") from None
    require(bool(found.classes), f"target={found.name}: has no labels to evaluate by")
    if config.data.classes == "shared":
        both = tuple(name for name in model.known if name in found.classes)
        require(len(both) > 0, f"data.classes=shared: target={found.name} has none of the model's classes")
        found = with_classes(found, both)
    return config, found


def _parted(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The verb's own options, and the words that say what data."""
    own = [word for word in words if word.partition("=")[0] in DEFAULTS]
    of_data = [word for word in words if word not in own]
    allowed = [*DEFAULTS, "target", "target.<option>", "data.<option>"]
    for word in of_data:
        key = word.partition("=")[0]
        fits = "=" in word and (key == "target" or key.startswith(("target.", "data.")))
        require(fits, f"evaluate {word}: no such key; allowed are {', '.join(allowed)}{nearest(key, allowed)}")
    return DEFAULTS | dict(word.split("=", 1) for word in own), of_data


def _config(of_run: Config, words: Sequence[str]) -> Config:
    """The run's config with the target and the places of data that ``words`` name, and its own where they do not."""
    named = {plan.key_of(word) for word in words}
    words = list(words) if "target" in named else [f"target={of_run.names['target']}", *words]
    given, plain = plan.plain(plan.one(plan.arguments(words))[0]), to_plain(of_run)
    for section in ("target", "data"):
        whole = section == "target" and "target" in named
        taken = {key: value for key, value in given[section].items() if whole or f"{section}.{key}" in named}
        plain[section] = taken if whole else plain[section] | taken
    return from_plain(plain)


def _had(model: TrainedModel) -> set[str]:
    """SHA-256 of the pictures that the run has trained on, with labels or without."""
    return {
        known for split in ("source_train", "target_train") for known in model.data[split].get("files", {}).values()
    }


def _split(model: TrainedModel, config: Config, found: Found) -> str:
    """What to measure where nothing is said: the test part that the data names, or all that is new to the run."""
    drawn = hasattr(config.target, "test_fraction") and "test_fraction" not in found.idle
    if getattr(config.target, "transductive", False):
        return "all" if drawn else "test"
    return UNSEEN if found.kind == IMAGES and drawn else "test"


def _without(data: Dataset, had: set[str]) -> Dataset:
    """``data`` without the pictures of these checksums."""
    files = data.provenance["files"]
    rows = np.array([known not in had for known in files.values()], bool)
    assert data.labels is not None and len(rows) == len(data)
    return dataclasses.replace(data, inputs=of_rows(data.inputs, rows), labels=data.labels[rows], groups=None)


def _labels(model: TrainedModel, found: Found, data: Dataset) -> np.ndarray:
    """Labels int64 [N] of a split of ``found`` as numbers of the model's classes."""
    unknown = [name for name in found.classes if name not in model.known]
    known = f"the model knows {some(model.known)}; choose with target.classes=[…] or data.classes=shared"
    require(not unknown, f"target={found.name}: class {some(unknown)} is none of the model's; {known}")
    assert data.labels is not None
    return np.array([model.known.index(name) for name in found.classes])[data.labels]


def _scores(model: TrainedModel, found: Found, data: Dataset) -> np.ndarray:
    """Scores float32 [N, C] of a split: of pictures, or of other inputs that the model takes."""
    size = model.size if found.kind == IMAGES else None
    inputs = held(data.inputs, np.arange(len(data)), size, model.device, model.config.data.resident)
    return model.scores(inputs)


def _measured(model: TrainedModel, found: Found, parts: Sequence[Dataset]) -> evaluator.Measured:
    scores = np.concatenate([_scores(model, found, data) for data in parts])
    labels = np.concatenate([_labels(model, found, data) for data in parts])
    return evaluator.measured(model.predictor, "target", scores, labels, model.known)


def _show(record: Mapping[str, Any], class_rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the record's figures, and the table of classes."""
    for key, value in record.items():
        if isinstance(value, str | int | float):
            print(f"  {key.replace('_', ' '):30} {figure(key, record) if isinstance(value, float) else value}")
    if class_rows:
        print("", layouts.text([{key: _short(value) for key, value in row.items()} for row in class_rows]), sep="\n")


def _short(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
