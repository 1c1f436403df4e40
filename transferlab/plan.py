"""What a command line will run, decided and checked before torch is imported.

Hydra composes the configuration here once more than it needs to, so that every job of a command is known,
checked and named before the first one starts, and a bad one costs a line and leaves no folder.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transferlab import data
from transferlab.config import LABELLED, Config, Sees, conf_dir, from_plain, method_schema, nearest, require
from transferlab.data import Found
from transferlab.errors import UserError
from transferlab.runs import RunFolder

VERSION_BASE = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}


@dataclass(frozen=True)
class Job:
    """One run that a command line asks for."""

    overrides: tuple[str, ...]
    config: Config
    editions: Mapping[str, str]
    folder: Path
    """Where it will go; a single run's default folder is only a wish, see :func:`runs.new_folder`."""

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint(self.editions)


def jobs(args: argparse.Namespace) -> list[Job]:
    """Every job of a command line. Raises :class:`UserError` for the first that cannot run."""
    with _hydra():
        composed = [_compose(overrides, args.config_dir) for overrides in _combinations(args)]
        configs = [typed(c) for c in composed]
        planned = [
            Job(_overrides(c), config, editions(config), _folder(c, args.multirun))
            for c, config in zip(composed, configs, strict=True)
        ]
    for job in planned:
        RunFolder(job.folder).check(job.fingerprint)
    return planned


def typed(composed: DictConfig) -> Config:
    """The typed config in what Hydra composed."""
    values = {key: value for key, value in composed.items_ex(resolve=False) if key != "hydra"}
    return from_plain(OmegaConf.to_container(OmegaConf.create(values), resolve=True))  # type: ignore[arg-type]


def editions(config: Config) -> dict[str, str]:
    """Find the data of both domains and refuse a method and data that do not fit; the editions found."""
    found = {role: data.find(config.names[role], getattr(config, role), config.data) for role in ("source", "target")}
    sees = method_schema(config.names["method"]).sees
    _check_labels(config, sees, found)
    _check_inputs(config, sees, found)
    if sees.classes == "disjoint":
        _check_signatures(config, found)
    return {role: f.edition for role, f in found.items()}


def _check_labels(config: Config, sees: Sees, found: Mapping[str, Found]) -> None:
    method = f"method={config.names['method']}"
    for role, sight in (("source", sees.source), ("target", sees.target)):
        few = getattr(config, role).per_class
        where = f"{role}.per_class={few}"
        require(few is None or sight == LABELLED, f"{where}: {method} sees no {role} labels, and this would use them")
        labels = bool(found[role].classes)
        require(labels or sight != LABELLED, f"{method}: learns from {role} labels; {found[role].name} has none")
    ours, theirs = found["source"].classes, found["target"].classes
    require(bool(theirs), f"target={config.names['target']}: has no labels to evaluate by")
    both = f"source={config.names['source']} has {_listed(ours)}, target={config.names['target']} has {_listed(theirs)}"
    fits = {"same": ours == theirs, "any": True, "disjoint": not set(ours) & set(theirs)}
    needs = {"same": "the same classes in both domains", "disjoint": "classes in the target that the source lacks"}
    require(fits[sees.classes], f"{method}: needs {needs.get(sees.classes)}; {both}")


def _check_inputs(config: Config, sees: Sees, found: Mapping[str, Found]) -> None:
    ours, theirs = found["source"].shape, found["target"].shape
    both = f"source={config.names['source']} has {ours}, target={config.names['target']} has {theirs}"
    images = len(ours) == len(theirs) == 3  # brought to model.input_size
    require(images or ours == theirs, f"inputs of another shape in each domain: {both}")
    fits = images or not sees.net or config.model.name == "mlp"
    require(fits, f"model={config.model.name}: is for images, {both}; use model=mlp")


def _check_signatures(config: Config, found: Mapping[str, Found]) -> None:
    method, lengths = f"method={config.names['method']}", []
    for role, f in found.items():
        none = f"{method}: needs a signature of each class; {role}={config.names[role]} has none"
        require(f.described > 0, none)
        lengths.append(f"{role}={config.names[role]} of {f.described} numbers")
    same = found["source"].described == found["target"].described
    require(same, f"{method}: needs signatures of one kind for all classes; {' and '.join(lengths)}")


def run_name(*, _root_: DictConfig) -> str:
    """A sweep folder's name, from its config: a readable part and a fingerprint of all that determines the result."""
    config = typed(_root_)
    readable = "-".join(config.names[group] for group in ("method", "source", "target"))
    return f"{readable}-seed{config.seed}-{config.fingerprint(editions(config))}"


OmegaConf.register_new_resolver("transferlab.run_name", run_name, replace=True)


def _listed(classes: tuple[str, ...]) -> str:
    if not classes:
        return "none"
    shown = classes if len(classes) <= 4 else (*classes[:2], "…", classes[-1])
    return f"{len(classes)} ({', '.join(shown)})"


@contextmanager
def _hydra() -> Iterator[None]:
    with hydra.initialize_config_dir(str(conf_dir()), job_name="transferlab", **VERSION_BASE):
        yield
    GlobalHydra.instance().clear()


def _combinations(args: argparse.Namespace) -> list[list[str]]:
    """The overrides of each job: of the one run, or of every combination of a sweep."""
    try:
        parsed = OverridesParser.create().parse_overrides(args.overrides)
        if not args.multirun:
            for override in parsed:
                key = override.get_key_element()
                require(not override.is_sweep_override(), f"{override.input_line}: several values need -m; "
                        f"for a list write {key}=[…]")  # fmt: skip
            return [list(args.overrides)]
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except HydraException as error:
        raise UserError(_first_line(error)) from None


def _compose(overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    extra = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        return hydra.compose("config", overrides=[*overrides, *extra], return_hydra_config=True)
    except MissingConfigException as error:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        options = error.options or []
        allowed = ", ".join(options)
        raise UserError(f"{group}={wrong}: no such choice; allowed are {allowed}{nearest(wrong, options)}") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from None


def _explain(error: Exception) -> str:
    """One line for what Hydra says, with the nearest key where a key is unknown."""
    unknown = re.match(r"Could not override '([\w.@/]+)'", str(error)) or re.match(r"Key '(\w+)'", str(error))
    if not unknown:
        return _first_line(error)
    key = unknown[1]
    base = hydra.compose("config")
    known = list(_keys(base))
    parent = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == parent] or [k for k in known if "." not in k]
    return f"{key}: no such key; allowed are {', '.join(siblings)}{nearest(key, known)}"


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{prefix}{key}.")


def _overrides(composed: DictConfig) -> tuple[str, ...]:
    return tuple(composed.hydra.overrides.task)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split())


def _folder(composed: DictConfig, multirun: bool) -> Path:
    if not multirun:
        return Path(composed.hydra.run.dir)
    return Path(composed.hydra.sweep.dir) / composed.hydra.sweep.subdir
