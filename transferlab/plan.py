"""What a command line will run, decided and checked before anything runs.

Hydra composes the configuration here once more than it needs to, so that every job of a command is known,
checked and named before the first one starts, and a bad one costs a line and leaves no folder.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import HydraException, MissingConfigException
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from transferlab import compatibility, hydra_adapter, idle, naming
from transferlab.config import Config, from_plain, schemas
from transferlab.data.contract import Found
from transferlab.errors import UserError, nearest, require
from transferlab.files import expanded, make_folder
from transferlab.map import method_schema
from transferlab.precision import resolved
from transferlab.runs import RunFolder, digests_of, new_folder


@dataclass(frozen=True)
class Job:
    """One run that a command line asks for."""

    overrides: tuple[str, ...]
    """Without Hydra's own settings."""
    config: Config
    digests: Mapping[str, str]
    sweep: Path
    """The folder of all runs' folders; of a single run, the one above its own."""
    folder: Path
    """Where it will go; a single run's default folder may get a number added, see :func:`runs.new_folder`."""

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint(self.digests)


def refuse(message: str) -> NoReturn:
    """Raise :class:`UserError`; replaces ``ArgumentParser.error``."""
    raise UserError(f"{message}; see transferlab --help")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags and the overrides in ``words``, in any order. Raises :class:`UserError` for a wrong flag."""
    parser = hydra_adapter.parser()
    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(list(words))
    for flag in ("config_name", "config_path"):
        name = f"--{flag.replace('_', '-')}"
        require(getattr(args, flag) is None, f"{name}: there is one config; bring your own choices with --config-dir")
    require(args.experimental_rerun is None, "--experimental-rerun: write transferlab resume=<folder>")
    one = args.cfg or args.info
    require(not (args.multirun and one), f"--{'cfg' if args.cfg else 'info'}: shows a single run; leave out -m")
    for flag in ("resolve", "package"):
        require(not getattr(args, flag) or bool(args.cfg), f"--{flag}: goes with --cfg")
    folder = args.config_dir
    require(folder is None or Path(folder).is_dir(), f"--config-dir {folder}: no such folder")
    for word in args.overrides:
        check_setting(word, args.multirun)
    return args


def check_setting(word: str, multirun: bool) -> None:
    """Refuse an override of Hydra's own settings that would have no effect."""
    key = key_of(word)
    require(key != "hydra.mode", "hydra.mode: use -m to run a sweep")
    sweeps = key.startswith(("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep"))
    require(multirun or not sweeps, f"{word}: is for sweeps; add -m")
    require(not multirun or not key.startswith("hydra.run."), f"{word}: is for a single run; write hydra.sweep.dir=…")


def key_of(word: str) -> str:
    """The key that an override is about, without Hydra's marks for adding and deleting."""
    return word.lstrip("+~").partition("=")[0]


def is_hydras(word: str) -> bool:
    """Whether an override, or its key, is one of Hydra's own settings or groups, not the run's."""
    return key_of(word).startswith(("hydra.", "hydra/"))


def jobs(args: argparse.Namespace) -> list[Job]:
    """Every job of a command line. Raises :class:`UserError` for the first that cannot run."""
    with hydra_adapter.session(args.config_dir):
        made = [_compose(words) for words in _combinations(args)]
        planned, asked = [], []
        for composed, words in made:
            config = typed(composed)
            found = compatibility.find(config)
            known_by = digests_of(found)
            asked.append((words, idle.keys(config, found)))
            OmegaConf.copy_cache(made[0][0], composed)  # one time of day for all
            sweep, folder = _folders(composed, config, known_by, args.multirun)
            planned.append(Job(tuple(w for w in words if not is_hydras(w)), config, known_by, sweep, folder))
            _check_places(planned[-1], found)
    idle.refuse(asked)
    taken: dict[Path, str] = {}
    for job in planned:
        RunFolder(job.folder).check(job.config, job.digests)
        alone = taken.setdefault(job.folder, job.fingerprint) == job.fingerprint
        require(alone, f"{job.folder}: several runs of the sweep would go there; leave out hydra.sweep.subdir=…")
        require(job.sweep == planned[0].sweep, "hydra.sweep.dir: differs between the runs; name one folder")
    return planned


