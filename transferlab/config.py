"""The typed configuration, and every check of it that needs neither torch nor data.

Hydra composes plain YAML; :func:`build` turns the result into the dataclasses below, once, at the border.
Each field's doc string stands under it. A method keeps its own ``Config`` and what it ``sees`` in its own
module; :func:`method_schema` reads both from the module's source, because importing it would import torch.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from transferlab.errors import UserError
from transferlab.files import expanded

PACKAGE = Path(__file__).parent
RESULTS_VERSION = 2
"""Of the results that this code gives. To be raised by every change after which a run of the same config and data ends
with another results.json: of a method, a network, the training, how data is read or divided, a metric. Runs of another
version are never resumed, taken for an answer or averaged with these; the store of shared models begins anew."""
T = TypeVar("T")


def conf_dir() -> Path:
    """Where the YAML files are: inside the installed package, or beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def require(condition: bool, message: str) -> None:
    """Raise :class:`UserError` with the one-line ``message`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)


class Role(str):
    """How much a method may see of one domain."""


LABELLED, UNLABELLED, NOTHING = Role("labelled"), Role("unlabelled"), Role("nothing")


@dataclass(frozen=True)
class Sees:
    """A method's place on the map: what it may see of each domain's training data, and what it needs of them.

    classes: same (one label set for both domains), any, or disjoint (zero-shot: no class in common).
    net: whether it trains the network of ``model``; otherwise it brings its own and takes vectors as they are.
    joint: whether one net takes batches of both domains, and so may keep them apart as it normalises.
    critic: whether it trains the domain critic of ``model``.
    steps: whether anything is trained step by step, as ``train`` says.
    seen: how many classes a labelled source must have; 4 where folds leave two to learn from and two to choose by.
    batch: how many samples of each domain a step needs.
    """

    source: Role
    target: Role
    classes: Literal["same", "any", "disjoint"] = "same"
    net: bool = True
    joint: bool = False
    critic: bool = False
    steps: bool = True
    seen: int = 2
    batch: int = 1

    @property
    def headline(self) -> str:
        """The key of results.json that is the method's result: zero-shot learning is measured per class."""
        return "target_mean_class_accuracy" if self.classes == "disjoint" else "target_accuracy"


@dataclass(frozen=True)
class Case:
    """What the options of a method meet in a run, as far as it is known before any data is read.

    layers: how many the net has, the head included. same_classes: in both domains; None where the data is missing.
    shapes: of one input of source and target, as the method gets it; empty where the data is missing.
    """

    model: ModelConfig
    layers: int
    same_classes: bool | None
    shapes: Sequence[tuple[int, ...]] = ()


Idle = Iterator[tuple[str, Sequence[str]]]
"""A choice, as words of a command line, and what has no effect beside it: keys, or the sections model and train."""


class Options:
    """What the ``Config`` of every method inherits: how its options hang together."""

    @property
    def probabilities(self) -> bool:
        """Whether the predictor's scores give probabilities, which many validators need."""
        return True

    def idle(self, case: Case) -> Idle:
        """Which options have no effect, beside which others; what no method uses is told in :mod:`transferlab.idle`."""
        yield from ()

    def check(self, case: Case) -> None:
        """Raise :class:`UserError` for options with which the method cannot run."""


@dataclass
class DataConfig:
    """Where data comes from."""

    root: str | None = None
    """Folder with the data sets; then $TRANSFERLAB_DATA, the user's cache and the network are tried."""
    edition: Literal["auto", "full", "sample"] = "auto"
    """full: the data set's files; sample: the small real subset in the package; auto: full where it is at hand."""
    download: Literal["auto", "true", "false"] = "auto"
    """Whether files that are missing may be fetched from their public address."""
    validation: int = 5000
    """Images held out of each training set for label-free model selection, at most a tenth of it."""

    def __post_init__(self) -> None:
        require(self.root is None or expanded(self.root).is_dir(), f"data.root={self.root}: no such folder")
        enough = self.validation == 0 or self.validation >= 10
        require(enough, f"data.validation={self.validation}: at least 10 images are needed, or 0 for none")


