"""Every option of every method acts, or is told to be idle, or is refused: no fourth thing.

Each option is changed by itself, beside the defaults and beside each choice of the method's others, in tiny runs.
"""

import dataclasses
import functools
import itertools
import typing
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch

from tests.methods import tiny
from transferlab import compatibility, idle
from transferlab.config import ModelConfig, TrainConfig
from transferlab.errors import UserError
from transferlab.map import method_files, method_schema
from transferlab.models.architectures import NORMALISATIONS, architecture
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import Preprocess

OTHER: dict[str, dict[str, list[Any]]] = {
    "conservative": {"steps": [2], "warmup": [0], "old_weight": [0.0]}, "finetune": {"steps": [2], "freeze": [1]},
    "layer_transfer": {"steps": [2], "layers": [0, 2]}, "progressive": {"steps": [2]}, "multitask": {"private": [1]},
    "subspace_alignment": {"dims": [[2]], "strengths": [[1e-4]], "samples": [30]},
    "self_taught": {
        "patch": [8], "atoms": [4], "iterations": [1], "samples": [30], "strengths": [[1e-4]], "stride": [2],
    },
    "self_taught_clustering": {
        "clusters": [2], "source_clusters": [2], "feature_clusters": [3], "restarts": [7], "samples": [20],
        "source_samples": [20], "weight": [0.0, 30.0],
    },
    "mean_teacher": {"confidence": [0.9]}, "mcd": {"generator_steps": [1]}, "prototypes": {"rounds": [0]},
    "zero_shot": {"margin": [[0.01]]}, "dann": {"largest_lambda": [0.0, 0.5]}, "dap": {"decay": [[1.0]]},
    "conse": {"top": [1], "decay": [[1.0]]}, "eszsl": {"gamma": [[1e-3]], "lam": [[1e3]]},
    "semantic_output_codes": {"lam": [[1e3]]}, "ale": {"margin": [[0.01]]}, "devise": {"margin": [[0.01]]},
}  # fmt: skip
"""Other values of options whose type does not tell any, or not one that shows within three steps."""
FOLDS = {"zero_shot": "margin", "ale": "margin", "devise": "margin"}


def others(cls: type, f: dataclasses.Field, value: Any, named: dict[str, list[Any]]) -> list[Any]:
    """Values to try in place of ``value``: each other choice, not-bool, another number."""
    hint = typing.get_type_hints(cls)[f.name]
    if f.name in named:
        return [other for other in named[f.name] if other != value]
    if typing.get_origin(hint) is Literal:
        return [choice for choice in typing.get_args(hint) if choice != value]
    if isinstance(value, bool):
        return [not value]
    assert isinstance(value, int | float), f"say another value of {f.name} to try"
    return [value * 0.5 if value and isinstance(value, float) else value + 1]


def contexts(method: str) -> list[dict[str, Any]]:
    """The defaults, and each choice by itself beside them."""
    cls = method_schema(method).config
    base = cls(**tiny.QUICK.get(method, {}))
    found: list[dict[str, Any]] = [{}]
    for f in dataclasses.fields(cls):
        for value in others(cls, f, getattr(base, f.name), OTHER.get(method, {})):
            if isinstance(value, bool | str) or value in (0, 0.0) or f.name in ("patch", "steps"):
                found.append({f.name: value})
    return found


def verdict(asked, kind, same) -> str:
    """Why the planner refuses a config, or nothing."""
    try:
        tiny.refused(asked, kind, same)
    except UserError as error:
        return str(error)
    return ""


def equal(one, two) -> bool:
    """Whether two outcomes are the same bits."""
    if one[0].keys() != two[0].keys() or one[3] != two[3]:
        return False
    tensors = ((*state.values(), *features, *scores) for state, features, scores, _ in (one, two))
    return all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


def close(one, two) -> bool:
    """Whether two predictors answer alike, except for rounding, and their runs have the same record."""
    pairs = zip(one[2], two[2], strict=True)
    return one[3] == two[3] and all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in pairs)