def _check_places(job: Job, found: Mapping[str, Found]) -> None:
    """Refuse a run's folder, or a store, among the classes of its own data, and a store that is a file."""
    store = None if job.config.store is None else expanded(job.config.store)
    for role, domain in found.items():
        for ours, word in ((job.folder, "hydra.run.dir, in a sweep hydra.sweep.dir"), (store, "store")):
            root = None if domain.classes_in is None else domain.classes_in.resolve()
            if ours is not None and root is not None and ours.absolute().resolve().is_relative_to(root):
                advice = f"choose a folder outside of the data with {word}=…"
                raise UserError(f"{role}={domain.name}: {ours} would lie in it and be taken for a class; {advice}")
    above = None if store is None else next(path for path in (store, *store.parents) if path.exists())
    require(above is None or above.is_dir(), f"store={job.config.store}: {above} is not a folder; choose another")


def compose(lists: Sequence[Sequence[str]], config_dir: str | None) -> list[tuple[DictConfig, list[str]]]:
    """For each list of overrides what Hydra composes, its own settings included, and the overrides for that.

    They differ from what was given where a chosen file lacks one of its keys: ``++`` before an override adds it.
    """
    with hydra_adapter.session(config_dir):
        return [_compose(words) for words in lists]


def config_of(words: Sequence[str], config_dir: str | None = None) -> Config:
    """The typed config that ``words`` ask for, without a look at any data."""
    return typed(compose([words], config_dir)[0][0])


def one(args: argparse.Namespace) -> tuple[DictConfig, list[str]]:
    """:func:`compose` of a command line that asks for a single run; its data need not be there."""
    with hydra_adapter.session(args.config_dir):
        return _compose(_combinations(args)[0])


def run(job: Job, words: Sequence[str], config_dir: str | None, task: TaskFunction) -> Path:
    """Run ``task`` for a single job; returns its folder. ``words`` may hold settings of Hydra."""
    settings = list(filter(is_hydras, words))
    with hydra_adapter.session(config_dir):
        start = _set_up(settings, lambda: hydra_adapter.single([*settings, *job.overrides], task))
        if "hydra.run.dir" in map(key_of, settings):
            make_folder(folder := job.folder)
        else:
            folder = new_folder(job.folder)
        start(folder)
    return folder


def launch(
    lists: Sequence[tuple[Sequence[str], Path]],
    sweep: Path,
    words: Sequence[str],
    config_dir: str | None,
    task: TaskFunction,
) -> list[Exception]:
    """Run ``task`` for each list of overrides, in the folder beside it, as jobs of a sweep; returns what was raised.

    Settings of Hydra in ``words``, such as its launcher, are for all of them; sweep: the folder of the folders.
    """
    settings = [*filter(is_hydras, words), f"hydra.sweep.dir={hydra_adapter.quoted(str(sweep))}"]
    with hydra_adapter.session(config_dir):
        start = _set_up(settings[:-1], lambda: hydra_adapter.sweep(settings, task))
        for _, folder in lists:  # so that Hydra has nothing to make, which it would do outside a job
            make_folder(folder)
        return start([
            [*overrides, f"hydra.sweep.subdir={hydra_adapter.quoted(str(folder.absolute()))}"]
            for overrides, folder in lists
        ])  # fmt: skip


def _set_up(settings: Sequence[str], make: Callable[[], Any]) -> Any:
    """What ``make`` returns. Raises :class:`UserError` where Hydra cannot do with its ``settings``."""
    try:
        return make()
    except Exception as error:  # of a launcher, a callback, a configuration of logging
        raise UserError(f"{' '.join(settings) or 'hydra'}: {_first_line(error)}") from None


def typed(composed: DictConfig) -> Config:
    """The typed config in what Hydra composed, with the precision that auto stands for here."""
    return resolved(from_plain(plain(composed)))


def plain(composed: DictConfig) -> Any:
    """What Hydra composed for a run as nested dicts of plain values."""
    values = {key: value for key, value in composed.items_ex(resolve=False) if key != "hydra"}
    try:
        return OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from None


