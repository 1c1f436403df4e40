"""What fits what: data, method, options and net, decided before a run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from transferlab import data, idle, weights
from transferlab.config import Config
from transferlab.data.contract import IMAGES, VECTORS, Dataset, Found, Labels
from transferlab.data.selection import compared, shared
from transferlab.data.split import split_rows
from transferlab.errors import require
from transferlab.map import LABELLED, Role, Sees, method_schema
from transferlab.models.architectures import ONE_DOMAIN, architecture, is_backbone, normalisation_of
from transferlab.runs import digests_of
from transferlab.validators import PROBABILISTIC, VALIDATORS
from transferlab.weights import NONE


def find(config: Config) -> dict[str, Found]:
    """The data of both domains. Raises :class:`UserError` where there is none, or method and data do not fit."""
    found = both(config)
    check(config, found)
    return found


def both(config: Config, seen: bool = True) -> dict[str, Found]:
    """The data of both domains, whatever fits; seen as by :func:`domain`. Raises :class:`UserError` for none."""
    found = {role: data.find(config.names[role], _options(config, role), config.data) for role in ("source", "target")}
    if config.data.classes == "shared" and method_schema(config.names["method"]).sees.classes == "same":
        found = shared(found)
    return {role: _as_seen(config, of_role) if seen else of_role for role, of_role in found.items()}


def domain(config: Config, role: str, seen: bool = True) -> Found:
    """The data of one domain; seen: as a backbone with trained weights sees it, where the net is one."""
    found = data.find(config.names[role], _options(config, role), config.data)
    return _as_seen(config, found) if seen else found


def _options(config: Config, role: str) -> Any:
    """The options of a domain's data, whose images are read at the net's size where nothing else is asked for."""
    options = getattr(config, role)
    follows = getattr(options, "size", 0) is None
    return dataclasses.replace(options, size=config.model.input_size) if follows else options


def _as_seen(config: Config, found: Found) -> Found:
    """A domain as a backbone with trained weights, if any, sees it, which are known with it by their content."""
    model = config.model
    if model.weights == NONE or not method_schema(config.names["method"]).sees.net:
        return found
    where = f"{found.name} has {found.kind}"
    require(found.kind == IMAGES, f"model.weights={model.weights}: is for images, {where}; use model=mlp")
    if model.frozen:
        from transferlab.models.frozen import as_features

        return as_features(found, model, config.device.name, config.data.download)
    known = weights.digest(model.name, model.weights, config.data.download)
    return dataclasses.replace(found, digest=hashlib.sha256(f"{found.digest} {known}".encode()).hexdigest())


def check(config: Config, found: Mapping[str, Found]) -> None:
    """Raise :class:`UserError` where the data, the method and its options, or the net do not fit each other."""
    sees = method_schema(config.names["method"]).sees
    _check_labels(config, sees, found)
    _check_inputs(config, sees, found)
    _check_batch(config, sees)
    _check_select(config, sees)
    if sees.classes == "disjoint":
        _check_signatures(config, found)
    config.method.check(idle.case(config, found))
    _check_samples(config, sees, found)


def digests(config: Config) -> dict[str, str]:
    """What the data that :func:`find` finds is known by."""
    return digests_of(find(config))


def _check_labels(config: Config, sees: Sees, found: Mapping[str, Found]) -> None:
    method = f"method={config.names['method']}"
    for role, sight in (("source", sees.source), ("target", sees.target)):
        few = getattr(config, role).per_class
        where = f"{role}.per_class={few}"
        require(few is None or sight == LABELLED, f"{where}: {method} sees no {role} labels, and this would use them")
        both_ways = getattr(getattr(config, role), "transductive", False) and sight == LABELLED
        learns = f"{method} learns from {role} labels, and would be tested on them"
        require(not both_ways, f"{role}.transductive=true: {learns}")
        labels = bool(found[role].classes)
        require(labels or sight != LABELLED, f"{method}: learns from {role} labels; {found[role].name} has none")
    ours, theirs = found["source"].classes, found["target"].classes
    few = sees.source == LABELLED and len(ours) < sees.seen
    require(not few, f"{method}: needs at least {sees.seen} classes to learn from, the source has {_listed(ours)}")
    require(
        len(theirs) != 1,
        f"target={config.names['target']}: has one class alone ({theirs[0] if theirs else ''}); any guess is right",
    )
    require(bool(theirs), f"target={config.names['target']}: has no labels to evaluate by")
    both = f"source={config.names['source']} has {_listed(ours)}, target={config.names['target']} has {_listed(theirs)}"
    disjoint = sees.classes != "disjoint" or not set(ours) & set(theirs)
    require(disjoint, f"{method}: needs classes in the target that the source lacks; {both}")
    go_on = "; data.classes=shared takes only those that both have" if len(set(ours) & set(theirs)) >= 2 else ""
    same = sees.classes != "same" or ours == theirs
    needs = f"{method}: needs the same classes in both domains"
    require(same, f"{needs}; {both}: {compared(ours, theirs)}{go_on}")


def _check_samples(config: Config, sees: Sees, found: Mapping[str, Found]) -> None:
    """Refuse domains with too few samples, where their labels can be known before they are loaded."""
    for role, domain in found.items():
        if domain.labels is not None:
            tested = len(domain.labels("test")) > 0
            require(tested, f"{role}={config.names[role]}: none of its test samples is of these classes")
            training_rows(config, role, getattr(sees, role), domain.labels("train"), domain.classes)


def _check_inputs(config: Config, sees: Sees, found: Mapping[str, Found]) -> None:
    ours, theirs = found["source"].shape, found["target"].shape
    both = f"source={config.names['source']} has {ours}, target={config.names['target']} has {theirs}"
    kinds = [f.kind for f in found.values()]
    images = kinds == [IMAGES, IMAGES]  # brought to model.input_size
    require(images or ours == theirs, f"inputs of another shape in each domain: {both}")
    require(kinds[0] == kinds[1], f"inputs of another kind in each domain: {both}, {' and '.join(kinds)}")
    for role in ("source", "target"):
        own, size = getattr(getattr(config, role), "size", None), config.model.input_size
        lost = f"{role}={config.names[role]} is read at {own} pixels, which are fewer; add {role}.size={size}"
        require(not images or own is None or own >= size, f"model.input_size={size}: {lost}")
    trained = "model.frozen=true computes features once" if config.model.frozen else f"these are {kinds[0]}"
    whose = trained if sees.net else f"method={config.names['method']} trains none"
    augments = config.train.augment == "none" or (images and sees.net)
    require(augments, f"train.augment={config.train.augment}: is for images that a net is trained on; {whose}")
    if idle.trains_net(config):
        vectors = config.model.name == "mlp" or bool(config.model.frozen)
        fits = kinds[0] == IMAGES if is_backbone(config.model) else kinds[0] != VECTORS or vectors
        require(fits, f"model={config.model.name}: is for images, {both}; use model=mlp")
        how = normalisation_of(config.model, kinds[0])
        require(how != "domain" or sees.joint, ONE_DOMAIN)
        if kinds[0] != VECTORS and not is_backbone(config.model):
            sides = idle.case(config, found).shapes[0][1:]
            hint = f"{config.model.name}: {' x '.join(map(str, sides))} leaves nothing for a convolution to look at"
            fix = "a larger model.input_size" if images else "model=mlp"
            require(architecture(config.model).fits(min(sides)), f"model={hint}; use {fix}")


def _check_select(config: Config, sees: Sees) -> None:
    """A validator needs a labelled source of the target's classes, a target without labels, and often probabilities."""
    name, method = config.select, f"method={config.names['method']}"
    adapts = sees.source == LABELLED and sees.target != LABELLED and sees.classes == "same"
    require(name == "last" or adapts, f"select={name}: {method} is not unsupervised adaptation; leave select=last")
    possible = [v for v in VALIDATORS if v not in PROBABILISTIC]
    margins = name in PROBABILISTIC and not config.method.probabilities
    require(
        not margins, f"select={name}: needs probabilities, {method} has none; allowed are last, {', '.join(possible)}"
    )


