"""The typed configuration, and every check of it that needs neither torch nor data.

Hydra composes plain YAML; :func:`~transferlab.build.build` turns the result into the dataclasses below, once, at the
border. Each field's doc string stands under it. A method keeps its own ``Config`` in its own module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transferlab.build import build, convert
from transferlab.devices import pick_device
from transferlab.errors import nearest, require
from transferlab.files import expanded
from transferlab.map import PACKAGE, Sees, method_schema, own_code
from transferlab.options import added, places
from transferlab.weights import NONE, TIMM, recipe

RESULTS_VERSION = 3
"""Of the results that this code gives. To be raised by every change after which a run of the same config and data ends
with another value under a key of its results.json, or without that key: of a method, a network, the training, how data
is read or divided, a metric. A key that is added beside them leaves it as it is: all that an earlier record says still
holds, and a table of what it does not say shows no figure of that run. Runs of another version are never resumed, taken
for an answer or averaged with these; the store of shared models begins again."""


def conf_dir() -> Path:
    """Where the YAML files are: inside the installed package, or beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@dataclass
class DataConfig:
    """Where data comes from."""

    root: str | None = None
    """Folder with the data sets; then $TRANSFERLAB_DATA, the user's cache and the network are tried."""
    edition: Literal["auto", "full", "sample"] = "auto"
    """full: the data set's files; sample: the small real subset in the package; auto: full where it is available."""
    download: Literal["auto", "true", "false"] = "auto"
    """Whether files that are missing may be fetched from their public address."""
    validation: int = 5000
    """Images held out of each training set for label-free model selection, at most a tenth of it."""
    resident: float = 2.0
    """GiB of a domain's images that are held in memory, on the device; what is more stays in the cache's file and is
    read from there, batch by batch."""
    classes: Literal["same", "shared"] = added("same")
    """For methods that need the same classes in both domains: same, refuse others; shared, take only those that both
    have."""

    def __post_init__(self) -> None:
        require(self.root is None or expanded(self.root).is_dir(), f"data.root={self.root}: no such folder")
        enough = self.validation == 0 or self.validation >= 10
        require(enough, f"data.validation={self.validation}: at least 10 images are needed, or 0 for none")
        require(self.resident >= 0, f"data.resident={self.resident}: must not be negative")


BOTTLENECK = 256
"""Units of the layer that is learned on frozen features."""


@dataclass
class ModelConfig:
    """The network."""

    name: str = "ganin_mnist"
    """ganin_mnist, ganin_svhn, ganin_gtsrb: the papers' nets; lenet: LeNet-5 with more maps, for 32x32 images; mlp:
    dense layers, for vectors; any classification model of torchvision, such as resnet18, without its last layer; or one
    of timm's, with model=timm."""
    architecture: str | None = added(None)
    """With model=timm, which of timm's models, such as vit_small_patch16_224."""
    hidden: list[int] | None = None
    """Units of the dense hidden layers, from the input on; null: the architecture's own, none behind a backbone."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """After every hidden layer, the critic's too."""
    critic: list[int] | None = None
    """Units of the domain critic's hidden layers; []: a linear one; null: the architecture's own."""
    width: float = 1.0
    """Factor on the number of maps and hidden units of feature extractor and label predictor."""
    weights: str = added(NONE)
    """What a backbone begins with: none, from scratch; imagenet, torchvision's usual weights or those of a package; the
    name of other weights of torchvision's; or a file, safetensors or a state dict. Images are then shown to it as they
    were in its training: brought to a size, of which it sees the middle, and normalised by fixed numbers."""
    frozen: bool | None = added(None)
    """true: the backbone stays as it is, its features of all images are computed once and kept, and methods learn on
    these vectors; null: so with trained weights where no GPU is."""
    input_size: int = 28
    """Height and width that all images are brought to, in pixels; null: as the weights want it, 32 from scratch."""
    batch_norm: bool = False
    """Batch normalisation after every hidden layer, separately for each domain (not in the papers of 2015 and 2016). A
    backbone has its own, also separate for each domain, and needs no setting."""
    batch_norm_frozen: bool = added(False)
    """Whether the batch normalisation of a backbone with trained weights stays as these have it, statistics too."""
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
        named = self.architecture is None or self.name == f"{TIMM}{self.architecture}"
        require(named, f"model.architecture={self.architecture}: is for model=timm, this is model={self.name}")
        linear = "no dense hidden layer is left"
        require(self.hidden != [] or self.name != "mlp", f"model.hidden=[]: {linear}, and mlp has no others")
        require(self.hidden != [] or not self.dropout, f"model.dropout={self.dropout}: {linear} by model.hidden=[]")
        require(20 <= self.input_size <= 512, f"model.input_size={self.input_size}: allowed is 20 to 512 pixels")
        trained = self.weights != NONE or not self.frozen
        require(trained, "model.frozen=true: needs trained weights; add model.weights=imagenet, or a file")


