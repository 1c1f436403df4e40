"""The run folder: claimed by one process, its status, its metrics, its record."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from transferlab.config import RESULTS_VERSION, Config, from_plain, to_plain
from transferlab.data import Found
from transferlab.errors import UserError
from transferlab.files import make_folder, read_json, write_json, write_text

FINISHED = "finished"
COLLAPSED = "collapsed"
"""Complete, but its training never left chance."""
DONE = (FINISHED, COLLAPSED)
"""The states of a run that is complete and answers from its record."""


class RunFolder:
    """A folder that belongs to one run of one config, and to one process at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def status(self) -> dict[str, Any]:
        return read_json(self.path / "status.json")

    @property
    def results(self) -> dict[str, Any]:
        return read_json(self.path / "results.json")

    def check(self, config: Config, digests: Mapping[str, str]) -> None:
        """Raise :class:`UserError` if the folder holds another run than that of ``config`` on data of these digests.

        Changes nothing.
        """
        if other := self.other(config, digests):
            raise UserError(f"{self.path}: holds a run {other}; choose another folder")
        if not self.status.get("fingerprint") and self.path.is_dir() and any(self.path.iterdir()):
            # A run that died before its first status has these.
            ours = (".hydra", "run.log", ".lock", "config.json")
            others = [p.name for p in self.path.iterdir() if p.name not in ours]
            if others:
                raise UserError(f"{self.path}: not empty and not a run's folder; choose another folder")

    def other(self, config: Config, digests: Mapping[str, str]) -> str:
        """In what the folder's run is another than that of ``config`` on data of these digests; empty if in nothing."""
        status = self.status
        if status.get("fingerprint") in (None, config.fingerprint(digests)):
            return ""
        version, theirs = status.get("results_version"), status.get("digests")
        if version != RESULTS_VERSION or not isinstance(theirs, dict):
            return f"by another version of the code (results version {version or 'unknown'}, this is {RESULTS_VERSION})"
        changed = [role for role, digest in digests.items() if theirs.get(role) != digest]
        return f"on other {' and '.join(changed)} data, or before it changed" if changed else "of another config"

    def claim(self, config: Config, digests: Mapping[str, str]) -> None:
        """Make this process the folder's owner; the system ends the claim with the process, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(config, digests)
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise UserError(f"{self.path}: another process is running this run") from None
        self._lock = lock
        write_json(self.path / "config.json", to_plain(config))

    def release(self) -> None:
        """Give the claim back, if there is one."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def set_status(self, status: str, reason: str = "", **more: Any) -> None:
        """Write status.json: running | finished | collapsed | failed | interrupted, why, where and since when."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {
            **self.status, "status": status, "reason": reason, "host": socket.gethostname(),
            "pid": os.getpid(), "updated": now, **more,
        }  # fmt: skip
        record.setdefault("started", now)
        write_json(self.path / "status.json", record)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv, one row per log point, columns in the order in which they first appear."""
        columns = dict.fromkeys(key for row in rows for key in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "metrics.csv", text.getvalue())

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv, numbers as numbers, without empty cells."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [{k: _number(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]


def identity(config: Config, found: Mapping[str, Found]) -> dict[str, Any]:
    """What status.json keeps of what determines the result of ``config`` on the data found."""
    digests = {role: data.digest for role, data in found.items()}
    return {
        "fingerprint": config.fingerprint(digests), "results_version": RESULTS_VERSION, "digests": digests,
        "editions": {role: data.edition for role, data in found.items()},
    }  # fmt: skip


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def stored_config(path: Path) -> Config:
    """The config of the run in ``path``. Raises :class:`UserError` where there is none."""
    if not (path / "config.json").exists():
        raise UserError(f"resume={path}: no run's folder (it has no config.json)")
    return from_plain(read_json(path / "config.json"))


def runs_in(folder: Path) -> list[tuple[RunFolder, Config]]:
    """Each run somewhere below ``folder`` that this version can read, and its config.

    The place of its data may be gone by now. Hidden folders hold no runs.
    """
    found = []
    for path in sorted(folder.rglob("config.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path.parent == folder:
            continue
        with suppress(UserError):  # a run of another version
            plain = read_json(path)
            plain["data"] = {**(plain.get("data") or {}), "root": None}
            found.append((RunFolder(path.parent), from_plain(plain)))
    return found


def new_folder(wanted: Path) -> Path:
    """Create ``wanted``, or ``wanted``-2, -3, …: never a folder that another run has created."""
    make_folder(wanted.parent)
    number = 1
    while True:
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def environment(**more: Any) -> dict[str, Any]:
    """What the numbers may depend on: versions, processor, git revision, and what the caller adds."""
    from importlib.metadata import version

    packages = ("transferlab", "torch", "torchvision", "numpy", "scikit-learn", "hydra-core", "omegaconf")
    return {
        "python": platform.python_version(), "platform": platform.platform(), "processor": processor(),
        "cores": os.cpu_count(), "git": _git_revision(), "command": sys.argv,
        **{package: version(package) for package in packages}, **more,
    }  # fmt: skip


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _git_revision() -> str | None:
    """The revision of the checkout that this code lies in, '+' added where it has changes."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():  # installed, perhaps inside somebody else's repository
        return None
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, timeout=5).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None
