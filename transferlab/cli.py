"""The command line: ``transferlab [verb] key=value …``. Torch is imported once the words make sense."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from transferlab import __version__, compatibility, hydra_adapter, manual, plan
from transferlab.build import build
from transferlab.config import Config, DataConfig
from transferlab.errors import UserError, nearest, require
from transferlab.files import expanded, make_folder
from transferlab.jobs import INTERRUPTED, execute, job, reason_of, show_full_error
from transferlab.map import look_in
from transferlab.reports import layouts, rendering, table_forecast, tables
from transferlab.runs import DONE, RunFolder, stored_config


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
        show_full_error()
        print(f"transferlab: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("transferlab: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:  # of a launcher, a full disk, or a mistake of ours
        show_full_error()
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
    if folder := resumed(args):
        return resume(folder)
    if args.cfg or args.info or args.hydra_help:
        return _show(args)
    return 0 if all(RunFolder(f).status.get("status") in DONE for f in start(args)) else 1


def resumed(args: argparse.Namespace) -> Path | None:
    """The folder of the run that a command line asks to continue, if it does."""
    asked = [word.removeprefix("resume=") for word in args.overrides if word.startswith("resume=")]
    if not asked or asked[-1] == "null":
        return None
    require(asked[-1] != "", "resume=: say which run's folder")
    others = [value for name, value in vars(args).items() if name not in ("overrides", "config_dir")]
    alone = len(args.overrides) == 1 and not any(others)
    require(alone, "resume=…: a run goes on with its own config; leave out the other words")
    look_in(args.config_dir)
    return expanded(asked[-1])


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
        print(table_forecast.forecast_text(asked, wanted))
        return 0
    waiting = [] if asked.render else tables.to_run(wanted)
    if waiting:
        print(table_forecast.forecast(asked, wanted)[-1], file=sys.stderr)
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

    transferlab list [<folder>] [key=value …] [best=<figure or validator>] [--csv] [--config-dir <folder>]

    The folder is outputs by default. key=value keeps the runs that have it: method=dann, train.steps=3000,
    status=failed, code=current (older: of another version of the code, so that no sweep, table or compare takes it).
    best=bnm, or any other validator, ranks them by a score that looks at no target label. --csv writes all that is
    known of each run. --config-dir: where choices of your own are now, if they have moved since the runs.
    """
    from transferlab.reports import listing

    others = _own_choices("list", words, "--csv")
    places = [word for word in others if "=" not in word or expanded(word).is_dir()]
    pairs = [word.split("=", 1) for word in others if word not in places]
    conditions = dict(pairs)
    best = conditions.pop("best", None)
    fits = len(places) <= 1 and len(dict(pairs)) == len(pairs) and "" not in conditions and best != ""
    require(fits, f"list {' '.join(words)}: takes one folder, each key=value once, best=… and --csv")
    folder = _folder_of_runs(places[0] if places else "outputs")
    found = listing.listed(listing.below(folder), conditions, best)
    require(bool(found), f"{folder}: no such runs in it")
    print(listing.csv(found) if "--csv" in words else listing.text(found, best))
    return 0


def _folder_of_runs(place: str) -> Path:
    folder = expanded(place)
    require(folder.is_dir(), f"{folder}: no such folder")
    return folder


def _own_choices(verb: str, words: Sequence[str], *flags: str) -> list[str]:
    """Look for choices in the folder that --config-dir names; the words that are neither this nor one of ``flags``."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = plan.refuse  # type: ignore[method-assign]
    parser.add_argument("--config-dir")
    args, others = parser.parse_known_args(list(words))
    wrong = [word for word in others if word.startswith("-") and word not in flags]
    allowed = ", ".join([*flags, "--config-dir"])
    require(not wrong, f"{verb} {' '.join(wrong)}: no such option; allowed are {allowed}")
    look_in(args.config_dir)
    return [word for word in others if word not in flags]


def compare(words: Sequence[str]) -> int:
    """Compare the finished runs in a folder: figures with their intervals, and pictures of them together.

    transferlab compare <folder> [metric=<figure>] [--config-dir <folder>]

    metric=: which figure of results.json, such as target_macro_f1, instead of each method's own. --config-dir: where
    choices of your own are now, if they have moved since the runs.
    """
    from transferlab.reports import sweeps

    others = _own_choices("compare", words)
    metrics = [word.removeprefix("metric=") for word in others if word.startswith("metric=")]
    places = [word for word in others if not word.startswith("metric=")]
    fits = len(places) == 1 and places[0] != "" and len(metrics) <= 1
    require(fits, "compare: takes one folder of runs, such as outputs/sweep, and metric=… once")
    folder = _folder_of_runs(places[0])
    runs = sweeps.finished(folder, *metrics)
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


def predict(words: Sequence[str]) -> int:
    """Say of each picture in a folder what a trained model takes it for.

    transferlab predict run=<folder of a run> root=<folder or file> [out=<file>.csv|json] [top=5] [batch=64]
    [device=auto] [domain=target]

    Pictures are found at any depth; those that cannot be read are named and left out. out=: the likeliest classes with
    their probabilities, or scores where the model has none, in a file; otherwise they are printed. domain=source: as
    inputs of the source, for methods that treat the domains differently.
    """
    options = _options("predict", words)
    from transferlab import predict

    return predict.run(options)


def evaluate(words: Sequence[str]) -> int:
    """Measure a trained model on other data.

    transferlab evaluate run=<folder of a run> [target=folder target.root=<folder> …] [data.root=<folder>]
    [split=test|train|all|unseen] [out=<file>.json] [device=auto]

    The data is named as a run's target is; without a target it is the run's own. Where it has a test part of its own,
    that is measured; of other pictures all that the run has not trained on. split= says otherwise. out=: the figures;
    the table of classes goes beside it, as .csv.
    """
    from transferlab import evaluate

    return evaluate.run(words)


def export(words: Sequence[str]) -> int:
    """Write a trained model as one file for other programs, compared with the model on real inputs.

    transferlab export run=<folder of a run> out=<file>.onnx|pt2 [root=<folder of pictures>] [data.root=<folder>]
    [domain=target]

    The file holds all that the model does from 8-bit pixels to probabilities, a frozen backbone included. It is
    compared on 100 test samples of the run, or on the pictures in root. ONNX needs pip install 'transferlab[export]'.
    """
    options = _options("export", words)
    from transferlab import export

    return export.run(options)


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run, "table": table, "list": list_runs, "compare": compare, "predict": predict, "evaluate": evaluate,
    "export": export, "doctor": doctor, "photographs": photographs,
}  # fmt: skip


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
        print(f"transferlab: {reason_of(error)}", file=sys.stderr)


def resume(path: Path) -> int:
    """Continue the run in a folder."""
    config, folder = stored_config(path), RunFolder(path)
    other = folder.other(config, compatibility.digests(config))
    require(not other, f"resume={path}: was begun {other}; start it again in another folder")
    execute(config, folder, parallel=False)
    return 0 if folder.status.get("status") in DONE else 1


def _check_devices(configs: Iterable[Config]) -> None:
    for name in {config.device.name for config in configs} - {"auto", "cpu"}:
        from transferlab.devices import pick_device

        pick_device(name)


if __name__ == "__main__":  # under its own name, by which other processes can import what they are to run
    from transferlab.cli import main as entry

    entry()