@dataclass
class TrainConfig:
    """Optimisation."""

    steps: int = 20000
    """Optimiser steps."""
    batch_size: int = 64
    """Images per domain in a step; a method that sees both domains takes this many of each."""
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """sgd: with momentum; adam: betas .9 and .999; adamw: the same, its weight decay apart from the gradient
    (Loshchilov & Hutter, ICLR 2019)."""
    lr: float = 0.01
    """Initial learning rate."""
    momentum: float = 0.9
    """Momentum of SGD."""
    nesterov: bool = added(False)
    """Whether the momentum is Nesterov's."""
    weight_decay: float = 0.0
    """L2 penalty of the optimiser."""
    backbone_rate: float = added(0.1)
    """Learning rate of a backbone that begins with trained weights, as a share of that of what is new behind it."""
    average: float = 0.0
    """Decay of the exponential moving average of the weights that is measured and kept; 0: the last weights. What a
    stage began with has no weight in it: in short stages the last ninth counts."""
    clip: float = added(0.0)
    """Largest length of an update's gradient, over all parameters; 0: any."""
    schedule: Literal["anneal", "constant", "cosine"] = "anneal"
    """anneal: lr / (1 + 10 p)^0.75 with p the progress from 0 to 1 (Ganin et al. 2016, section 5.2.2); cosine: half a
    cosine from lr to 0."""
    warm_up: float = added(0.0)
    """Share of the steps in which the rate rises from 0; the schedule follows in the others."""
    augment: Literal["none", "crop_flip", "crop_flip_colour"] = added("none")
    """Random changes of the training images. crop_flip: a part of 8 to 100 % of the image, up to a third wider or
    higher, brought to the net's size, and every other one mirrored; crop_flip_colour: brightness, contrast and
    saturation too, by up to 40 %."""
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
        require(0 <= self.warm_up < 1, f"train.warm_up={self.warm_up}: allowed is 0 <= warm_up < 1")
        require(self.clip >= 0, f"train.clip={self.clip}: must not be negative")
        pushed = self.optimiser != "sgd" or self.momentum > 0 or not self.nesterov
        require(pushed, "train.nesterov=true: needs train.momentum above 0")
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
    own_code: dict[str, str] = field(default_factory=dict)
    """What modules of method, source and target are known by that are of the user's own; see :func:`map.own_code`."""

    def plain(self) -> dict[str, Any]:
        """The configuration as nested dicts of plain values, without what is known of code."""
        plain = dataclasses.asdict(self)
        del plain["own_code"]
        return plain

    def fingerprint(self, digests: Mapping[str, str]) -> str:
        """Eight hexadecimal digits that name everything that determines the result.

        digests: ``Found.digest`` of source and target: data is known by its content, and so are modules of the user's
        own. Left out is what changes only where files lie, how fast it goes or what is shown.
        """
        plain = self.plain()
        del plain["store"], plain["figures"]
        for role in ("source", "target"):
            for place in places(getattr(self, role)):
                del plain[role][place]
        for section in ("method", "source", "target", "model", "train", "data"):
            for f in dataclasses.fields(getattr(self, section)):
                if f.metadata.get("added") and plain[section][f.name] == f.default:
                    del plain[section][f.name]
        for where in ("root", "edition", "download", "resident"):
            del plain["data"][where]
        del plain["device"]["threads"]
        for cadence in ("log_every", "checkpoint_every"):
            del plain["train"][cadence]
        own = [self.own_code] if self.own_code else []
        text = json.dumps([RESULTS_VERSION, plain, dict(digests), *own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def edition_name(editions: Mapping[str, str]) -> str:
    """One word where both domains' editions are the same, else source/target."""
    return "/".join(dict.fromkeys([editions["source"], editions["target"]]))


SECTIONS = ("method", "source", "target", "model", "train", "device", "data")


def schemas(names: Mapping[str, str]) -> dict[str, type]:
    """The dataclass of each section but the method's, for the domains of these ``names``: so without torch."""
    from transferlab import data

    of_names = {}
    for role in ("source", "target"):
        allowed = data.names()
        hint = f"{role}={names[role]}: allowed are {', '.join(allowed)}{nearest(names[role], allowed)}"
        require(names[role] in allowed, hint)
        of_names[role] = data.config_class(names[role])
    return {**of_names, "model": ModelConfig, "train": TrainConfig, "device": DeviceConfig, "data": DataConfig}


def from_plain(plain: Mapping[str, Any]) -> Config:
    """The typed config from what Hydra composed, or from a run's record; checks all that needs no data."""
    from transferlab.validators import VALIDATORS

    names, sections, options = typed_sections(plain)
    seed = convert(plain.get("seed", 0), int, "seed")
    require(0 <= seed < 2**31, f"seed={seed}: allowed is 0 to {2**31 - 1}")
    store = convert(plain.get("store"), str | None, "store")
    pictures = convert(plain.get("figures", True), bool, "figures")
    select = convert(plain.get("select", "last"), str, "select")
    allowed = ("last", *VALIDATORS)
    require(select in allowed, f"select={select}: allowed are {', '.join(allowed)}{nearest(select, allowed)}")
    # Last: to know a method's options costs the import of torch.
    schema = method_schema(names["method"])
    method: Any = build(schema.config, options, "method")
    _settle(sections["model"], sections["device"], schema.sees)
    kinds = {"method": "methods", "source": "data", "target": "data"}
    own = {role: code for role, kind in kinds.items() if (code := own_code(kind, names[role]))}
    return Config(
        method, **sections, names=names, seed=seed, select=select, store=store, figures=pictures, own_code=own
    )


def _settle(model: ModelConfig, device: DeviceConfig, sees: Sees) -> None:
    """Choose what was left open where there are trained weights: whether the net is frozen, and what stands behind it.

    On frozen features that are learned together, or handed on, there is a bottleneck to learn; else the head alone.
    """
    if model.frozen is None and model.weights != NONE:
        model.frozen = pick_device(device.name).type == "cpu"
    if model.frozen and model.hidden is None:
        model.hidden = [BOTTLENECK] if sees.needs_layers else []
    linear = "model.hidden=[]: the method needs a layer to learn on frozen features; leave it out"
    require(not (model.frozen and model.hidden == [] and sees.needs_layers), linear)


def _with_input_size(values: dict[str, dict[str, Any]]) -> None:
    """Put the number of pixels where null leaves it to the weights."""
    model = values["model"]
    if model.get("input_size", 0) is None:
        weights = str(model.get("weights", NONE))
        model["input_size"] = 32 if weights == NONE else recipe(str(model.get("name")), weights).resize


def typed_sections(plain: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any], Mapping[str, Any]]:
    """The names of method, source and target; the sections but the method's, typed; and the method's plain options."""
    known = [f.name for f in dataclasses.fields(Config) if f.name not in ("names", "own_code")]
    for key in plain:
        there = key in known or key == "resume"
        require(there, f"{key}: no such key; allowed are {', '.join(known)}{nearest(key, known)}")
    values = {section: dict(_section(plain, section)) for section in SECTIONS}
    names = {group: str(values[group].pop("name", "")) for group in ("method", "source", "target")}
    for group, name in names.items():
        require(name != "", f"{group}.name: a value is needed")
    _with_input_size(values)
    typed: dict[str, Any] = {section: build(cls, values[section], section) for section, cls in schemas(names).items()}
    return names, typed, values["method"]


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