def run_name(config: Config, digests: Mapping[str, str]) -> str:
    """A sweep folder's name: a readable part and a fingerprint of all that determines the result."""
    return f"{naming.label(config)}-seed{config.seed}-{config.fingerprint(digests)}"


def check_name(folder: Path, config: Config, digests: Mapping[str, str]) -> None:
    """Refuse a sweep's folder whose name says other data than is there now: it has changed since the sweep began."""
    name = run_name(config, digests)
    other = folder.name != name and re.fullmatch(re.escape(name[:-8]) + "[0-9a-f]{8}", folder.name)
    require(not other, f"{folder}: is for other data than is there now; start the command again")


def _label(*, _root_: DictConfig) -> str:
    return naming.label(typed(_root_))


hydra_adapter.register_resolver("transferlab.label", _label, replace=True)


def _combinations(args: argparse.Namespace) -> list[list[str]]:
    """The overrides of each job: of the one run, or of every combination of a sweep."""
    choices = _choices(args.overrides, args.multirun)
    if args.multirun:
        params = _compose([values[0] for values in choices.values()])[0].hydra.sweeper.get("params") or {}
        choices = _choices([f"{key}={value}" for key, value in params.items()], True) | choices
    return [list(combination) for combination in itertools.product(*choices.values())]


def _choices(words: Sequence[str], multirun: bool) -> dict[str, list[str]]:
    """The overrides to choose from, by key. Of several words for one key the last counts."""
    choices: dict[str, list[str]] = {}
    for word in words:
        try:
            override = hydra_adapter.parse(word)
            key = override.get_key_element()
            require(key != "", f"{word}: not of the form key=value")
            values = override.is_sweep_override()
            require(multirun or not values, f"{word}: several values need -m; for a list write {key}=[…]")
            listed = not values or override.is_discrete_sweep()
            require(listed, f"{word}: a sweep is of listed values; write them, such as {key}=1,2")
            require(not values or not is_hydras(word), f"{word}: Hydra's own settings take one value in a sweep")
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()] if values else [word]
        except HydraException as error:
            detail = _first_line(error).removeprefix(f"Error parsing override '{word}' ")
            hint = f"{word}: not of the form key=value ({detail}); quote odd characters: \"key='…'\""
            raise UserError(hint) from None
        require(choices[key] != [], f"{word}: fits no choice")
    return choices


