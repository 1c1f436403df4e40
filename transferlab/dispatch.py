"""One run, from its config to its results."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from transferlab import data
from transferlab.config import LABELLED, UNLABELLED, Config, Sees, method_schema, require
from transferlab.data.dataset import Dataset
from transferlab.evaluation import figures
from transferlab.evaluation.evaluator import SAMPLE, Evaluator, Truth, selections
from transferlab.files import write_json
from transferlab.models import predictor as predictors
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Problem, split_rows, view
from transferlab.runs import RunFolder, environment
from transferlab.training.engine import Run, autocast

log = logging.getLogger(__name__)


def run(config: Config, folder: RunFolder, threads: int, editions: Mapping[str, str]) -> dict[str, Any]:
    """Train, evaluate and write everything into ``folder``, which must be claimed; returns the results."""
    if threads:
        torch.set_num_threads(threads)
    device = pick_device(config.device.name)
    method = importlib.import_module(method_schema(config.names["method"]).module)
    folder.set_status("running")
    write_json(
        folder.path / "environment.json",
        environment(
            device=str(device),
            accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            threads=torch.get_num_threads(),
            precision=config.device.precision,
            layout="channels_last",
        ),
    )
    started = time.perf_counter()
    problem, truth, provenance = prepare(config, method.sees, device)
    write_json(folder.path / "data.json", provenance)
    log.info("data ready in %.1f s", time.perf_counter() - started)

    evaluator = Evaluator(truth, problem.classes, partial(autocast, device, config.device.precision))
    engine = Run(config, folder, device, evaluator)
    features_before = _feature_panel(evaluator, Classifier(engine.net(problem)).eval())
    options = method.Config(**vars(config.method))
    predictor = method.fit(options, problem, engine).to(device).eval()

    record, confusion = evaluator.final(predictor)
    results = {
        "method": config.names["method"], "source": config.names["source"], "target": config.names["target"],
        "seed": config.seed, "edition": _edition(editions), "status": "finished", "steps": engine.steps,
        "seconds": round(engine.watch.seconds, 2),
        "images_per_second": round(engine.images / max(engine.watch.seconds, 1e-9), 1),
        **record, **selections(engine.rows),
    }  # fmt: skip
    predictors.save(folder.path / "checkpoints" / "predictor.safetensors", predictor, config.model, problem.classes)
    folder.write_metrics(engine.rows)
    _draw(folder, config, problem, truth, engine, confusion, features_before, _feature_panel(evaluator, predictor))
    write_json(folder.path / "results.json", results)
    return results


def pick_device(name: str) -> torch.device:
    """The torch device called ``name``; auto is the best one here. Raises UserError where it is missing."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    there = (device.index or 0) < counts.get(device.type, 1)
    require(there, f"device.name={name}: there is none on this machine; use device=cpu")
    return device


def prepare(config: Config, sees: Sees, device: torch.device) -> tuple[Problem, Truth, dict[str, Any]]:
    """Load both domains and part them: what the method may see, and what only the evaluator may."""
    size = config.model.input_size
    train: dict[str, Dataset] = {}
    test: dict[str, Dataset] = {}
    rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for role in ("source", "target"):
        found = data.find(config.names[role], getattr(config, role), config.data)
        train[role], test[role] = found.load("train"), found.load("test")
        rows[role] = split_rows(train[role], config.data.validation)

    def part(role: str, validation: bool, sees: Any, limit: int | None = None) -> Any:
        return view(train[role], rows[role][validation][:limit], sees, size, device)

    problem = Problem(
        part("source", False, sees.source),
        part("target", False, sees.target),
        classes=train["source"].classes,
        seed=config.seed,
    )
    everything = {role: np.arange(len(test[role])) for role in test}
    tests = {role: view(test[role], everything[role], LABELLED, size, device) for role in test}
    assert isinstance(tests["source"], Labelled) and isinstance(tests["target"], Labelled)
    truth = Truth(
        source_train=part("source", False, UNLABELLED, SAMPLE),
        source_validation=part("source", True, LABELLED),
        target_validation=part("target", True, UNLABELLED),
        source_test=tests["source"],
        target_test=tests["target"],
    )
    provenance = {f"{role}_{d.provenance.get('split', split)}": d.provenance
                  for split, sets in (("train", train), ("test", test)) for role, d in sets.items()}  # fmt: skip
    return problem, truth, provenance


def _edition(editions: Mapping[str, str]) -> str:
    """One word where both domains' editions are the same, else source/target."""
    return "/".join(dict.fromkeys([editions["source"], editions["target"]]))


def _feature_panel(evaluator: Evaluator, predictor: Classifier) -> tuple[np.ndarray, ...]:
    """Features and labels of at most 500 test images of each domain, for the figure."""
    panel: list[np.ndarray] = []
    for domain, images in (("source", evaluator.truth.source_test), ("target", evaluator.truth.target_test)):
        panel.append(evaluator.outputs(predictor, images.inputs[:500], domain).features)
        panel.append(images.labels[:500].cpu().numpy())
    return tuple(panel)


def _draw(
    folder: RunFolder,
    config: Config,
    problem: Problem,
    truth: Truth,
    engine: Run,
    confusion: np.ndarray,
    before: tuple[np.ndarray, ...],
    after: tuple[np.ndarray, ...],
) -> None:
    where = folder.path / "figures"
    where.mkdir(exist_ok=True)
    source, target = config.names["source"], config.names["target"]
    figures.learning_curves(engine.rows, where / "learning_curves.png")
    title = f"{config.names['method']}: {source} to {target}"
    figures.confusion_matrix(confusion, problem.classes, where / "confusion.png", title)
    strips = [part.inputs[:16].cpu().numpy() for part in (truth.source_test, truth.target_test)]
    figures.samples(strips[0], strips[1], where / "samples.png", source, target)
    panels = [("before training", *before), ("after training", *after)]
    figures.feature_space(panels, where / "features.png", problem.classes)  # type: ignore[arg-type]
