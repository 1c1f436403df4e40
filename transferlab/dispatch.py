"""One run, from its config to its results."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferlab import data
from transferlab.config import LABELLED, UNLABELLED, Config, Role, Sees, method_schema, require
from transferlab.data._selection import few
from transferlab.data.dataset import Dataset
from transferlab.evaluation import figures
from transferlab.evaluation.evaluator import SAMPLE, Evaluator, Truth, forgetting, selections
from transferlab.files import write_json
from transferlab.models import predictor as predictors
from transferlab.models.clusters import Clusters
from transferlab.models.coded import Coded, Encoder
from transferlab.models.predictor import Classifier, Predictor
from transferlab.problem import Labelled, Problem, split_rows, view
from transferlab.runs import RunFolder, environment
from transferlab.training.engine import Run, autocast
from transferlab.training.store import Store

log = logging.getLogger(__name__)
Panel = tuple[np.ndarray, ...]


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

    evaluator = Evaluator(truth, partial(autocast, device, config.device.precision))
    store = Store(Path(config.store)) if config.store else None
    engine = Run(config, folder, device, evaluator, store)
    pictured = config.figures and method.sees.net
    before = _feature_panel(evaluator, Classifier(engine.net(problem)).eval()) if pictured else None
    options = method.Config(**vars(config.method))
    predictor = method.fit(options, problem, engine).to(device).eval()

    record, confusion = evaluator.final(predictor)
    results = {
        "method": config.names["method"], "source": config.names["source"], "target": config.names["target"],
        "seed": config.seed, "edition": _edition(editions), "status": "finished", "steps": engine.steps,
        "seconds": round(engine.watch.seconds, 2),
        "images_per_second": round(engine.images / max(engine.watch.seconds, 1e-9), 1),
        **record, **selections(engine.rows), **forgetting(engine.rows, record),
        **engine.reports,
    }  # fmt: skip
    if engine.shared_model:
        results["source_model"] = engine.shared_model
    predictors.save(folder.path / "checkpoints" / "predictor.safetensors", predictor, problem.classes)
    folder.write_metrics(engine.rows)
    if config.figures:
        _draw(folder, config, truth, engine, confusion, before, _feature_panel(evaluator, predictor))
        if isinstance(predictor, Clusters):
            _draw_clusters(predictor, truth.target_test, truth.target_classes, folder.path / "figures" / "clusters.png")
        if isinstance(predictor, Coded):
            _draw_atoms(predictor.encoder, truth.target_test.inputs.shape[1:], folder.path / "figures" / "atoms.png")
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
        wanted = getattr(config, role).per_class
        if wanted is not None:
            d = train[role]
            assert d.labels is not None
            rows[role] = few(d.labels, rows[role][0], wanted, d.classes, config.seed), rows[role][1]
    kinds = {d.inputs.dtype for d in train.values()}
    require(len(kinds) == 1, f"source={config.names['source']} and target={config.names['target']}: images and numbers")

    def part(role: str, validation: bool, sight: Role, limit: int | None = None) -> Any:
        wanted = rows[role][validation]
        if limit is not None:  # a fair sample of data that may be sorted by class
            wanted = np.random.default_rng(0).permutation(wanted)[:limit]
        return view(train[role], wanted, sight, size, device)

    def everything(role: str) -> Any:
        return view(test[role], np.arange(len(test[role])), known[role], size, device)

    known = {role: UNLABELLED if test[role].labels is None else LABELLED for role in test}
    signatures = [d.signatures for d in train.values() if d.signatures is not None]
    problem = Problem(
        part("source", False, sees.source),
        part("target", False, sees.target),
        classes=train["target"].classes,
        source_classes=train["source"].classes,
        seed=config.seed,
        signatures=torch.from_numpy(np.concatenate(signatures)).to(device) if len(signatures) == 2 else None,
    )
    truth = Truth(
        source_classes=train["source"].classes,
        target_classes=train["target"].classes,
        source_train=part("source", False, UNLABELLED, SAMPLE),
        source_validation=part("source", True, known["source"]),
        target_train=part("target", False, LABELLED if sees.target == LABELLED else UNLABELLED, SAMPLE),
        target_validation=part("target", True, UNLABELLED),
        source_test=everything("source"),
        target_test=everything("target"),
    )
    provenance = {f"{role}_{d.provenance.get('split', split)}": d.provenance
                  for split, sets in (("train", train), ("test", test)) for role, d in sets.items()}  # fmt: skip
    return problem, truth, provenance


def _edition(editions: Mapping[str, str]) -> str:
    """One word where both domains' editions are the same, else source/target."""
    return "/".join(dict.fromkeys([editions["source"], editions["target"]]))