def _compose(words: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """:func:`compose` for one list, inside a session. Raises :class:`UserError` that names the word at fault."""
    try:
        composed, words = hydra_adapter.compose(words), list(words)
    except Exception:  # a user's own YAML, or an odd override, makes Hydra raise many kinds
        words = _corrected(words)
        try:
            composed = hydra_adapter.compose(words)
        except Exception as error:
            raise UserError(_first_line(error)) from None
    _check_settings(composed)
    return composed, words


def _corrected(words: Sequence[str]) -> list[str]:
    """``words`` with a key added where only the chosen file lacks it.

    Raises :class:`UserError` for the first word with which the chosen groups do not compose.
    """
    groups = [word for word in words if key_of(word) != "table" and hydra_adapter.choices(key_of(word))]
    chosen = _chosen(groups)
    of_names = {group: str((chosen.get(group) or {}).get("name")) for group in ("method", "source", "target")}
    corrected = []
    for word in words:
        if word not in groups:
            try:
                hydra_adapter.compose([*groups, word])
            except Exception as error:
                unknown = str(error).startswith("Could not override")
                if not (unknown and _is_option(key_of(word), of_names)):
                    raise UserError(_explain(word, error, chosen, of_names)) from None
                word = f"++{word}"
        corrected.append(word)
    return corrected


def _is_option(key: str, names: Mapping[str, str]) -> bool:
    """Whether the schema of the chosen groups has the key."""
    section, _, option = key.partition(".")
    cls = method_schema(names["method"]).config if section == "method" else schemas(names).get(section)
    return cls is not None and option in [f.name for f in fields(cls)]


def _chosen(groups: Sequence[str]) -> DictConfig:
    """What the choices of groups compose, without other words."""
    try:
        return hydra_adapter.compose(groups)
    except MissingConfigException as error:
        group, _, wrong = str(error.missing_cfg_file).rpartition("/")
        options = error.options or []
        allowed = ", ".join(options)
        raise UserError(f"{group}={wrong}: no such choice; allowed are {allowed}{nearest(wrong, options)}") from None
    except Exception as error:
        for word in groups:  # Hydra does not always name the culprit
            try:
                hydra_adapter.compose([word])
            except Exception as alone:
                raise UserError(f"{word}: {_first_line(alone)}") from None
        raise UserError(_first_line(error)) from None


def _explain(word: str, error: Exception, chosen: DictConfig, names: Mapping[str, str]) -> str:
    """One line for what Hydra says of ``word``, with the keys of the chosen groups where it knows no such key."""
    key = key_of(word)
    require(key != "table", "table: is a word of its own: transferlab table <name>")
    if str(error).startswith("Could not append"):
        return f"{word}: this key is there already; write {word.lstrip('+')}"
    if not (str(error).startswith("Could not override") or re.match(r"Key '\w+'", str(error))):
        return f"{word}: {_first_line(error.__cause__ or error)}"
    require(not key.startswith("hydra."), f"{key}: Hydra has no such key; --cfg hydra shows all")
    section, _, _ = key.partition(".")
    known = {"method": [str(name) for name in chosen.method if name != "name"]}
    known |= {name: [f.name for f in fields(cls)] for name, cls in schemas(names).items()}
    every = [*(k for k in map(str, chosen) if k != "hydra"), *(f"{s}.{name}" for s in known for name in known[s])]
    last = key.rpartition(".")[2]
    same = (f"; did you mean {k}?" for k in every if k.endswith(f".{last}"))
    alike = next(same, nearest(key, [k for k in every if ("." in k) == ("." in key)]))
    if section not in known or "." not in key:
        return f"{key}: no such key; allowed are {', '.join(k for k in every if '.' not in k)}{alike}"
    whose = f"those of {section}={names[section]}: " if section in names else ""
    allowed = ", ".join(f"{section}.{name}" for name in known[section]) or "none"
    return f"{key}: no such key; allowed are {whose}{allowed}{alike}"


def _check_settings(composed: DictConfig) -> None:
    """Refuse those of Hydra's own settings that a run could not obey."""
    settings, choices = composed.hydra, composed.hydra.runtime.choices
    chdir = "hydra.job.chdir=true: paths are read from the folder that transferlab is started in; leave it out"
    require(not settings.job.chdir, chdir)
    logs = choices["hydra/job_logging"] == "none" and settings.job_logging.root is None
    require(logs, "hydra/job_logging: a run keeps its own run.log; leave it out")
    sweeper = f"hydra/sweeper={choices['hydra/sweeper']}: a sweep is of listed values, such as train.lr=0.01,0.03"
    require(choices["hydra/sweeper"] == "basic", f"{sweeper}; leave it out")
    require(settings.output_subdir in (None, ".hydra"), "hydra.output_subdir: allowed are .hydra and null")
    require(settings.launcher.get("n_jobs") != 0, "hydra.launcher.n_jobs=0: allowed are a number of processes, or -1")


def _first_line(error: BaseException) -> str:
    text = re.sub(r"\s+See https://hydra.cc\S* for details", "", str(error).split("\n\n")[0])
    return " ".join(text.split()) or type(error).__name__


def _folders(composed: DictConfig, config: Config, digests: Mapping[str, str], multirun: bool) -> tuple[Path, Path]:
    """The folder above the run's, and the run's."""
    if not multirun:
        folder = expanded(setting(composed, "run.dir"))
        return folder.parent, folder
    sweep = expanded(setting(composed, "sweep.dir"))
    return sweep, sweep / (setting(composed, "sweep.subdir") or run_name(config, digests))


def setting(composed: DictConfig, key: str) -> str:
    """One of Hydra's own settings. Raises :class:`UserError` where it refers to what is not there."""
    try:
        return str(OmegaConf.select(composed.hydra, key, throw_on_missing=True))
    except InterpolationToMissingValueError as error:
        what = re.search(r"value: (\S+)", str(error))
        early = "is known only when the jobs run; name folders by the config, such as ${method.name}-${seed}"
        raise UserError(f"hydra.{key}: {what[1] if what else 'this'} {early}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.{key}: {_first_line(error)}") from None
