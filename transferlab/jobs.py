"""One job: a run in its folder, from its claim to its record, with its log and its summary."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from transferlab import compatibility, naming, plan
from transferlab.config import Config
from transferlab.data import Found
from transferlab.errors import UserError
from transferlab.files import write_text
from transferlab.map import look_in
from transferlab.reports.layouts import figure
from transferlab.runs import COLLAPSED, DONE, RunFolder, identity, orphaned

log = logging.getLogger("transferlab")
log_file = logging.getLogger("transferlab.file")
"""What is for run.log alone."""
INTERRUPTED = 130


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
    before_us: Any = None
    try:
        found = _begin(config, folder, composed or {})
        if found is None:
            log.info("%s: finished before", folder.path)
            return
        before_us = _terminate_politely()
        from transferlab import dispatch

        results, draw = dispatch.run(config, folder, config.device.threads or int(parallel), found)
        folder.set_status(results["status"], results.get("reason", ""), undrawn=config.figures)
    except KeyboardInterrupt:
        if folder.claimed:
            _conclude(folder, "interrupted", "asked to stop")
            log.error("interrupted; continue with: transferlab resume=%s", folder.path)
        raise
    except (Exception, SystemExit) as error:  # a method may call what would end the program
        _fail(folder, error)
    else:
        if results["status"] == COLLAPSED:
            log.warning("collapsed: %s; its figures are no result of the method", results["reason"])
        _draw(draw, folder)
        if not parallel:
            _report(folder, config, results)
    finally:
        folder.release()
        _stop_logging(handlers)
        if before_us is not None:
            signal.signal(signal.SIGTERM, before_us)


def _begin(config: Config, folder: RunFolder, composed: Mapping[str, str]) -> dict[str, Found] | None:
    """Claim the folder, and write there what is about to run.

    Returns the data of both domains, or None where the run is complete and nothing is left to draw.
    """
    found = compatibility.find(config)
    known_by = identity(config, found)
    plan.check_name(folder.path, config, known_by["digests"])
    folder.claim(config, known_by["digests"])
    before = folder.status
    if before.get("status") in DONE and not (config.figures and before.get("undrawn")):
        return None
    folder.set_status("running", run=naming.sentence(config), **known_by)
    for name, text in composed.items():
        write_text(folder.path / ".hydra" / name, text)
    return found


def _fail(folder: RunFolder, error: BaseException) -> None:
    """Say what went wrong, in status.json too if the folder is this run's; called while ``error`` is handled."""
    if isinstance(error, UserError) and not folder.claimed:  # the folder is another's: nothing in it may change
        log.error("%s", error)
        return
    show_full_error()
    reason = reason_of(error)
    log_file.error(traceback.format_exc())
    _conclude(folder, "failed", reason)
    log.error("failed: %s; see %s", reason, folder.path / "run.log")


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
        log.warning("no more pictures: %s; the results are whole", reason_of(error))
    with suppress(OSError):
        folder.set_status(folder.status["status"], folder.status["reason"], undrawn=False)


def reason_of(error: BaseException) -> str:
    """One line of what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def _report(folder: RunFolder, config: Config, results: dict[str, Any]) -> None:
    warned = ("status", "reason") if results["status"] == COLLAPSED else ()
    chosen = ("select", "selected") if results["select"] != "last" else ()
    shown = (*warned, *chosen, results["headline"], "source_accuracy", "target_accuracy", "target_macro_f1",
             "target_auroc", "target_ece", "u", "s", "H", "critic_accuracy", "proxy_a_distance",
             "oracle_target_accuracy", "steps", "seconds", "images_per_second", "edition")  # fmt: skip
    print(f"\n{naming.sentence(config)}")
    if results["options"]:
        print(f"  {'options':26} {naming.spelled(results['options'])}")
    for key in dict.fromkeys(shown):
        if key in results and (key != "images_per_second" or results[key]):  # of a closed form there are none
            value = results[key]
            print(f"  {key.replace('_', ' '):26} {figure(key, results) if isinstance(value, float) else value}")
    if (picture := folder.path / "figures" / "features.png").exists():
        print(f"  {'figures':26} {picture}")
    print(f"  {'folder':26} {folder.path}")


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


def _terminate_politely() -> Any:
    """SIGTERM ends a run as Ctrl-C does; what it did before."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        return None


def show_full_error() -> None:
    """Show the whole traceback of the current error where HYDRA_FULL_ERROR asks for it."""
    if os.environ.get("HYDRA_FULL_ERROR", "0") not in ("0", ""):
        traceback.print_exc()