def _some(inputs: Tensor, count: int) -> Tensor:
    """Row numbers int64 [n] of at most ``count`` inputs: a fair sample of data that may be sorted by class."""
    return torch.from_numpy(np.random.default_rng(0).permutation(len(inputs))[:count]).to(inputs.device)


def _feature_panel(evaluator: Evaluator, predictor: Predictor) -> Panel:
    """Features and labels of at most 500 test inputs of each domain, for the figure."""
    panel: list[np.ndarray] = []
    for domain, test in (("source", evaluator.truth.source_test), ("target", evaluator.truth.target_test)):
        rows = _some(test.inputs, 500)
        panel.append(evaluator.outputs(predictor, test.inputs[rows], domain).features)
        labels = test.labels[rows].cpu().numpy() if isinstance(test, Labelled) else np.full(len(rows), -1)
        # Where the label sets differ, the target's classes are numbered after the source's.
        differ = domain == "target" and evaluator.truth.source_classes != evaluator.truth.target_classes
        panel.append(labels + len(evaluator.truth.source_classes) * differ)
    return tuple(panel)


@torch.no_grad()
def _draw_clusters(predictor: Clusters, test: Labelled, classes: Sequence[str], path: Path) -> None:
    """Members of each cluster, which is called by its most frequent class, where inputs are images."""
    if test.inputs.dtype != torch.uint8:
        return
    rows = _some(test.inputs, 2000)
    images, labels = test.inputs[rows], test.labels[rows].cpu().numpy()
    members = predictor(images)[1].argmax(1).cpu().numpy()
    names = []
    for cluster in range(predictor.head.out_features):
        counts = np.bincount(labels[members == cluster], minlength=len(classes))
        share = counts.max() / max(counts.sum(), 1)
        names.append(f"{classes[int(counts.argmax())]} ({100 * share:.0f} %)" if counts.any() else "empty")
    figures.clusters(images.cpu().numpy(), members, names, path)


def _draw_atoms(encoder: Encoder, shape: Sequence[int], path: Path) -> None:
    """The dictionary as pictures, where there is one and its inputs are images of ``shape`` or patches of them."""
    if len(shape) == 3 and len(encoder.dictionary):
        size = (encoder.patch, encoder.patch) if encoder.patch else shape[1:]
        figures.atoms(encoder.dictionary.cpu().numpy(), (shape[0], *size), path)


def _draw(
    folder: RunFolder,
    config: Config,
    truth: Truth,
    engine: Run,
    confusion: np.ndarray,
    before: Panel | None,
    after: Panel,
) -> None:
    where = folder.path / "figures"
    where.mkdir(exist_ok=True)
    source, target = config.names["source"], config.names["target"]
    if engine.rows:
        figures.learning_curves(engine.rows, where / "learning_curves.png")
    title = f"{config.names['method']}: {source} to {target}"
    figures.confusion_matrix(confusion, truth.target_classes, where / "confusion.png", title)
    strips = [part.inputs[_some(part.inputs, 16)].cpu().numpy() for part in (truth.source_test, truth.target_test)]
    if strips[0].dtype == np.uint8:
        figures.samples(strips[0], strips[1], where / "samples.png", source, target)
    panels = [("before training", *before)] if before else []
    panels.append(("after training", *after))
    same = truth.source_classes == truth.target_classes
    classes = truth.target_classes if same else (*truth.source_classes, *truth.target_classes)
    figures.feature_space(panels, where / "features.png", classes)  # type: ignore[arg-type]