def judge(outcome, base, changed, key: str, kind: str, same: bool, context: Sequence[str] = ()) -> None:
    """Fail where ``changed`` differs from ``base`` in option ``key`` alone, and nothing comes of it without a word.

    context: the other options that are set; where the change makes one of them idle, they are not for each other.
    """
    if verdict(changed, kind, same):
        return
    before, after = (idle.keys(config, tiny.found(base.names["method"], kind, same)) for config in (base, changed))
    if any(f"method.{name}" in after for name in context):
        return
    one, two = outcome(base), outcome(changed)
    if key in before and key in after:
        assert close(one, two), f"{key} is said to be idle with {before[key]}, and acts"
    else:
        assert not equal(one, two), f"{key} does nothing, and nobody says so"


@pytest.fixture
def outcome(tmp_path):
    """:func:`tiny.outcome`, each run once."""
    numbers = itertools.count()

    def of(kind, same):
        @functools.cache
        def run(text):
            return tiny.outcome(tmp_path / str(next(numbers)), waiting[text], kind, same)

        waiting: dict[str, Any] = {}

        def asked(config):
            waiting[repr(config)] = config
            return run(repr(config))

        return asked

    return of


def cases(method: str) -> list[tuple[str, bool]]:
    """The kinds of input and whether the classes are alike that make a difference to the method's options."""
    sees = method_schema(method).sees
    if method == "self_taught":
        return [("images", False)]
    return [("vectors", True), ("vectors", False)] if sees.classes == "any" and sees.net else [("vectors", True)]


@pytest.mark.parametrize(("method", "kind", "same"), [(m, *case) for m in method_files() for case in cases(m)])
def test_every_option_of_a_method_acts_or_is_said_to_be_idle(outcome, method, kind, same):
    cls = method_schema(method).config
    run = outcome(kind, same)
    for context in contexts(method):
        base = tiny.settings(method, context)
        if verdict(base, kind, same):
            continue
        for f in dataclasses.fields(cls):
            if f.name in context:
                continue
            for value in others(cls, f, getattr(base.method, f.name), OTHER.get(method, {})):
                try:
                    changed = tiny.settings(method, {**context, f.name: value})
                except UserError:  # refused by the options themselves
                    continue
                judge(run, base, changed, f"method.{f.name}", kind, same, list(context))


MODEL = {"hidden": [[60]], "critic": [[3]], "width": [0.1], "input_size": [36], "dropout": [0.5]}
MODEL |= {"weights": [], "frozen": [], "architecture": []}  # of backbones: tests/models
TRAIN = {"steps": [2], "batch_size": [5], "average": [0.5], "weight_decay": [0.1], "evaluations": [2],
         "clip": [1e-3], "warm_up": [0.5]}  # fmt: skip
SHOWN = ("log_every", "checkpoint_every")
"""How often something is written, which no result depends on."""


@pytest.mark.parametrize(("method", "options", "kind"), [
    ("dann", {}, "images"), ("source_only", {}, "vectors"), ("eszsl", {}, "images"), ("zero_shot", {}, "vectors"),
    ("self_taught", {}, "vectors"), ("subspace_alignment", {}, "vectors"),
    ("subspace_alignment", {"features": "inputs"}, "vectors"),
    ("finetune", {"trainable": "head", "initial": "scratch"}, "vectors"),
    ("layer_transfer", {"donor": "random", "steps": 2}, "vectors"),
    ("progressive", {"first": "random", "steps": 2}, "vectors"),
])  # fmt: skip
def test_every_option_of_net_and_training_acts_or_is_said_to_be_idle(outcome, method, options, kind):
    run, base = outcome(kind, True), tiny.settings(method, options)
    known = idle.keys(base, tiny.found(method, kind))
    for section, cls, named in (("model", ModelConfig, MODEL), ("train", TrainConfig, TRAIN)):
        own = getattr(base, section)
        names = [f.name for f in dataclasses.fields(cls) if f.name not in ("name", *SHOWN)]
        whole = all(f"{section}.{name}" in known for name in names if name != "input_size")
        if whole or (section == "model" and method != "dann"):  # a few stand for all
            names = [name for name in names if name in ("critic", "dropout", "lr", "input_size")]
        for f in (f for f in dataclasses.fields(cls) if f.name in names):
            for value in others(cls, f, getattr(own, f.name), named):
                if value != NORMALISATIONS[kind][0]:  # what auto stands for
                    changed = dataclasses.replace(base, **{section: dataclasses.replace(own, **{f.name: value})})
                    judge(run, base, changed, f"{section}.{f.name}", kind, True)


