"""The command line: ``transferlab [verb] key=value …``. Torch is imported once the words make sense."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from transferlab import __version__, compatibility, hydra_adapter, manual, naming, plan
from transferlab.build import build
from transferlab.config import Config, DataConfig
from transferlab.errors import UserError, nearest, require
from transferlab.files import expanded, make_folder, write_text
from transferlab.map import look_in
from transferlab.reports import layouts, rendering, tables
from transferlab.runs import COLLAPSED, DONE, RunFolder, identity, orphaned, stored_config

log = logging.getLogger("transferlab")
log_file = logging.getLogger("transferlab.file")
"""What is for run.log alone."""
INTERRUPTED = 130


def main() -> NoReturn:
    """Entry point: 0 where all went well, 1 where a run failed, 2 for bad input, 130 if interrupted."""
    words = sys.argv[1:] or ["--help"]
    verb = words.pop(0) if "=" not in words[0] and words[0][:1] not in tuple("-~+") else "run"
    logging.captureWarnings(True)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows ASCII alone, a name that is no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if verb not in VERBS:
            raise UserError(f"{verb}: no such verb; allowed are {', '.join(VERBS)}{nearest(verb, VERBS)}")
        if verb in manual.OPTIONS and {"-h", "--help"} & set(words):
            print(manual.usage(VERBS[verb]))
            code = 0
        else:
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
        sys.exit(INTERRUPTED)
    except Exception as error:  # of a launcher, a full disk, or a mistake of ours
        _full_error()
        _say([error])
        sys.exit(1)


def run(words: Sequence[str]) -> int:
    """Run, sweep or resume; the verb may be left out."""
    if "--version" in words:
        print(f"transferlab {__version__}")
        return 0
    args = plan.arguments(words)
    if args.help or args.shell_completion:
        return _show(args)
    resume = [word.removeprefix("resume=") for word in args.overrides if word.startswith("resume=")]
    if resume and resume[-1] != "null":
        require(resume[-1] != "", "resume=: say which run's folder")
        alone = len(args.overrides) == len(words) == 1
        require(alone, "resume=…: a run goes on with its own config; leave out the other words")
        return _resume(expanded(resume[-1]))
    if args.cfg or args.info or args.hydra_help:
        return _show(args)
    return 0 if all(RunFolder(f).status.get("status") in DONE for f in start(args)) else 1


def start(args: argparse.Namespace) -> list[Path]:
    """Run what a command line asks for, one run or a sweep; the folders of all of it."""
    jobs = plan.jobs(args)
    _check_devices(job.config for job in jobs)
    if args.multirun:
        folders = [job.folder for job in jobs]
        lists = [(job.overrides, job.folder) for job in jobs]
        raised = plan.launch(lists, jobs[0].sweep, args.overrides, args.config_dir, job)
        _say(raised)
        _wait_for_others(folders)
        from transferlab.reports.sweeps import summarise

        summarise(jobs)
        return folders
    return [plan.run(jobs[0], args.overrides, args.config_dir, job)]


def table(words: Sequence[str]) -> int:
    """Run what is missing of a table, and write the table; alone: which tables there are."""
    if not words:
        print(layouts.text([{"table": name, "": tables.load(name, None).title} for name in tables.table_files(None)]))
        return 0
    asked = tables.request(words)
    if asked.docs and not asked.dry_run:
        make_folder(asked.docs)
    if asked.records:
        print(rendering.from_records(asked))
        return 0
    wanted = tables.cells(asked, fetch=not (asked.render or asked.dry_run))
    if asked.dry_run:
        print(rendering.forecast_text(asked, wanted))
        return 0
    waiting = [] if asked.render else tables.to_run(wanted)
    if waiting:
        print(rendering.forecast(asked, wanted)[-1], file=sys.stderr)
        _check_devices(cell.config for cell in waiting)
        lists = [(cell.overrides, cell.folder) for cell in waiting]
        _say(plan.launch(lists, waiting[0].sweep, asked.words, asked.config_dir, job))
        _wait_for_others([cell.folder for cell in waiting])
    print(rendering.render(asked, wanted))
    return 0 if asked.render or not tables.to_run(wanted) else 1


def doctor(words: Sequence[str]) -> int:
    """Say what this machine has: versions, devices, and the data that is available.

    transferlab doctor [data.root=<folder>] [data.edition=full|sample]
    """
    settings = {key.removeprefix("data."): value for key, value in _options("doctor", words).items()}
    places = build(DataConfig, {**settings, "download": "false"}, "data")
    import torch

    from transferlab import data
    from transferlab.runs import environment

    more = {"cuda": torch.cuda.is_available(), "threads": torch.get_num_threads(),
            "kernels": torch.backends.cpu.get_cpu_capability()}  # fmt: skip
    for key, value in environment(**more).items():
        print(f"{key:14} {value}")
    for name in data.names():
        try:
            found = data.find(name, data.config_class(name)(), places)
            print(f"{name:14} {found.edition}")
        except UserError as error:
            print(f"{name:14} not here: {error}")
    return 0


def list_runs(words: Sequence[str]) -> int:
    """List the runs below a folder, newest first, or the best first.

    transferlab list [<folder>] [key=value …] [best=<figure or validator>] [--csv]

    The folder is outputs by default. key=value keeps the runs that have it: method=dann, train.steps=3000,
    status=failed.
    best=bnm, or any other validator, ranks them by a score that looks at no target label. --csv writes all that is
    known of each run.
    """
    from transferlab.reports import listing

    places = [word for word in words if "=" not in word and word != "--csv"]
    conditions = dict(word.split("=", 1) for word in words if "=" in word)
    best = conditions.pop("best", None)
    require(len(places) <= 1, f"list {' '.join(places)}: takes one folder, key=value, best=… and --csv")
    folder = expanded(places[0] if places else "outputs")
    require(folder.is_dir(), f"{folder}: no such folder")
    found = listing.listed(listing.below(folder), conditions, best)
    require(bool(found), f"{folder}: no such runs in it")
    print(listing.csv(found) if "--csv" in words else listing.text(found, best))
    return 0


def compare(words: Sequence[str]) -> int:
    """Compare the finished runs in a folder: figures with their intervals, and pictures of them together.

    transferlab compare <folder>
    """
    from transferlab.reports import sweeps

    if len(words) != 1 or not words[0]:
        raise UserError("compare: takes one folder of runs, such as outputs/sweep")
    folder = expanded(words[0])
    runs = sweeps.finished(folder)
    require(bool(runs), f"{folder}: no finished runs in it; name a sweep's folder, such as outputs/sweep")
    drawn = sweeps.draw(runs, folder)
    print(sweeps.compared(runs), *drawn, sep="\n")
    return 0


def photographs(words: Sequence[str]) -> int:
    """ConSE and DeViSE on a folder of photographs, with an ImageNet network; writes its features too.

    transferlab photographs root=<folder> [data.root=<folder>] [out=<folder>] [devise=<folder of a run>]
    """
    from transferlab import photographs

    return photographs.run(words)


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run, "table": table, "list": list_runs, "compare": compare, "doctor": doctor, "photographs": photographs,
}  # fmt: skip


def job(composed: DictConfig) -> None:
    """Hydra's task: one job of a run or a sweep. Its outcome is in its folder; it never raises for a failure."""
    hydra_config = HydraConfig.get()
    folder = RunFolder(Path(hydra_config.runtime.output_dir))
    own = [source.path for source in hydra_config.runtime.config_sources if source.provider == "command-line"]
    look_in(own[0] if own else None)  # in a process of its own, such as joblib's, nobody has said so yet
    parallel = hydra_config.mode == RunMode.MULTIRUN and hydra_config.runtime.choices["hydra/launcher"] != "basic"
    record = {"config": composed, "hydra": HydraConfig.instance().cfg, "overrides": hydra_config.overrides.task}
    texts = {f"{name}.yaml": OmegaConf.to_yaml(part) for name, part in record.items()}
    try:
        if orphaned():
            raise KeyboardInterrupt
        execute(plan.typed(composed), folder, parallel, texts)
    except KeyboardInterrupt:
        if orphaned():  # nobody is left to tell, and the pool would give out its next job
            os._exit(INTERRUPTED)
        raise