@dataclass
class ModelConfig:
    """The network."""

    name: Literal["ganin_mnist", "ganin_svhn", "ganin_gtsrb", "lenet", "mlp"] = "ganin_mnist"
    """Which published architecture; lenet: LeNet-5 with more maps, for 32x32 images; mlp: dense layers, for vectors."""
    hidden: list[int] | None = None
    """Units of the dense hidden layers, from the input on; null: the architecture's own."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """After every hidden layer, the critic's too."""
    critic: list[int] | None = None
    """Units of the domain critic's hidden layers; []: a linear one; null: the architecture's own."""
    width: float = 1.0
    """Factor on the number of maps and hidden units of feature extractor and label predictor."""
    input_size: int = 28
    """Height and width that all images are brought to, in pixels."""
    batch_norm: bool = False
    """Batch normalisation after every hidden layer, of each domain by itself (not in the papers of 2015 and 2016)."""
    normalisation: Literal["auto", "mean", "image", "channel", "standardise", "domain", "l1", "l2", "none"] = "auto"
    """Images: mean: subtract the training images' channel means; image: zero mean and unit variance for each image;
    channel: for each channel of each image. Vectors: standardise each feature; domain: by each domain's own mean and
    deviation; l1, l2: divide each vector by the sum of its magnitudes, by its length; none. Spectrograms: standardise
    (all values together), domain, none. auto: mean, standardise, standardise."""
    initialisation: Literal["xavier", "torch"] = "xavier"
    """xavier: Glorot uniform weights and zero biases (Caffe's filler); torch: PyTorch's default."""
    dropout: float = 0.0
    """Probability of dropping a unit before each dense hidden layer."""

    def __post_init__(self) -> None:
        require(0.05 <= self.width <= 20, f"model.width={self.width}: allowed is 0.05 to 20")
        require(0 <= self.dropout < 1, f"model.dropout={self.dropout}: allowed is 0 <= dropout < 1")
        for name in ("hidden", "critic"):
            widths = getattr(self, name) or []
            require(all(n >= 1 for n in widths), f"model.{name}={widths}: a layer needs at least 1 unit")
        linear = "no dense hidden layer is left"
        require(self.hidden != [] or self.name != "mlp", f"model.hidden=[]: {linear}, and mlp has no others")
        require(self.hidden != [] or not self.dropout, f"model.dropout={self.dropout}: {linear} by model.hidden=[]")
        require(20 <= self.input_size <= 256, f"model.input_size={self.input_size}: allowed is 20 to 256 pixels")


@dataclass
class TrainConfig:
    """Optimisation."""

    steps: int = 20000
    """Optimiser steps."""
    batch_size: int = 64
    """Images per domain in a step; a method that sees both domains takes this many of each."""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """sgd: with momentum; adam: betas .9 and .999."""
    lr: float = 0.01
    """Initial learning rate."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 0.0
    """L2 penalty of the optimiser."""
    average: float = 0.0
    """Decay of the exponential moving average of the weights that is measured and kept; 0: the last weights. What a
    stage began with has no weight in it: in short stages the last ninth counts."""
    schedule: Literal["anneal", "constant"] = "anneal"
    """anneal: lr / (1 + 10 p)^0.75 with p the progress from 0 to 1 (Ganin et al. 2016, section 5.2.2)."""
    log_every: int = 100
    """Steps between log points."""
    evaluations: int = 10
    """Evaluations in the course of training, evenly spaced, the last at the end."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "evaluations", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"train.{name}={getattr(self, name)}: must be at least 1")
        require(self.lr > 0, f"train.lr={self.lr}: must be greater than 0")
        require(0 <= self.momentum < 1, f"train.momentum={self.momentum}: allowed is 0 <= momentum < 1")
        require(0 <= self.average < 1, f"train.average={self.average}: allowed is 0 <= average < 1")
        require(self.weight_decay >= 0, f"train.weight_decay={self.weight_decay}: must not be negative")


@dataclass
class DeviceConfig:
    """Where and how precisely it computes."""

    name: str = "auto"
    """auto: cuda, then mps, then cpu; or a torch device such as cpu or cuda:1."""
    precision: Literal["auto", "float32", "bf16"] = "float32"
    """bf16: autocast to bfloat16 in the forward pass; weights stay float32. auto: whichever trains the net faster on
    this machine, measured once and kept in the user's cache; the result says which."""
    threads: int = 0
    """CPU threads; 0: all cores, or one where a sweep runs several processes."""

    def __post_init__(self) -> None:
        known = self.name in ("auto", "cpu", "cuda", "mps") or self.name.removeprefix("cuda:").isdecimal()
        require(known, f"device.name={self.name}: allowed are auto, cpu, cuda, cuda:<n>, mps")
        require(self.threads >= 0, f"device.threads={self.threads}: must not be negative")


