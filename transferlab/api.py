"""The command line from Python: ``transferlab.run(words)`` and ``transferlab.load(folder)``."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transferlab import records
from transferlab.errors import require
from transferlab.files import expanded
from transferlab.runs import RunFolder, config_in

if TYPE_CHECKING:
    from transferlab.trained import TrainedModel

_ALONE = threading.RLock()
"""Hydra, the log and the seeds of random numbers are the whole program's. Inside a run Hydra refuses another."""


def run(words: str | Sequence[str]) -> list[records.Record]:
    """Run what the command line would, and give the record of each run: of a sweep (``-m``) several.

    words: as on a command line, one text or a list. Raises :class:`~transferlab.errors.UserError` for bad input. A run
    that fails raises nothing; its record's ``status["status"]`` says so. Of several threads that call it one runs at a
    time, and the others wait; to run several at once, let a sweep do it (``-m … hydra/launcher=joblib``).
    """
    from transferlab import cli, plan

    given = shlex.split(words) if isinstance(words, str) else list(words)
    args = plan.arguments([word for word in given if word != "--version"])
    shown = args.help or args.shell_completion or args.cfg or args.info or args.hydra_help or "--version" in given
    require(not shown, "transferlab.run: runs; what only shows something is for the command line")
    with _ALONE:
        if folder := cli.resumed(args):
            cli.resume(folder)
            return [record(folder)]
        return [record(folder) for folder in cli.start(args)]


def record(folder: str | Path) -> records.Record:
    """What the run in ``folder`` has left: config, status, results."""
    path = expanded(str(folder))
    return records.read(RunFolder(path), config_in(path))


def load(folder: str | Path, device: str = "cpu", domain: str = "target") -> TrainedModel:
    """The model that the run in ``folder`` has ended with: ``.predict(pictures)``, ``.classes``, ``.trained_on``.

    It is a torch module in eval mode, from inputs to scores. domain: whose inputs it will be given, for methods that
    treat the domains differently. Raises :class:`~transferlab.errors.UserError` where there is none.
    """
    from transferlab import trained

    return trained.load(folder, device, domain)
