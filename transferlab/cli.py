"""The command line: ``transferlab [verb] key=value …``. Torch is imported only inside a job."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from transferlab import __version__, layouts, plan, rendering, tables
from transferlab.config import Config, conf_dir, nearest, require
from transferlab.errors import UserError
from transferlab.files import make_folder
from transferlab.runs import DONE, FINISHED, RunFolder, new_folder, stored_config

log = logging.getLogger("transferlab")
log_file = logging.getLogger("transferlab.file")
"""What is for run.log alone."""


def main() -> NoReturn:
    """Entry point: 0 where all went well, 1 where a run failed, 2 for bad input, 130 if interrupted."""
    words = sys.argv[1:]
    verb = words.pop(0) if words and "=" not in words[0] and not words[0].startswith("-") else "run"
    logging.captureWarnings(True)
    try:
        if verb not in VERBS:
            raise UserError(f"{verb}: no such verb; allowed are {', '.join(VERBS)}{nearest(verb, VERBS)}")
        code = VERBS[verb](words)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except UserError as error:
        _full_error()
        print(f"transferlab: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("transferlab: interrupted", file=sys.stderr)
        sys.exit(130)


def run(words: Sequence[str]) -> int:
    """Run, sweep or resume."""
    if "--version" in words:
        print(f"transferlab {__version__}")
        return 0
    args = plan.arguments(words)
    if args.help or args.hydra_help or args.info or args.shell_completion:
        if not args.shell_completion:
            plan.check_words(args)
        _hand_to_hydra(list(words))
        return 0
    resume = [word.removeprefix("resume=") for word in args.overrides if word.startswith("resume=")]
    if resume and resume[-1] != "null":
        require(resume[-1] != "", "resume=: say which run's folder")
        alone = len(args.overrides) == 1 and not (args.multirun or args.cfg or args.config_dir)
        require(alone, "resume=…: a run goes on with its own config; leave out the other words")
        return _resume(Path(resume[-1]))
    jobs = plan.jobs(args)
    if args.cfg:
        _hand_to_hydra(list(words))
        return 0
    _check_devices(job.config for job in jobs)
    folders = [job.folder for job in jobs]
    flags = ["--config-dir", args.config_dir] if args.config_dir else []
    if args.multirun:
        make_folder(folders[0].parent)
        _hand_to_hydra(["--multirun", *flags, *args.overrides])
        from transferlab.sweeps import summarise

        summarise(jobs)
    elif "hydra.run.dir" in map(plan.key_of, args.overrides):
        make_folder(folders[0])
        _hand_to_hydra([*flags, *args.overrides])
    else:
        folders = [new_folder(jobs[0].folder)]
        _hand_to_hydra([*flags, *args.overrides, f"hydra.run.dir='{folders[0]}'"])
    return 0 if all(RunFolder(f).status.get("status") in DONE for f in folders) else 1


def table(words: Sequence[str]) -> int:
    """Run what is missing of a table of conf/table, and write the table."""
    asked = tables.request(words)
    wanted = tables.cells(asked, fetch=not (asked.render or asked.dry_run))
    lines, sentence = rendering.forecast(asked, wanted)
    if asked.dry_run:
        print(f"{layouts.text(lines)}\n\n{sentence}")
        return 0
    waiting = [] if asked.render else tables.to_run(wanted)
    if waiting:
        print(sentence, file=sys.stderr)
        _check_devices(cell.config for cell in waiting)
        make_folder(waiting[0].sweep)
        plan.launch([cell.overrides for cell in waiting], asked.words, asked.config_dir, job)
    print(rendering.render(asked))
    return 0 if asked.render or not tables.to_run(wanted) else 1


def doctor(words: Sequence[str]) -> int:
    """Say what this machine has: versions, devices, and the data that is at hand."""
    require(not words, f"doctor takes no words, got {' '.join(words)}")
    import torch

    from transferlab import data
    from transferlab.config import DataConfig
    from transferlab.runs import environment

    for key, value in environment(cuda=torch.cuda.is_available(), threads=torch.get_num_threads()).items():
        print(f"{key:14} {value}")
    for name in data.names():
        try:
            found = data.find(name, data.config_class(name)(), DataConfig(download="false"))
            print(f"{name:14} {found.edition}")
        except UserError as error:
            print(f"{name:14} not here: {error}")
    return 0


def compare(words: Sequence[str]) -> int:
    """Draw the runs in a folder together, such as a few-shot curve over ``target.per_class``."""
    from transferlab.sweeps import draw

    if len(words) != 1:
        raise UserError("compare: takes one folder of runs, such as outputs/sweep")
    print(*draw(Path(words[0])), sep="\n")
    return 0


def photographs(words: Sequence[str]) -> int:
    """ConSE and DeViSE on a folder of photographs, with an ImageNet network."""
    from transferlab import photographs

    return photographs.run(words)


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run, "table": table, "doctor": doctor, "compare": compare, "photographs": photographs,
}  # fmt: skip


def job(composed: DictConfig) -> None:
    """Hydra's task: one job of a run or a sweep. Its outcome is in its folder; it never raises for a failure."""
    hydra_config = HydraConfig.get()
    folder = RunFolder(Path(hydra_config.runtime.output_dir))
    parallel = hydra_config.mode == RunMode.MULTIRUN and "basic" not in str(hydra_config.launcher._target_)
    execute(plan.typed(composed), folder, parallel)


