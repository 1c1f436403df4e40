"""One run, from its config to its results."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from transferlab import compatibility, idle, naming
from transferlab.config import RESULTS_VERSION, Config, edition_name
from transferlab.data import Found
from transferlab.data.contract import IMAGES, Dataset
from transferlab.errors import require, some
from transferlab.evaluation.evaluator import SAMPLE, Evaluator, Truth, forgetting, selections
from transferlab.evaluation.pictures import Pictures
from transferlab.files import expanded, write_json
from transferlab.map import LABELLED, UNLABELLED, Role, Sees, method_schema
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

    results, confusion = _results(config, found, engine, evaluator, predictor)
    predictors.save(folder.path / "checkpoints" / "predictor.safetensors", predictor, problem.classes)
    folder.write_metrics(engine.rows)
    write_json(folder.path / "results.json", results)

    def draw() -> None:
        if pictures and idle.trains_net(config):
            pictures.before(Classifier(engine.net(problem), features_at=getattr(predictor, "features_at", "critic")))
        if pictures:
            pictures.draw(predictor, engine.rows, confusion, results.get("selected", ""))

    return results, draw


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
) -> tuple[dict[str, Any], np.ndarray]:
    """The record of a trained predictor for results.json, and the target's confusion matrix."""
    record, confusion = evaluator.final(predictor)
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
        **naming.record(config), **record, **selections(engine.rows), **forgetting(engine.rows, record),
        **engine.reports,
    }  # fmt: skip
    if config.select != "last":
        results["selected"] = results[f"chosen_by_{config.select}"]
    if engine.shared_model:
        results["source_model"] = engine.shared_model
    return results, confusion


def _check_unchanged(config: Config, found: Mapping[str, Found]) -> None:
    """Refuse data that has changed since it was ``found``: what was read is then known by no digest."""
    now = digests_of(compatibility.both(config))
    changed = [role for role, digest in digests_of(found).items() if now[role] != digest]
    names = " and ".join(f"{role}={config.names[role]}" for role in changed)
    require(not changed, f"{names}: changed while the data was read; start the command again")


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``; auto is the best one here. Raises UserError where it is missing."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    there = (device.index or 0) < counts.get(device.type, 1)
    require(there, f"device.name={name}: there is none on this machine; use device=cpu")
    return device


def prepare(
    config: Config, sees: Sees, device: torch.device, found: Mapping[str, Found]
) -> tuple[Problem, Truth, dict[str, Any]]:
    """Load both domains and part them: what the method may see, and what only the evaluator may."""
    size = config.model.input_size
    train: dict[str, Dataset] = {}
    test: dict[str, Dataset] = {}
    rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for role in ("source", "target"):
        train[role], test[role] = found[role].load("train"), found[role].load("test")
        log.info("%s: %s", role, _told(found[role], train[role], test[role], size))
        rows[role] = compatibility.training_rows(config, role, getattr(sees, role), train[role], found[role].classes)
    kind = found["target"].kind  # of both domains, as compatibility has seen to

    def part(role: str, validation: bool, sight: Role, limit: int | None = None) -> Any:
        wanted = rows[role][validation]
        if limit is not None:  # a fair sample of data that may be sorted by class
            wanted = np.random.default_rng(0).permutation(wanted)[:limit]
        return view(train[role], kind, wanted, sight, size, device, config.data.resident)

    def everything(role: str) -> Any:
        rows = np.arange(len(test[role]))
        return view(test[role], kind, rows, known[role], size, device, config.data.resident)

    known = {role: UNLABELLED if test[role].labels is None else LABELLED for role in test}
    signatures = [d.signatures for d in train.values() if d.signatures is not None]
    problem = Problem(
        part("source", False, sees.source),
        part("target", False, sees.target),
        classes=train["target"].classes,
        source_classes=train["source"].classes,
        seed=config.seed,
        kind=kind,
        signatures=torch.from_numpy(np.concatenate(signatures)).to(device) if sees.classes == "disjoint" else None,
    )
    truth = Truth(
        kind=kind,
        source_classes=train["source"].classes,
        target_classes=train["target"].classes,
        source_train=part("source", False, LABELLED if sees.source == LABELLED else UNLABELLED, SAMPLE),
        source_validation=part("source", True, known["source"]),
        target_train=part("target", False, LABELLED if sees.target == LABELLED else UNLABELLED, SAMPLE),
        target_validation=part("target", True, UNLABELLED),
        source_test=everything("source"),
        target_test=everything("target"),
    )
    return problem, truth, _provenance(train, test)


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
    return ", ".join(filter(None, (counts, larger, found.remark, differ)))
