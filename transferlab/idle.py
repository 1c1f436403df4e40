"""Options without effect: which of a run's options change nothing beside the others, and words that ask for them.

A word of a command line or of a table that changes nothing in any of its runs is a mistake, and is refused. What is
said of training alone is not: it is common to the methods of a comparison, one of which may not train.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from transferlab.config import Config, ModelConfig, TrainConfig
from transferlab.data import Found
from transferlab.data.contract import IMAGES
from transferlab.errors import UserError
from transferlab.map import method_schema
from transferlab.models.architectures import depth, is_backbone, is_pretrained
from transferlab.options import Case, Idle

Run = tuple[Sequence[str], Mapping[str, str]]
"""The words of one run, and what :func:`keys` says of it."""
SECTIONS = {
    "model": [f"model.{f.name}" for f in fields(ModelConfig) if f.name != "input_size"],
    "train": [f"train.{f.name}" for f in fields(TrainConfig)],
}
"""What goes by one name. Images are brought to model.input_size for every method, whether it has a net or not."""


def case(config: Config, found: Mapping[str, Found]) -> Case:
    """What the method's options meet; found: the data of both domains, empty where it is missing."""
    size = config.model.input_size
    shapes = [(f.shape[0], size, size) if f.kind == IMAGES else f.shape for f in found.values()]
    same = found["source"].classes == found["target"].classes if found else None
    kind = found["target"].kind if found else ""
    return Case(config.model, depth(config.model), same, kind, shapes)


def keys(config: Config, found: Mapping[str, Found]) -> dict[str, str]:
    """The keys of options without effect, each with the choice that makes it so."""
    sections = ((key, why) for why, names in _choices(config, found) for key in names)
    told: dict[str, str] = {}
    for section, why in sections:
        for key in SECTIONS.get(section, [section]):
            told.setdefault(key, why)
    return told


def trains_net(config: Config) -> bool:
    """Whether the network of ``model`` is used at all."""
    used = all("model" not in names for _, names in config.method.idle(case(config, {})))
    return method_schema(config.names["method"]).sees.net and used


def _choices(config: Config, found: Mapping[str, Found]) -> Idle:
    """What the method says, and what is alike for all."""
    name = config.names["method"]
    sees = method_schema(name).sees
    yield f"method={name}", [section for section, used in (("model", sees.net), ("train", sees.steps)) if not used]
    yield from config.method.idle(case(config, found))
    if not sees.critic:
        yield f"method={name}", ["model.critic"]
    if is_backbone(config.model):
        behind = ["model.batch_norm", "model.dropout", *([] if sees.critic else ["model.activation"])]
        yield f"model={config.model.name}", ["model.width", *([] if config.model.hidden else behind)]
    if config.model.frozen and not config.model.hidden:
        behind = ["model.width", "model.batch_norm", *([] if sees.critic else ["model.activation"])]
        yield f"method={name} on frozen features, whose head is solved", ["train", "model.initialisation", *behind]
    if not is_pretrained(config.model):
        yield (
            f"model.weights={config.model.weights}{' model.frozen=true' * bool(config.model.frozen)}",
            ["train.backbone_rate", "model.batch_norm_frozen"],
        )
    if config.train.optimiser != "sgd":
        yield f"train.optimiser={config.train.optimiser}", ["train.momentum", "train.nesterov"]
    if sees.classes != "disjoint":
        yield f"method={name}", [f"{role}.signatures" for role in ("source", "target")]
    if config.data.classes == "shared":
        if sees.classes != "same":
            yield f"method={name}", ["data.classes"]
        elif found and not any(f.shared for f in found.values()):
            yield "the same classes in both domains", ["data.classes"]
    for role, f in found.items():
        for option, choice in f.idle.items():
            yield choice, [f"{role}.{option}"]
    kinds = {f.kind for f in found.values()}
    if kinds and IMAGES not in kinds and not config.model.frozen:
        yield f"{' and '.join(sorted(kinds))} in place of images", ["model.input_size"]


def refuse(runs: Iterable[Run], of: Sequence[str] | None = None) -> None:
    """Raise :class:`~transferlab.errors.UserError` for words without effect in each of the runs that they are for.

    of: only these words; None: all.
    """
    why: dict[str, list[str]] = {}
    acting: set[str] = set()
    for words, told in runs:
        for word in (word.lstrip("+") for word in words):
            choice = told.get(word.lstrip("~").partition("=")[0])
            common = word.startswith("train.") and choice is not None and choice.startswith("method")
            if choice is None or common:
                acting.add(word)
            elif of is None or word in of:
                why.setdefault(word, []).append(choice)
    idle = {word: list(dict.fromkeys(choices)) for word, choices in why.items() if word not in acting}
    if idle:
        together = next(iter(idle.values()))
        shown = [word for word, choices in idle.items() if choices == together]
        have, them = ("has", "it") if len(shown) == 1 else ("have", "them")
        raise UserError(f"{', '.join(shown)}: {have} no effect with {' or '.join(together)}; leave {them} out")