def execute(config: Config, folder: RunFolder, parallel: bool, composed: Mapping[str, str] | None = None) -> None:
    """Run ``config`` in ``folder``, or take the result that is there already.

    composed: what Hydra made the config of, files of the folder .hydra.
    """
    handlers = _start_logging(folder, parallel)
    try:
        found = compatibility.find(config)
        known_by = identity(config, found)
        plan.check_name(folder.path, config, known_by["digests"])
        folder.claim(config, known_by["digests"])
        before = folder.status
        if before.get("status") in DONE and not (config.figures and before.get("undrawn")):
            log.info("%s: finished before", folder.path)
            return
        folder.set_status("running", run=naming.sentence(config), **known_by)
        for name, text in (composed or {}).items():
            write_text(folder.path / ".hydra" / name, text)
        _terminate_politely()
        from transferlab import dispatch

        results, draw = dispatch.run(config, folder, config.device.threads or int(parallel), found)
        folder.set_status(results["status"], results.get("reason", ""), undrawn=config.figures)
    except KeyboardInterrupt:
        if folder.claimed:
            _conclude(folder, "interrupted", "asked to stop")
            log.error("interrupted; continue with: transferlab resume=%s", folder.path)
        raise
    except Exception as error:
        if isinstance(error, UserError) and not folder.claimed:  # the folder is another's: nothing in it may change
            log.error("%s", error)
            return
        _full_error()
        reason = _reason(error)
        log_file.error(traceback.format_exc())
        _conclude(folder, "failed", reason)
        log.error("failed: %s; see %s", reason, folder.path / "run.log")
    else:
        if results["status"] == COLLAPSED:
            log.warning("collapsed: %s; its figures are no result of the method", results["reason"])
        _draw(draw, folder)
        if not parallel:
            _report(folder, config, results)
    finally:
        folder.release()
        _stop_logging(handlers)


