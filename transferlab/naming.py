"""What a run is called: the options in which it differs from the defaults, for records, titles and file names."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from typing import Any, Literal

from transferlab.config import Config, DataConfig, ModelConfig, TrainConfig
from transferlab.files import expanded
from transferlab.options import places

UNNAMED = ("seed", "figures", "store", "log_every", "checkpoint_every", "root", "edition", "download", "resident")
"""Outside the domains: what has a key of its own in the results, or does not determine them."""
FILES = (".npz", ".mat", ".csv", ".csv.gz", ".tsv", ".txt")
"""Endings that a file of own data is called without."""
LONGEST = 48
"""Bytes of a part of a file name."""


def differences(config: Config) -> dict[str, dict[str, Any]]:
    """What differs from the defaults: of ``source``, ``target``, ``method``, and of everything else as ``options``.

    Where both domains come from one data set, what they differ in is told of both, except for "none". Keys of
    ``options`` have their section before a dot. Where and how fast it computes is left out.
    """
    told = {role: _changed(getattr(config, role)) for role in ("source", "target", "method")}
    ours, theirs = vars(config.source), vars(config.target)
    if config.names["source"] == config.names["target"]:
        for key in (key for key in ours if ours[key] != theirs[key]):
            both = (("source", ours[key]), ("target", theirs[key]))
            told = {**told, **{role: {**told[role], key: value} for role, value in both if value not in (None, "none")}}
    options = {
        f"{section}.{key}": value
        for section, cls in (("model", ModelConfig), ("train", TrainConfig), ("data", DataConfig))
        for key, value in _changed(getattr(config, section), cls).items()
        if key not in UNNAMED
    }
    top = [f for f in dataclasses.fields(config) if f.default is not dataclasses.MISSING and f.name not in UNNAMED]
    options |= {f.name: getattr(config, f.name) for f in top if getattr(config, f.name) != f.default}
    return {**told, "options": options}


def record(config: Config) -> dict[str, dict[str, Any]]:
    """:func:`differences` under the keys that they have in results.json."""
    told = differences(config)
    methods = {f"method.{key}": value for key, value in told["method"].items()}
    return {
        "source_options": told["source"], "target_options": told["target"], "options": methods | told["options"]
    }  # fmt: skip


def words(config: Config) -> dict[str, str]:
    """What ``method``, ``source`` and ``target`` are called, such as "office31 webcam" or "mnist per_class=5"."""
    return {group: " ".join(parts) for group, parts in _parts(config).items()}


def sentence(config: Config) -> str:
    """The run in a line, such as "dann: office31 amazon -> office31 webcam, seed 0"."""
    called = words(config)
    return f"{called['method']}: {called['source']} -> {called['target']}, seed {config.seed}"


def label(config: Config) -> str:
    """The run as part of a file name, such as "dann-office31.amazon-office31.webcam"."""
    return "-".join(_file_name(parts) for parts in _parts(config).values())


def spelled(options: Mapping[str, Any]) -> str:
    """Options as they stand on a command line."""
    return " ".join(f"{key}={_value(value)}" for key, value in options.items())


def _parts(config: Config) -> dict[str, list[str]]:
    """Of method, source and target the name, then a word for each option that differs from its default."""
    told, called = differences(config), _places(config)
    parts = {}
    for group in ("method", "source", "target"):
        options = getattr(config, group)
        hints = typing.get_type_hints(type(options))
        parts[group] = [called.get(group, config.names[group])]
        for key, value in told[group].items():
            if key not in places(options):
                chosen = typing.get_origin(hints.get(key)) is Literal  # a choice speaks for itself
                parts[group].append(str(value) if chosen else f"{key}={_value(value)}")
    return parts


def _places(config: Config) -> dict[str, str]:
    """What own data is called: by its file's or folder's name, with as many folders above as tell the two apart."""
    parts: dict[str, tuple[str, ...]] = {}
    for role in ("source", "target"):
        options = getattr(config, role)
        for place in filter(None, (getattr(options, key) for key in places(options))):
            path = expanded(place).absolute()
            path = path.resolve() if ".." in path.parts else path
            name = path.name.split(".")[0] if path.name.endswith(FILES) else path.name
            parts.setdefault(role, (*path.parent.parts[1:], name))
    count = 1
    ours, theirs = parts.get("source", ()), parts.get("target", ())
    while ours and theirs and ours != theirs and ours[-count:] == theirs[-count:]:
        count += 1
    return {role: "/".join(path[-count:]) for role, path in parts.items()}


def _changed(options: Any, cls: type | None = None) -> dict[str, Any]:
    default = vars((cls or type(options))())
    return {key: value for key, value in vars(options).items() if value != default[key]}


def _value(value: Any) -> str:
    if isinstance(value, list):
        shown = value if len(value) <= 10 else [*value[:8], "…", value[-1]]
        return ",".join(map(str, shown))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _file_name(parts: list[str]) -> str:
    text = ".".join(part.replace("=", "_").replace(",", "+") for part in parts)
    safe = re.sub(r"[^\w.+-]+", "_", text).strip("._-") or "own"
    return safe.encode()[:LONGEST].decode(errors="ignore")


def metric_words(metric: str) -> str:
    """A key of results.json as words: 'target mean class accuracy' is the mean per class, 'target ece' target ECE."""
    words = metric.replace("_", " ").replace("mean class accuracy", "accuracy, mean per class")
    return re.sub(r"\b(f1|auroc|ece)$", lambda match: match[0].upper(), words)
