"""Tiny problems of every kind of input for every method, and what a method makes of them."""

from __future__ import annotations

import dataclasses
import itertools

import torch

from tests.conftest import config, run
from transferlab import compatibility
from transferlab.config import Config, ModelConfig
from transferlab.data import Found
from transferlab.data.selection import Selection
from transferlab.evaluation.evaluator import selections
from transferlab.inputs import resize
from transferlab.map import LABELLED, NOTHING, method_schema
from transferlab.models.architectures import ARCHITECTURES
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Problem, Unlabelled

NETS = tuple(ARCHITECTURES)
SHAPES = {"images": (1, 32, 32), "vectors": (6,), "spectrograms": (1, 32, 32)}
SMALL = {"width": 0.05, "critic": [8], "input_size": 32, "activation": "tanh"}
"""In so narrow a net all rectified units of a layer are soon dead."""
QUICK = {
    "conservative": {"warmup": 1}, "mean_teacher": {"confidence": 0.0},
    "subspace_alignment": {"dims": [2, 3], "strengths": [0.1], "samples": 40},
    "self_taught": {"atoms": 6, "iterations": 2, "strengths": [1.0]},
    "self_taught_clustering": {"samples": 40, "source_samples": 40, "restarts": 1, "feature_clusters": 4},
    "zero_shot": {"margin": [0.2], "size": 5}, "ale": {"margin": [0.5]}, "devise": {"margin": [0.5]},
    "eszsl": {"gamma": [10.0], "lam": [0.3]}, "semantic_output_codes": {"lam": [10.0]},
    "dap": {"decay": [1e-3]}, "conse": {"decay": [1e-3], "top": 3},
}  # fmt: skip
"""So that a run takes hundredths of a second: no folds over hyperparameters."""


def found(method: str, kind: str, same: bool = True) -> dict[str, Found]:
    """What is known before a run of data of this kind, with the classes that the method needs."""
    sees = method_schema(method).sees
    theirs = ("a", "b", "c") if same and sees.classes != "disjoint" else ("x", "y", "z")
    ours = ("a", "b", "c") if sees.classes != "disjoint" else ("a", "b", "c", "d", "e", "f")
    described = 4 if sees.classes == "disjoint" else 0
    return {
        role: Found(role, "full", classes, kind, SHAPES[kind], lambda _: 1 / 0, "", described)
        for role, classes in (("source", ours), ("target", theirs))
    }  # fmt: skip


def problem(method: str, kind: str, same: bool = True, relabelled: bool = False) -> Problem:
    """40 inputs of each domain; those of a class have something in common. relabelled: the source's labels turned."""
    sees, known = method_schema(method).sees, found(method, kind, same)
    views = {}
    for number, role in enumerate(("source", "target")):
        random = torch.Generator().manual_seed(number)
        classes = len(known[role].classes)
        labels = torch.arange(40) % classes
        centres = torch.randn(classes, *SHAPES[kind], generator=random)
        inputs = (centres[labels] + torch.randn(40, *SHAPES[kind], generator=random)).abs()
        inputs = (80 * inputs + 1).clamp(0, 255).byte() if kind == "images" else inputs + 0.1
        if relabelled and role == "source":
            labels = labels[torch.randperm(40, generator=random)]
        sight = getattr(sees, role)
        views[role] = (
            None if sight == NOTHING else Labelled(inputs, labels) if sight == LABELLED else Unlabelled(inputs)
        )
    count = len(known["source"].classes) + 3
    signatures = (
        torch.rand(count, 4, generator=torch.Generator().manual_seed(9)) if sees.classes == "disjoint" else None
    )
    return Problem(
        **views,
        classes=known["target"].classes,
        source_classes=known["source"].classes,
        seed=0,
        kind=kind,
        signatures=signatures,
    )


def sized(given: Problem, asked: Config) -> Problem:
    """The problem as the dispatcher would give it: images brought to the size that is asked for."""
    if given.kind != "images":
        return given
    views = {
        role: dataclasses.replace(view, inputs=resize(view.inputs, asked.model.input_size))
        for role in ("source", "target")
        if (view := getattr(given, role)) is not None
    }
    return dataclasses.replace(given, **views)


def settings(method: str, options=None, net="mlp", model=None, **train) -> Config:
    """The config of a tiny run; without a net whatever ``net`` is."""
    values = {**QUICK.get(method, {}), **(options or {})}
    own = method_schema(method).config(**values)
    rare = {"log_every": 1000, "checkpoint_every": 1000, "evaluations": 1}
    made = config(method, own, **{"steps": 3, "batch_size": 6, "lr": 0.1, **rare, **train})
    own_net = {"name": net, **SMALL, **(model or {})} if method_schema(method).sees.net else {"input_size": 20}
    return dataclasses.replace(made, model=ModelConfig(**own_net), source=Selection(), target=Selection())


def learn(folder, asked: Config, given: Problem):
    """The predictor that a method makes, and its run, which is measured as runs are."""

    times = itertools.count(1)

    def measured(predictor) -> dict[str, float]:
        return {"target_accuracy": 1 / next(times)}  # so that it shows in the record how often

    method = method_schema(asked.names["method"]).module
    engine = run(folder, asked, measured)
    return method.fit(method.Config(**vars(asked.method)), given, engine).eval(), engine


def refused(asked: Config, kind: str, same: bool = True) -> None:
    """Raise UserError as the planner does, before anything is trained."""
    compatibility.check(asked, found(asked.names["method"], kind, same))


@torch.no_grad()
def outcome(folder, asked: Config, kind: str, same: bool = True):
    """What a run ends with: weights; features and scores of inputs; and what else goes into its record."""
    given = sized(problem(asked.names["method"], kind, same), asked)
    with torch.enable_grad():
        predictor, engine = learn(folder, asked, given)
    inputs = sized(problem("target_only", kind), asked).target.inputs
    features, scores = map(list, zip(*(predictor(inputs, domain) for domain in predictor.domains), strict=True))
    if isinstance(predictor, ZeroShot):
        scores.append(predictor.joint(inputs))
    record = {**engine.reports, **selections(engine.rows), "steps": engine.steps, "images": engine.images}
    return predictor.state_dict(), features, scores, record