@dataclass
class Config:
    """One run, completely: everything that determines its result."""

    method: Any
    """The method's own options, an instance of its ``Config``."""
    source: Any
    """The source domain's options, an instance of its data module's ``Config``."""
    target: Any
    """The target domain's options."""
    model: ModelConfig
    train: TrainConfig
    device: DeviceConfig
    data: DataConfig
    names: dict[str, str]
    """The names of method, source and target, as chosen on the command line."""
    seed: int = 0
    """Seed of everything random in the run."""
    select: str = "last"
    """What a run returns: last, the last step; or the name of a validator, which chooses without target labels."""
    figures: bool = True
    """Whether pictures are drawn at the end of a run."""
    store: str | None = None
    """Folder of source models that runs share; null: every run trains its own."""

    def plain(self) -> dict[str, Any]:
        """The configuration as nested dicts of plain values."""
        return dataclasses.asdict(self)

    def fingerprint(self, digests: Mapping[str, str]) -> str:
        """Eight hexadecimal digits that name everything that determines the result.

        digests: ``Found.digest`` of source and target: data is known by its content. Left out is what changes only
        where files lie, how fast it goes or what is shown.
        """
        plain = self.plain()
        del plain["store"], plain["figures"]
        for role in ("source", "target"):
            for place in places(getattr(self, role)):
                del plain[role][place]
        for f in dataclasses.fields(self.method):
            if f.metadata.get("added") and plain["method"][f.name] == f.default:
                del plain["method"][f.name]
        for where in ("root", "edition", "download"):
            del plain["data"][where]
        del plain["device"]["threads"]
        for cadence in ("log_every", "checkpoint_every"):
            del plain["train"][cadence]
        text = json.dumps([RESULTS_VERSION, plain, dict(digests)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def added(default: Any) -> Any:
    """A method's option that came when there were runs already: by its default they are what they were without it."""
    return dataclasses.field(default=default, metadata={"added": True})


def place() -> Any:
    """A field of a data set's options that says where its files lie: no part of what determines the result."""
    return dataclasses.field(default="", metadata={"place": True})


def places(options: Any) -> list[str]:
    """The names of such fields."""
    return [field.name for field in dataclasses.fields(options) if field.metadata.get("place")]


def edition_name(editions: Mapping[str, str]) -> str:
    """One word where both domains' editions are the same, else source/target."""
    return "/".join(dict.fromkeys([editions["source"], editions["target"]]))


def nearest(word: str, allowed: Iterable[str]) -> str:
    """'; did you mean x?' for the allowed word most like ``word``, or nothing."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of dataclass ``cls`` from plain ``values``; ``where`` is its place in the config.

    Raises :class:`UserError` for an unknown or missing key, a wrong type or a value that is not allowed.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        require(
            key in fields,
            f"{where}.{key}: no such key; allowed are {', '.join(fields) or '(none)'}{nearest(key, fields)}",
        )
    given = {key: _typed(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    for key, f in fields.items():
        needed = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        require(key in given or not needed, f"{where}.{key}: a value is needed")
    return cls(**given)


def _typed(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        allowed = [str(a) for a in typing.get_args(hint)]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        require(text in allowed, f"{where}={value}: allowed are {', '.join(allowed)}{nearest(text, allowed)}")
        return text
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if value is None else _typed(value, kinds[0], where)
    if origin is list:
        require(isinstance(value, list | tuple), f"{where}={value}: a list is needed")
        return [_typed(item, typing.get_args(hint)[0], where) for item in value]
    if origin is dict:
        require(isinstance(value, dict), f"{where}={value}: a mapping is needed")
        return {str(key): _typed(item, typing.get_args(hint)[1], f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        require(isinstance(value, dict), f"{where}={value}: a mapping is needed")
        return build(typing.cast(type, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))
    text = f"; if it is one, put quotes around it: '{'null' if value is None else str(value).lower()}'" * (hint is str)
    require(fits, f"{where}={value}: {kind} is needed{text}")
    require(hint is not float or math.isfinite(value), f"{where}={value}: a finite number is needed")
    return value


@dataclass(frozen=True)
class MethodSchema:
    """What can be known of a method without importing it."""

    name: str
    module: str
    sees: Sees
    config: type


@cache
def method_files() -> dict[str, Path]:
    """Every method's name and file: a module in a folder of ``transferlab/methods``."""
    files: dict[str, Path] = {}
    for path in sorted((PACKAGE / "methods").glob("*/*.py")):
        if path.stem.startswith("_"):
            continue
        if path.stem in files:
            raise RuntimeError(f"two methods are called {path.stem}: {files[path.stem]} and {path}")
        files[path.stem] = path
    return files


@cache
def method_schema(name: str) -> MethodSchema:
    """What method ``name`` sees and its ``Config``, read from its source without importing torch."""
    files = method_files()
    require(name in files, f"method={name}: allowed are {', '.join(files)}{nearest(name, files)}")
    tree = ast.parse(files[name].read_text(encoding="utf-8"))
    wanted: list[ast.stmt] = [
        node
        for node in tree.body
        if (isinstance(node, ast.ClassDef) and node.name == "Config")
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "sees")
    ]
    scope: dict[str, Any] = {
        "__name__": __name__, "dataclass": dataclass, "field": dataclasses.field, "Literal": Literal,
        "require": require, "Options": Options, "added": added, "math": math,
        "Sees": Sees, "LABELLED": LABELLED, "UNLABELLED": UNLABELLED, "NOTHING": NOTHING,
    }  # fmt: skip
    exec(compile(ast.Module(wanted, []), str(files[name]), "exec"), scope)
    module = ".".join(("transferlab", *files[name].relative_to(PACKAGE).with_suffix("").parts))
    return MethodSchema(name, module, scope["sees"], scope["Config"])


SECTIONS = ("method", "source", "target", "model", "train", "device", "data")


def schemas(names: Mapping[str, str]) -> dict[str, type]:
    """The dataclass of each section of the config, for the method and the domains of these ``names``."""
    from transferlab import data

    of_names = {"method": method_schema(names["method"]).config}
    for role in ("source", "target"):
        allowed = data.names()
        hint = f"{role}={names[role]}: allowed are {', '.join(allowed)}{nearest(names[role], allowed)}"
        require(names[role] in allowed, hint)
        of_names[role] = data.config_class(names[role])
    return {**of_names, "model": ModelConfig, "train": TrainConfig, "device": DeviceConfig, "data": DataConfig}


def from_plain(plain: Mapping[str, Any]) -> Config:
    """The typed config from what Hydra composed, or from a run's record; checks all that needs no data."""
    from transferlab.evaluation.validators import VALIDATORS

    sections = dict(plain)
    sections.pop("resume", None)
    known = [f.name for f in dataclasses.fields(Config) if f.name != "names"]
    for key in sections:
        require(key in known, f"{key}: no such key; allowed are {', '.join(known)}{nearest(key, known)}")
    values = {section: dict(_section(sections, section)) for section in SECTIONS}
    names = {group: str(values[group].pop("name", "")) for group in ("method", "source", "target")}
    for group, name in names.items():
        require(name != "", f"{group}.name: a value is needed")
    typed: dict[str, Any] = {section: build(cls, values[section], section) for section, cls in schemas(names).items()}
    seed = _typed(sections.get("seed", 0), int, "seed")
    require(0 <= seed < 2**31, f"seed={seed}: allowed is 0 to {2**31 - 1}")
    store = _typed(sections.get("store"), str | None, "store")
    pictures = _typed(sections.get("figures", True), bool, "figures")
    select = _typed(sections.get("select", "last"), str, "select")
    allowed = ("last", *VALIDATORS)
    require(select in allowed, f"select={select}: allowed are {', '.join(allowed)}{nearest(select, allowed)}")
    return Config(**typed, names=names, seed=seed, select=select, store=store, figures=pictures)


def _section(sections: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = sections.get(key) or {}
    require(isinstance(section, Mapping), f"{key}={section}: a mapping is needed")
    return section


def to_plain(config: Config) -> dict[str, Any]:
    """The inverse of :func:`from_plain`, for a run's record."""
    plain = config.plain()
    names = plain.pop("names")
    for group, name in names.items():
        plain[group] = {"name": name, **plain[group]}
    return plain