def execute(config: Config, folder: RunFolder, parallel: bool) -> None:
    """Run ``config`` in ``folder``, or take the result that is there already."""
    handlers = _start_logging(folder, parallel)
    try:
        found = plan.find(config)
        editions = {role: data.edition for role, data in found.items()}
        fingerprint = config.fingerprint(editions)
        folder.claim(config, fingerprint)
        if folder.status.get("status") in DONE:
            log.info("%s: finished before", folder.path)
            return
        folder.set_status("running", fingerprint=fingerprint, editions=editions)
        _terminate_politely()
        try:
            from transferlab import dispatch

            results = dispatch.run(config, folder, config.device.threads or int(parallel), found)
        except KeyboardInterrupt:
            folder.set_status("interrupted", "asked to stop")
            log.error("interrupted; continue with: transferlab resume=%s", folder.path)
            raise
        except Exception as error:
            _full_error()
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            reason = kind + " ".join(str(error).split())
            log_file.error(traceback.format_exc())
            folder.set_status("failed", reason)
            log.error("failed: %s; see %s", reason, folder.path / "run.log")
            return
        folder.set_status(FINISHED)
        if not parallel:
            _report(folder, results)
    except UserError as refused:  # the folder is another's: nothing in it may change
        log.error("%s", refused)
    finally:
        folder.release()
        _stop_logging(handlers)


def _resume(path: Path) -> int:
    config, folder = stored_config(path), RunFolder(path)
    editions = plan.editions(config)
    begun_with = folder.status.get("fingerprint")
    same = begun_with in (None, config.fingerprint(editions))
    now = " and ".join(f"{role} {edition}" for role, edition in editions.items())
    require(same, f"resume={path}: began with another edition of the data, found is {now}; see its data.json")
    execute(config, folder, parallel=False)
    return 0 if folder.status.get("status") in DONE else 1


def _check_devices(configs: Iterable[Config]) -> None:
    for name in {config.device.name for config in configs} - {"auto", "cpu"}:
        from transferlab.dispatch import pick_device

        pick_device(name)


def _hand_to_hydra(words: list[str]) -> None:
    sys.argv = [sys.argv[0], *words]
    hydra.main(config_path=str(conf_dir()), config_name="config", **plan.VERSION_BASE)(job)()


def _report(folder: RunFolder, results: dict[str, Any]) -> None:
    shown = ("source_accuracy", "target_accuracy", "critic_accuracy", "proxy_a_distance", "oracle_target_accuracy",
             "steps", "seconds", "images_per_second", "edition")  # fmt: skip
    print(f"\n{results['method']}: {results['source']} -> {results['target']}, seed {results['seed']}")
    for key in shown:
        if key in results:
            value = results[key]
            print(f"  {key.replace('_', ' '):24} {value:.4f}" if isinstance(value, float) else f"  {key:24} {value}")
    if (picture := folder.path / "figures" / "features.png").exists():
        print(f"  {'figures':24} {picture}")
    print(f"  {'folder':24} {folder.path}")


def _start_logging(folder: RunFolder, parallel: bool) -> list[logging.Handler]:
    """Messages to the terminal, and with the time and tracebacks to the folder's run.log."""
    folder.path.mkdir(parents=True, exist_ok=True)
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(logging.Formatter(f"{folder.path.name}: %(message)s" if parallel else "%(message)s"))
    screen.addFilter(lambda record: record.name != log_file.name)
    file = logging.FileHandler(folder.path / "run.log")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    log.propagate = False
    for handler in (screen, file):
        log.addHandler(handler)
    logging.getLogger("py.warnings").addHandler(file)
    return [screen, file]


def _stop_logging(handlers: list[logging.Handler]) -> None:
    for handler in handlers:
        log.removeHandler(handler)
        logging.getLogger("py.warnings").removeHandler(handler)
        handler.close()


def _terminate_politely() -> None:
    """SIGTERM ends a run as Ctrl-C does."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        return


def _full_error() -> None:
    """Show the whole traceback of the error at hand where HYDRA_FULL_ERROR asks for it."""
    if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("0", ""):
        traceback.print_exc()
