"""What a command line will run, decided and checked before torch is imported.

Hydra composes the configuration here once more than it needs to, so that every job of a command is known,
checked and named before the first one starts, and a bad one costs a line and leaves no folder.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.types import HydraContext, RunMode, TaskFunction
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


def refuse(message: str) -> NoReturn:
    """What an argument parser does with a wrong flag."""
    raise UserError(f"{message}; see transferlab --help")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags and the overrides in ``words``, in any order. Raises :class:`UserError` for a wrong flag."""
    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(list(words))
    for flag in ("config_name", "config_path"):
        name = f"--{flag.replace('_', '-')}"
        require(getattr(args, flag) is None, f"{name}: there is one config; bring your own choices with --config-dir")
    require(args.experimental_rerun is None, "--experimental-rerun: write transferlab resume=<folder>")
    one = args.cfg or args.info
    require(not (args.multirun and one), f"--{'cfg' if args.cfg else 'info'}: shows a single run; leave out -m")
    mode = "hydra.mode" in map(key_of, args.overrides)
    require(not mode, "hydra.mode: -m before the words makes a sweep")
    folder = args.config_dir
    require(folder is None or Path(folder).is_dir(), f"--config-dir {folder}: no such folder")
    return args


def key_of(word: str) -> str:
    """The key that an override is about, without Hydra's marks for adding and deleting."""
    return word.lstrip("+~").partition("=")[0]


def is_hydras(key: str) -> bool:
    """Whether it is one of Hydra's own settings or groups, not the run's."""
    return key.startswith(("hydra.", "hydra/"))


def jobs(args: argparse.Namespace) -> list[Job]:
    """Every job of a command line. Raises :class:`UserError` for the first that cannot run."""
    with _hydra():
        composed = [_compose(overrides, args.config_dir) for overrides in _combinations(args)]
        configs = [typed(c) for c in composed]
        planned = [
            Job(_overrides(c), config, editions(config), _folder(c, args.multirun))
            for c, config in zip(composed, configs, strict=True)
        ]
    taken: dict[Path, str] = {}
    for job in planned:
        RunFolder(job.folder).check(job.fingerprint)
        alone = taken.setdefault(job.folder, job.fingerprint) == job.fingerprint
        require(alone, f"{job.folder}: several runs of the sweep would go there; leave out hydra.sweep.subdir=…")
    return planned


def compose(lists: Sequence[Sequence[str]], config_dir: str | None) -> list[DictConfig]:
    """What Hydra composes of each list of overrides, Hydra's own settings included."""
    with _hydra():
        return [_compose(overrides, config_dir) for overrides in lists]