def _check_batch(config: Config, sees: Sees) -> None:
    size = config.train.batch_size
    normalises = config.model.batch_norm or is_backbone(config.model)
    needed = max(sees.batch, 2 if sees.net and normalises else 1)
    own = f"model={config.model.name}" if is_backbone(config.model) else "model.batch_norm=true"
    why = own if needed > sees.batch else f"method={config.names['method']}"
    require(size >= needed, f"train.batch_size={size}: {why} needs at least {needed} samples of each domain")


def _check_signatures(config: Config, found: Mapping[str, Found]) -> None:
    method, lengths = f"method={config.names['method']}", []
    for role, f in found.items():
        none = f"{method}: needs a signature of each class; {role}={config.names[role]} has none"
        require(f.signature_size > 0, none)
        lengths.append(f"{role}={config.names[role]} of {f.signature_size} numbers")
    same = found["source"].signature_size == found["target"].signature_size
    require(same, f"{method}: needs signatures of one kind for all classes; {' and '.join(lengths)}")


def _listed(classes: tuple[str, ...]) -> str:
    if not classes:
        return "none"
    shown = classes if len(classes) <= 4 else (*classes[:2], "…", classes[-1])
    return f"{len(classes)} ({', '.join(shown)})"


def training_rows(
    config: Config, role: str, sight: Role, data: Dataset | Labels, classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for validation in the training set of a domain, source or target.

    sight: what the method sees of it. Where that is the labels, each of ``classes`` must have samples. Raises
    :class:`~transferlab.errors.UserError` for one that has none, or fewer than ``per_class`` asks for, and where a
    validator has nothing to choose by.
    """
    where, wanted = f"{role}={config.names[role]}", getattr(config, role).per_class
    rows, validation = split_rows(data, config.data.validation, sight == LABELLED)
    fits = config.select == "last" or len(validation) >= 2  # one sample has no spread
    held = f"of the {role} {len(validation)} are held out to choose by, and 2 are needed; see data.validation"
    require(fits, f"select={config.select}: {held}")
    if sight == LABELLED:
        assert data.labels is not None
        there = np.isin(np.arange(len(classes)), data.labels[rows])
        empty = ", ".join(name for name, one in zip(classes, there, strict=True) if not one)
        require(not empty, f"{where}: class {empty} has no training samples; leave it out")
    if wanted is not None:
        assert data.labels is not None
        rng = np.random.default_rng([config.seed, wanted])
        kept = []
        for label, name in enumerate(classes):
            of_class = rows[data.labels[rows] == label]
            enough = len(of_class) >= wanted
            require(enough, f"{role}.per_class={wanted}: class {name} has only {len(of_class)} samples to train on")
            kept.append(rng.permutation(of_class)[:wanted])
        rows = np.sort(np.concatenate(kept))
    return rows, validation