def _conclude(folder: RunFolder, status: str, reason: str) -> None:
    """Write how the run has ended, if there is room for it."""
    try:
        folder.set_status(status, reason)
    except OSError as error:
        log.error("%s: cannot say there that the run has %s (%s)", folder.path / "status.json", status, error.strerror)


def _draw(draw: Callable[[], None], folder: RunFolder) -> None:
    """Draw the pictures of a run that is complete, whatever becomes of them."""
    try:
        draw()
    except Exception as error:
        log_file.warning(traceback.format_exc())
        log.warning("no more pictures: %s; the results are whole", _reason(error))
    with suppress(OSError):
        folder.set_status(folder.status["status"], folder.status["reason"], undrawn=False)


def _reason(error: Exception) -> str:
    """One line of what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def _wait_for_others(folders: Sequence[Path]) -> None:
    """Wait for those of our runs that another command has begun and is still at."""
    busy = [folder for folder in folders if RunFolder(folder).busy()]
    if busy:
        names = ", ".join(folder.name for folder in busy)
        print(f"waiting for another process, which is running {names}", file=sys.stderr)
    while any(RunFolder(folder).busy() for folder in busy):
        time.sleep(1)


def _show(args: argparse.Namespace) -> int:
    """Answer a flag with which nothing runs."""
    if args.shell_completion:
        manual.complete(args, list(VERBS))
    elif args.help:
        print(manual.page(VERBS, plan.one(args)[0], args.config_dir))
    else:
        words = plan.one(args)[1]
        with hydra_adapter.session(args.config_dir):
            hydra_adapter.show(args, words)
    return 0


def _options(verb: str, words: Sequence[str]) -> dict[str, str]:
    """The key=value words of a verb that has its own."""
    allowed = [option.rstrip("=") for option in manual.OPTIONS[verb]]
    for word in words:
        key = word.partition("=")[0]
        known = key in allowed and "=" in word
        require(known, f"{verb} {word}: no such key; allowed are {', '.join(allowed)}{nearest(key, allowed)}")
    return dict(word.split("=", 1) for word in words)


def _say(errors: Sequence[Exception]) -> None:
    for error in errors:
        print(f"transferlab: {_reason(error)}", file=sys.stderr)


def _resume(path: Path) -> int:
    config, folder = stored_config(path), RunFolder(path)
    other = folder.other(config, compatibility.digests(config))
    require(not other, f"resume={path}: was begun {other}; start it again in another folder")
    execute(config, folder, parallel=False)
    return 0 if folder.status.get("status") in DONE else 1


def _check_devices(configs: Iterable[Config]) -> None:
    for name in {config.device.name for config in configs} - {"auto", "cpu"}:
        from transferlab.dispatch import pick_device

        pick_device(name)


def _report(folder: RunFolder, config: Config, results: dict[str, Any]) -> None:
    warned = ("status", "reason") if results["status"] == COLLAPSED else ()
    chosen = ("select", "selected") if results["select"] != "last" else ()
    shown = (*warned, *chosen, results["headline"], "source_accuracy", "target_accuracy", "u", "s", "H",
             "critic_accuracy", "proxy_a_distance", "oracle_target_accuracy", "steps", "seconds", "images_per_second",
             "edition")  # fmt: skip
    print(f"\n{naming.sentence(config)}")
    if results["options"]:
        print(f"  {'options':26} {naming.spelled(results['options'])}")
    for key in dict.fromkeys(shown):
        if key in results and (key != "images_per_second" or results[key]):  # of a closed form there are none
            value = results[key]
            print(f"  {key.replace('_', ' '):26} {_figure(key, results) if isinstance(value, float) else value}")
    if (picture := folder.path / "figures" / "features.png").exists():
        print(f"  {'figures':26} {picture}")
    print(f"  {'folder':26} {folder.path}")


def _figure(key: str, results: dict[str, Any]) -> str:
    """A number of a run, with its 95 % interval and the test samples where it is an accuracy on them."""
    text = f"{results[key]:.4f}"
    if (interval := results.get(f"{key}_interval")) is None:
        return text
    low, high = interval
    domain = {"u": "target", "s": "source"}.get(key, key.partition("_")[0])
    count = results[f"{domain}_test_count"]
    return f"{text}  (95 %: {low:.4f} to {high:.4f}, {count} test samples)"


def _start_logging(folder: RunFolder, parallel: bool) -> list[logging.Handler]:
    """Messages to the terminal, and with the time and tracebacks to the folder's run.log."""
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(logging.Formatter(f"{folder.path.name}: %(message)s" if parallel else "%(message)s"))
    screen.addFilter(lambda record: record.name != log_file.name)
    file = _log_in(folder.path)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    log.propagate = False
    for handler in (screen, file):
        log.addHandler(handler)
    logging.getLogger("py.warnings").addHandler(file)
    return [screen, file]


class RunLog(logging.FileHandler):
    """A log whose lines are lost where the disk is full; nothing else is."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _log_in(folder: Path) -> logging.Handler:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return RunLog(folder / "run.log", encoding="utf-8", errors="backslashreplace")
    except OSError:  # what comes next says so too
        return logging.NullHandler()


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


if __name__ == "__main__":  # under its own name, by which other processes can import what they are to run
    from transferlab.cli import main as entry

    entry()