def test_momentum_is_of_sgd_alone(outcome):
    base = tiny.settings("dann", optimiser="adam")
    changed = tiny.settings("dann", optimiser="adam", momentum=0.5)
    judge(outcome("images", True), base, changed, "train.momentum", "images", True)
    assert idle.keys(base, {})["train.momentum"] == "train.optimiser=adam"


@pytest.mark.parametrize(("method", "options", "model", "kind", "same", "line"), [
    ("finetune", {"freeze": 3}, {}, "vectors", True, "method.freeze=3: the net has 3 layers, one must learn"),
    ("finetune", {"head": "shared"}, {}, "vectors", False, "method.head=shared: needs the same classes"),
    ("layer_transfer", {"layers": 4}, {}, "vectors", True, "method.layers=4: 3 layers can be copied here"),
    ("layer_transfer", {"layers": 3}, {}, "vectors", False, "method.layers=3: 2 layers can be copied here"),
    ("layer_transfer", {"layers": 3, "donor": "random"}, {}, "vectors", False, "layers=3: nothing is left to train"),
    ("multitask", {"private": 2}, {}, "vectors", False, "method.private=2: the net has 2 hidden layers to share"),
    ("self_taught", {"patch": 40}, {}, "images", False, "method.patch=40: images have only 20 pixels"),
    ("self_taught", {"patch": 16}, {}, "images", False, "method.pool=3: there are only 2 by 2 patches"),
    ("self_taught", {"patch": 8}, {}, "vectors", False, "method.patch=8: is for images, these are vectors"),
    ("self_taught_clustering", {"feature_clusters": 7}, {}, "vectors", False, "target inputs have only 6 values"),
    ("source_only", {}, {"normalisation": "image"}, "vectors", True, "model.normalisation=image: not for vectors"),
    ("source_only", {}, {"normalisation": "l2"}, "spectrograms", True, "model.normalisation=l2: not for spectrograms"),
    ("source_only", {}, {"normalisation": "domain"}, "vectors", True, "inputs of one domain only"),
    ("dann", {}, {"name": "lenet", "input_size": 28}, "images", True, "model=lenet: 28 x 28 leaves nothing"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_read(method, options, model, kind, same, line):
    with pytest.raises(UserError, match=line) as error:
        tiny.refused(tiny.settings(method, options, model=model), kind, same)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("net", tiny.NETS)
def test_how_many_layers_and_pixels_a_net_has_is_known_without_it(net):
    config = ModelConfig(net, width=0.05)
    preprocess = Preprocess("none")
    assert len(ConvNet(config, 3, (1, 40, 40), preprocess).layers) == architecture(config).layers
    for side in range(8, 33):
        if architecture(config).fits(side):
            ConvNet(config, 3, (1, side, side), preprocess)
        else:
            with pytest.raises(RuntimeError):
                ConvNet(config, 3, (1, side, side), preprocess)


def test_inputs_of_two_sizes_are_refused_before_anything_is_read():
    for method in ("self_taught", "self_taught_clustering"):
        found = tiny.found(method, "images", False)
        found["source"] = dataclasses.replace(found["source"], shape=(3, 32, 32))
        with pytest.raises(UserError, match=f"{method}: source inputs have 1200 values, target inputs 400: must be"):
            compatibility.check(tiny.settings(method), found)
    with pytest.raises(UserError, match="source images have 3 channels, target images 1: must be the same"):
        compatibility.check(tiny.settings("self_taught", {"patch": 8}), found)
