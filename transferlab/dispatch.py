"""One run, from its config to its results."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transferlab import compatibility, idle, naming
from transferlab.config import RESULTS_VERSION, Config, edition_name
from transferlab.data import Found
from transferlab.data.contract import IMAGES, Dataset
from transferlab.data.split import repeated
from transferlab.data.stored import Samples
from transferlab.devices import pick_device
from transferlab.errors import require, some
from transferlab.evaluation.evaluator import SAMPLE, Evaluator, Measured, Truth, forgetting, selections
from transferlab.evaluation.pictures import Pictures
from transferlab.files import csv_text, expanded, write_json, write_text
from transferlab.map import LABELLED, NOTHING, UNLABELLED, Role, Sees, method_schema
from transferlab.models import predictor as predictors
from transferlab.models.predictor import Classifier, Predictor
from transferlab.problem import Problem, view
from transferlab.runs import COLLAPSED, FINISHED, RunFolder, digests_of, environment
from transferlab.training.engine import Engine
from transferlab.training.run import autocast, given_to_method
from transferlab.training.store import Store

log = logging.getLogger(__name__)


def run(
    config: Config, folder: RunFolder, threads: int, found: Mapping[str, Found]
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Train, evaluate and write records and weights into ``folder``, which must be claimed.

    found: the data of source and target. Returns the results, and what draws the pictures: they come after the run is
    complete, so that nothing that goes wrong with them costs it.
    """
    if threads:
        torch.set_num_threads(threads)
    device = pick_device(config.device.name)
    method = method_schema(config.names["method"]).module
    write_json(folder.path / "environment.json", _environment(config, device))
    started = time.perf_counter()
    problem, truth, provenance = prepare(config, method.sees, device, found)
    _check_unchanged(config, found)
    write_json(folder.path / "data.json", provenance)
    log.info("data ready in %.1f s", time.perf_counter() - started)

    evaluator = Evaluator(truth, partial(autocast, device, config.device.precision))
    store = Store(expanded(config.store)) if config.store else None
    engine = Engine(config, folder, device, evaluator, store)
    pictures = Pictures(folder.path / "figures", config, evaluator) if config.figures else None
    options = method.Config(**vars(config.method))
    predictor = method.fit(options, problem, given_to_method(engine))
    _check_predictor(config, predictor)
    predictor = predictor.to(device).eval()

    results, measured = _results(config, found, engine, evaluator, predictor)
    source = found["source"].classes
    predictors.save(folder.path / "checkpoints" / "predictor.safetensors", predictor, problem.classes, source)
    folder.write_metrics(engine.rows)
    _write_measured(folder.path, measured.class_rows, results)

    def draw() -> None:
        if pictures:
            _draw(pictures, config, engine, problem, predictor, measured.confusion, results.get("selected", ""))

    return results, draw


def _draw(
    pictures: Pictures, config: Config, engine: Engine, problem: Problem, predictor: Any, confusion: Any, chosen: str
) -> None:
    if idle.trains_net(config):
        pictures.before(Classifier(engine.net(problem), features_at=getattr(predictor, "features_at", "critic")))
    pictures.draw(predictor, engine.rows, confusion, chosen, _images_behind(config))


def _images_behind(config: Config) -> dict[str, Samples] | None:
    """The test images of each domain whose features a run on a frozen backbone has; None for any other."""
    if not config.model.frozen or not method_schema(config.names["method"]).sees.net:
        return None
    return {role: found.load("test").inputs for role, found in compatibility.both(config, seen=False).items()}