def launch(lists: Sequence[Sequence[str]], words: Sequence[str], config_dir: str | None, task: TaskFunction) -> None:
    """Run ``task`` once for each list of overrides, as jobs of a sweep, by the launcher that ``words`` choose.

    A sweeper would ask for a product of choices; a launcher takes any list of jobs.
    """
    with _hydra():
        engine = GlobalHydra.instance().hydra
        assert engine is not None
        ours = [word for word in words if is_hydras(key_of(word))]  # others are for jobs alone
        shared = [*ours, *_search_path(config_dir), "hydra.mode=MULTIRUN"]
        config = engine.compose_config("config", shared, RunMode.MULTIRUN, with_log_configuration=False)
        context = HydraContext(config_loader=engine.config_loader, callbacks=Callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
        launcher.launch(lists, initial_job_idx=0)


def check_words(args: argparse.Namespace) -> None:
    """Raise :class:`UserError` where the overrides do not compose."""
    with _hydra():
        for overrides in _combinations(args):
            _compose(overrides, args.config_dir)


def typed(composed: DictConfig) -> Config:
    """The typed config in what Hydra composed."""
    values = {key: value for key, value in composed.items_ex(resolve=False) if key != "hydra"}
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from None
    return from_plain(plain)


def find(config: Config) -> dict[str, Found]:
    """The data of both domains. Raises :class:`UserError` where there is none, or method and data do not fit."""
    found = {role: data.find(config.names[role], getattr(config, role), config.data) for role in ("source", "target")}
    sees = method_schema(config.names["method"]).sees
    _check_labels(config, sees, found)
    _check_inputs(config, sees, found)
    if sees.classes == "disjoint":
        _check_signatures(config, found)
    return found


def editions(config: Config) -> dict[str, str]:
    """The editions of the data that :func:`find` finds."""
    return {role: found.edition for role, found in find(config).items()}


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


def run_name(config: Config, editions: Mapping[str, str]) -> str:
    """A sweep folder's name: a readable part and a fingerprint of all that determines the result."""
    readable = "-".join(config.names[group] for group in ("method", "source", "target"))
    return f"{readable}-seed{config.seed}-{config.fingerprint(editions)}"


def _run_name(*, _root_: DictConfig) -> str:
    config = typed(_root_)
    return run_name(config, editions(config))


# The OmegaConf that Hydra 1.4 brings has given it the name that an older function had.
_register: Callable[..., None] = OmegaConf.register_new_resolver if VERSION_BASE else OmegaConf.register_resolver
_register("transferlab.run_name", _run_name, replace=True)


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
        loader = GlobalHydra.instance().config_loader()  # knows the choices of a glob
        parsed = OverridesParser.create(loader).parse_overrides(args.overrides)
        if not args.multirun:
            for override in parsed:
                key = override.get_key_element()
                require(not override.is_sweep_override(), f"{override.input_line}: several values need -m; "
                        f"for a list write {key}=[…]")  # fmt: skip
            return [list(args.overrides)]
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except HydraException as error:
        raise UserError(_wrong_word(args.overrides, error)) from None


def _wrong_word(overrides: Sequence[str], error: Exception) -> str:
    """Which of ``overrides`` cannot be read, and why."""
    for word in overrides:
        try:
            OverridesParser.create().parse_override(word)
        except HydraException as reason:
            detail = _first_line(reason).removeprefix(f"Error parsing override '{word}' ")
            return f"{word}: not of the form key=value ({detail}); quote odd characters: \"key='…'\""
    return _first_line(error)


def _compose(overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    words = [*overrides, *_search_path(config_dir)]
    try:
        return hydra.compose("config", overrides=words, return_hydra_config=True)
    except MissingConfigException as error:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        options = error.options or []
        allowed = ", ".join(options)
        raise UserError(f"{group}={wrong}: no such choice; allowed are {allowed}{nearest(wrong, options)}") from None
    except Exception as error:  # a user's own YAML, or an odd override, makes Hydra raise many kinds
        raise UserError(_explain(error, words)) from None


def _search_path(config_dir: str | None) -> list[str]:
    return [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []


def _explain(error: Exception, overrides: Sequence[str]) -> str:
    """One line for what Hydra says, with the nearest key where a key is unknown."""
    unknown = re.match(r"Could not override '([\w.@/]+)'", str(error)) or re.match(r"Key '(\w+)'", str(error))
    if not unknown:
        return f"{_blamed(overrides)}{_first_line(error)}"
    key = unknown[1]
    require(key != "table", "table: is a word of its own: transferlab table <name>")
    require(not key.startswith("hydra."), f"{key}: Hydra has no such key; --cfg hydra shows all")
    known = list(_keys(hydra.compose("config")))
    group = key.partition(".")[0]
    missing = f"{key}: {group}='s file lacks it; let it begin with defaults: [<a shipped choice>], or write +{key}=…"
    require(key not in known, missing)
    parent = key.rpartition(".")[0]
    siblings = [k for k in known if k.rpartition(".")[0] == parent] or [k for k in known if "." not in k]
    return f"{key}: no such key; allowed are {', '.join(siblings)}{nearest(key, known)}"


def _blamed(overrides: Sequence[str]) -> str:
    """The first of ``overrides`` with which alone nothing composes: Hydra does not always name it."""
    search = [word for word in overrides if word.startswith("hydra.searchpath=")]
    for word in overrides:
        try:
            hydra.compose("config", overrides=[*search, word])
        except Exception:
            return f"{word}: "
    return ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, config):
        yield f"{prefix}{key}"
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _keys(child, f"{prefix}{key}.")


def _overrides(composed: DictConfig) -> tuple[str, ...]:
    return tuple(composed.hydra.overrides.task)


def _first_line(error: Exception) -> str:
    text = re.sub(r"\s+See https://hydra.cc\S* for details", "", str(error).split("\n\n")[0])
    return " ".join(text.split()) or type(error).__name__


def _folder(composed: DictConfig, multirun: bool) -> Path:
    if not multirun:
        return Path(setting(composed, "run.dir"))
    return Path(setting(composed, "sweep.dir")) / setting(composed, "sweep.subdir")


def setting(composed: DictConfig, key: str) -> str:
    """One of Hydra's own settings. Raises :class:`UserError` where it refers to what is not there."""
    try:
        return str(OmegaConf.select(composed.hydra, key, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.{key}: {_first_line(error)}") from None
