"""The only module that touches Hydra's inside: composing, launching and showing, the same on its 1.3 and 1.4 lines.

Everything here works inside :func:`session`. What goes wrong is raised as Hydra raises it; :mod:`transferlab.plan`
says it in one line.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from transferlab.config import conf_dir
from transferlab.errors import require
from transferlab.map import folders, installed, look_in

NAME = "config"
"""The one primary config, conf/config.yaml."""
INSTALLED = "installed"
"""Who provides choices that come with another package."""
IS_1_3 = hydra.__version__.startswith("1.3")
_VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if IS_1_3 else {}

# The OmegaConf that Hydra 1.4 brings has given it the name that an older function had.
register_resolver: Callable[..., None] = OmegaConf.register_new_resolver if IS_1_3 else OmegaConf.register_resolver


def parser() -> argparse.ArgumentParser:
    """The parser of Hydra's own flags."""
    return get_args_parser()


@contextmanager
def session(config_dir: str | None = None) -> Iterator[None]:
    """Hydra initialised with our conf and the user's ``config_dir``, whatever characters its path has.

    From here on modules too are taken from that folder. Raises :class:`~transferlab.errors.UserError` inside another.
    """
    busy = (
        "Hydra is in use in this program already, by a run or by the program itself; call transferlab.run outside of it"
    )
    require(not GlobalHydra.instance().is_initialized(), busy)
    look_in(config_dir)
    with hydra.initialize_config_dir(str(conf_dir()), job_name="transferlab", **_VERSION_BASE):
        engine = _engine()
        path = engine.config_loader.get_search_path()
        for folder in folders():
            provider = INSTALLED if folder in installed() else "command-line"
            path.prepend(provider, f"file://{folder}", anchor="schema")
        engine.config_loader = ConfigLoaderImpl(path)
        yield
    GlobalHydra.instance().clear()


def compose(words: Sequence[str]) -> DictConfig:
    """What Hydra composes of ``words``, its own settings included."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "provider=.* is not available")  # a search path that leads nowhere
        return hydra.compose(NAME, overrides=list(words), return_hydra_config=True)


def parse(word: str) -> Override:
    """An override in parts; it knows the choices of a glob."""
    return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([word])[0]


def choices(group: str) -> list[str]:
    """The choices of a config group; empty where there is no such group."""
    return GlobalHydra.instance().config_loader().get_group_options(group)


def quoted(text: str) -> str:
    """``text`` as the value of an override, taken to the letter."""
    return QuotedString(text.replace("${", r"\${"), Quote.single).with_quotes()


def sweep(words: Sequence[str], task: TaskFunction) -> Callable[[Sequence[Sequence[str]]], list[Exception]]:
    """A function that runs ``task`` once for each list of overrides, as jobs by the launcher that ``words`` choose.

    A sweeper would ask for a product of choices; a launcher takes any list of jobs. Everything that ``words`` set up is
    set up here, so that what is wrong with them is raised before a folder is there. The function returns what jobs
    have raised.
    """
    engine = _engine()
    config = engine.compose_config(NAME, [*words, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
    callbacks = _set_up(config)
    context = HydraContext(config_loader=engine.config_loader, callbacks=callbacks)
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)

    def launch(lists: Sequence[Sequence[str]]) -> list[Exception]:
        callbacks.on_multirun_start(config=config, config_name=NAME)
        OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")
        size = config.hydra.sweeper.get("max_batch_size") or len(lists)
        raised = []
        for start in range(0, len(lists), size):
            for job in launcher.launch(lists[start : start + size], initial_job_idx=start):
                try:
                    _ = job.return_value
                except Exception as error:
                    raised.append(error)
        callbacks.on_multirun_end(config=config, config_name=NAME)
        return raised

    return launch


def single(words: Sequence[str], task: TaskFunction) -> Callable[[Path], object]:
    """A function that runs ``task`` once, in the folder that it is given; set up as :func:`sweep` is."""
    engine = _engine()
    _set_up(engine.compose_config(NAME, list(words), RunMode.RUN))
    return lambda folder: engine.run(NAME, task, [*words, f"hydra.run.dir={quoted(str(folder))}"])


def _engine() -> Any:
    return GlobalHydra.instance().hydra


def _set_up(config: DictConfig) -> Callbacks:
    """Hydra's own log and callbacks."""
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    return Callbacks(config)


def show(args: argparse.Namespace, words: Sequence[str]) -> None:
    """Answer a flag with which nothing runs: --cfg, --info, --hydra-help or --shell-completion."""
    engine = _engine()
    if args.cfg:
        engine.show_cfg(NAME, list(words), args.cfg, args.package, args.resolve)
    elif args.info:
        engine.show_info(args.info, config_name=NAME, overrides=list(words))
    elif args.hydra_help:
        engine.hydra_help(config_name=NAME, args_parser=parser(), args=args)
    else:
        engine.shell_completion(config_name=NAME, overrides=list(words))