def _write_measured(folder: Path, class_rows: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> None:
    """Write results.json and, where there are ``class_rows``, the table of the target's classes."""
    if class_rows:
        write_text(folder / "classes.csv", csv_text(class_rows))
    write_json(folder / "results.json", results)


def _check_predictor(config: Config, returned: Any) -> None:
    """Refuse what a method has returned if it is none of this package's predictors, which alone can be saved."""
    known = predictors.kinds()
    what = f"method={config.names['method']}: fit returned a {type(returned).__name__}"
    require(type(returned) in known.values(), f"{what}; allowed are {', '.join(known)}")


def _environment(config: Config, device: torch.device) -> dict[str, Any]:
    """What the numbers may depend on beside config and data."""
    return environment(
        device=str(device),
        accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        threads=torch.get_num_threads(),
        precision=config.device.precision,
        kernels=torch.backends.cpu.get_cpu_capability(),
        layout="channels_last",
    )


def _results(
    config: Config, found: Mapping[str, Found], engine: Engine, evaluator: Evaluator, predictor: Predictor
) -> tuple[dict[str, Any], Measured]:
    """The record of a trained predictor for results.json; and what was measured of it."""
    measured = evaluator.final(predictor)
    collapsed = evaluator.collapse(predictor, engine.rows, engine.steps)
    sees = method_schema(config.names["method"]).sees
    results = {
        "method": config.names["method"], "source": config.names["source"], "target": config.names["target"],
        "seed": config.seed, "edition": edition_name({role: data.edition for role, data in found.items()}),
        "digests": digests_of(found), "results_version": RESULTS_VERSION,
        "status": COLLAPSED if collapsed else FINISHED, **({"reason": collapsed} if collapsed else {}),
        "headline": sees.headline, "select": config.select, "precision": config.device.precision,
        "steps": engine.steps,
        "seconds": round(engine.watch.seconds, 2),
        "images_per_second": round(engine.images / max(engine.watch.seconds, 1e-9), 1),
        **naming.record(config), **measured.record, **selections(engine.rows),
        **forgetting(engine.rows, measured.record), **engine.reports,
    }  # fmt: skip
    if config.select != "last":
        results["selected"] = results[f"chosen_by_{config.select}"]
    if engine.shared_model:
        results["source_model"] = engine.shared_model
    return results, measured


def _check_unchanged(config: Config, found: Mapping[str, Found]) -> None:
    """Refuse data that has changed since it was ``found``: what was read is then known by no digest."""
    now = digests_of(compatibility.both(config))
    changed = [role for role, digest in digests_of(found).items() if now[role] != digest]
    names = " and ".join(f"{role}={config.names[role]}" for role in changed)
    require(not changed, f"{names}: changed while the data was read; start the command again")


def prepare(
    config: Config, sees: Sees, device: torch.device, found: Mapping[str, Found]
) -> tuple[Problem, Truth, dict[str, Any]]:
    """Load both domains and part them: what the method may see, and what only the evaluator may."""
    train, test, learned, held_out = _loaded(config, sees, found)
    kind = found["target"].kind  # of both domains, as compatibility has seen to
    known = {role: UNLABELLED if test[role].labels is None else LABELLED for role in test}

    def of_rows(data: Dataset, rows: np.ndarray, sight: Role) -> Any:
        return view(data, rows, sight, kind, config.model.input_size, device, config.data.resident)

    def sample(role: str) -> Any:  # a fair one of data that may be sorted by class
        some = np.random.default_rng(0).permutation(learned[role])[:SAMPLE]
        return of_rows(train[role], some, LABELLED if getattr(sees, role) == LABELLED else UNLABELLED)

    def tested(role: str) -> Any:
        return of_rows(test[role], np.arange(len(test[role])), known[role])

    signatures = [d.signatures for d in train.values() if d.signatures is not None]
    problem = Problem(
        of_rows(train["source"], learned["source"], sees.source),
        of_rows(train["target"], learned["target"], sees.target),
        classes=train["target"].classes,
        source_classes=train["source"].classes,
        seed=config.seed,
        kind=kind,
        signatures=torch.from_numpy(np.concatenate(signatures)).to(device) if sees.classes == "disjoint" else None,
    )
    truth = Truth(
        kind,
        train["source"].classes,
        train["target"].classes,
        source_train=sample("source"),
        source_validation=of_rows(train["source"], held_out["source"], known["source"]),
        target_train=sample("target"),
        target_validation=of_rows(train["target"], held_out["target"], UNLABELLED),
        source_test=tested("source"),
        target_test=tested("target"),
    )
    return problem, truth, _provenance(train, test)


def _loaded(config: Config, sees: Sees, found: Mapping[str, Found]) -> tuple[dict[str, Any], ...]:
    """Of each domain the training and the test data; row numbers of the former to learn from, and those held out."""
    train: dict[str, Dataset] = {}
    test: dict[str, Dataset] = {}
    learned: dict[str, np.ndarray] = {}
    held_out: dict[str, np.ndarray] = {}
    for role, domain in found.items():
        train[role], test[role] = domain.load("train"), domain.load("test")
        log.info("%s: %s", role, _told(domain, train[role], test[role], config.model.input_size))
        rows = compatibility.training_rows(config, role, getattr(sees, role), train[role], domain.classes)
        learned[role], held_out[role] = rows
    if sees.source != NOTHING:
        _note_leaks(repeated(train["source"], learned["source"], test["target"]))
    return train, test, learned, held_out


def _note_leaks(pairs: Sequence[str]) -> None:
    if pairs:
        count = "1 target test image is" if len(pairs) == 1 else f"{len(pairs)} target test images are"
        log.warning("%s among the source's training images, byte for byte: %s", count, some(pairs))


def _provenance(train: Mapping[str, Dataset], test: Mapping[str, Dataset]) -> dict[str, Any]:
    """What each split of each domain was, for data.json."""
    return {f"{role}_{d.provenance.get('split', split)}":
            {"name": role, "count": len(d), **d.provenance,
             "shape": list(d.inputs.shape[1:]), "class_count": len(d.classes)}
            for split, sets in (("train", train), ("test", test)) for role, d in sets.items()}  # fmt: skip


def _told(found: Found, train: Dataset, test: Dataset, size: int) -> str:
    """What was read, and what was passed over, on one line."""
    names = (*found.classes[:3], "…") if len(found.classes) > 4 else found.classes
    classes = f"{len(found.classes)} classes ({', '.join(names)})" if names else "no labels"
    kind = "images" if found.kind == IMAGES else "rows"
    written = Counter(name.casefold() for name in found.classes)
    alike = [name for name in found.classes if written[name.casefold()] > 1]
    differ = f"{some(alike)} are different classes" if alike else ""
    counts = f"{found.name} {found.edition}, {classes}, {len(train)} + {len(test)} {kind}"
    larger = f"enlarged to {size} pixels" if found.kind == IMAGES and min(found.shape[1:]) < size else ""
    return ", ".join(filter(None, (counts, larger, found.remark, differ, _few(train))))


def _few(train: Dataset) -> str:
    """Which classes have under a tenth of the training samples of the largest, in a few words."""
    if train.labels is None or not len(train):
        return ""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    order = np.argsort(counts, kind="stable")
    few = [f"{train.classes[label]} {counts[label]}" for label in order if counts[label] * 10 < counts[order[-1]]]
    return f"few to train on: {some(few)}, beside {train.classes[order[-1]]} {counts[order[-1]]}" if few else ""
