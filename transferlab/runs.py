"""The run folder: claimed by one process, its status, its metrics, its record."""

from __future__ import annotations

import csv
import logging
import multiprocessing
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from transferlab import locks
from transferlab.config import RESULTS_VERSION, Config, from_plain, to_plain
from transferlab.data import Found
from transferlab.errors import UserError, require
from transferlab.files import (
    csv_text,
    digest,
    json_text,
    make_folder,
    read_json,
    remove_partials,
    seal,
    write_json,
    write_text,
)
from transferlab.map import look_in, looking_in, own_folder

log = logging.getLogger(__name__)

FINISHED = "finished"
COLLAPSED = "collapsed"
"""Complete, but its training never left chance."""
DONE = (FINISHED, COLLAPSED)
"""The states of a run that is complete and answers from its record."""
DAMAGED = "damaged"
"""Status of a run whose record has changed since it was written."""
PREDICTOR = "checkpoints/predictor.safetensors"
RECORDS = (
    "config.json", "data.json", "environment.json", "results.json", "metrics.csv", "classes.csv",
    "figures/features.csv", PREDICTOR,
)  # fmt: skip
"""What a run has found, and the files that are read again, except for status.json, which says what is in them."""
EARLY = (".hydra", "run.log", ".lock", "config.json")
"""What a run that died before its first status may have left."""


class Busy(UserError):
    """Another process is running this run."""


class RunFolder:
    """A folder that belongs to one run of one config, and to one process at a time."""

    def __init__(self, path: Path):
        self.path = path
        self._lock: BaseFileLock | None = None

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says; empty where there is none.

        The status is "damaged", with the reason, where it or a record that it vouches for is not as the run has
        written it; and "interrupted" where it says running and no process has the claim.
        """
        record = self._recorded_status()
        if record.get("status") != "running" or self.claimed or locks.held(self.path / ".lock"):
            return record
        record = self._recorded_status()  # it may have ended in between
        if record.get("status") != "running":
            return record
        return {**record, "status": "interrupted", "reason": "its process is gone"}

    def _recorded_status(self) -> dict[str, Any]:
        try:
            record = read_json(self.path / "status.json")
        except UserError as error:
            return {"status": DAMAGED, "reason": str(error), "damaged": "status.json"}
        if not record:
            return {}
        if record != seal(record):
            reason = f"{self.path / 'status.json'}: changed since it was written, or of another version"
            return {"status": DAMAGED, "reason": reason, "damaged": "status.json"}
        for name, was in record["files"].items():
            now = self._digest(name)
            # Without its weights, which some delete to save room, a finished run still says what it found.
            if now != was and (now is not None or name != PREDICTOR):
                reason = f"{self.path / name}: changed since it was written"
                return {**record, "status": DAMAGED, "reason": reason, "damaged": name}
        return record

    @property
    def results(self) -> dict[str, Any]:
        return read_json(self.path / "results.json")

    def check(self, config: Config, digests: Mapping[str, str]) -> None:
        """Raise :class:`UserError` if the folder holds a run other than ``config`` on data of these digests.

        Changes nothing.
        """
        status = self.status
        theirs = status.get("fingerprint")
        other = ""
        if theirs is not None and status["status"] != DAMAGED:
            other = self.other(config, digests)
        elif theirs != config.fingerprint(digests):
            try:
                same = config_in(self.path).fingerprint({}) == config.fingerprint({})
            except UserError:
                # Its config is gone or damaged: only its status may tell which run it is.
                same = theirs is None
                strange = not status and self.path.is_dir() and not all(map(_early, self.path.iterdir()))
                require(not strange, f"{self.path}: not empty and not a run's folder; choose another folder")
            other = "" if same else "of another config"
        require(not other, f"{self.path}: holds a run {other}; choose another folder")

    def other(self, config: Config, digests: Mapping[str, str]) -> str:
        """How the folder's run differs from ``config`` on data of these digests; empty if it does not."""
        status = self.status
        if status.get("fingerprint") in (None, config.fingerprint(digests)):
            return ""
        version, theirs = status.get("results_version"), status.get("digests")
        if version != RESULTS_VERSION or not isinstance(theirs, dict):
            return f"by another version of the code (results version {version or 'unknown'}, this is {RESULTS_VERSION})"
        ours, before = config.own_code, status.get("own_code", {})
        if ours.keys() == before.keys() and ours != before:
            mine = " and ".join(f"{role}={config.names[role]}" for role in ours if ours[role] != before[role])
            return f"by another version of {mine}"
        changed = [role for role, digest in digests.items() if theirs.get(role) != digest]
        return f"on other {' and '.join(changed)} data, or before it changed" if changed else "of another config"

    def claim(self, config: Config, digests: Mapping[str, str]) -> None:
        """Make this process the folder's owner; the claim ends with the process, however it ends.

        Raises :class:`Busy` where another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(config, digests)
        self._lock = locks.acquire(self.path / ".lock")
        if self._lock is None:
            raise Busy(f"{self.path}: another process is running this run")
        for folder in (self.path, self.path / "checkpoints", self.path / "figures"):
            remove_partials(folder)
        status = self.status
        if status.get("status") == DAMAGED:
            log.warning("%s; running it again", status["reason"])
        if status.get("status") not in DONE:
            write_json(self.path / "config.json", to_plain(config))

    def release(self) -> None:
        """Give the claim back, if there is one."""
        if self._lock:
            self._lock.release()
            self._lock = None

    @property
    def claimed(self) -> bool:
        """Whether this object has the claim."""
        return self._lock is not None

    def busy(self) -> bool:
        """Whether another process is running this run now."""
        return not self.claimed and self.status.get("status") == "running"

    def _digest(self, name: str) -> str | None:
        try:
            return digest((self.path / name).read_bytes())
        except OSError:
            return None

    def set_status(self, status: str, reason: str = "", **more: Any) -> None:
        """Write status.json: running | finished | collapsed | failed | interrupted, why, where and since when.

        It vouches for config.json, and for all records once the run is complete.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = self.status
        names = RECORDS if status in DONE else RECORDS[:1]
        record = {
            **(before if before.get("status") != DAMAGED else {}), "status": status, "reason": reason,
            "host": socket.gethostname(), "pid": os.getpid(), "updated": now, **more,
            "files": {name: found for name in names if (found := self._digest(name))},
        }  # fmt: skip
        record.setdefault("started", now)
        path, text = self.path / "status.json", json_text(seal(record))
        try:
            write_text(path, text)
        except OSError:  # on a full disk there may be no room for a new file, but in the old one there is
            if not path.exists():
                raise
            with path.open("r+", encoding="utf-8") as file:
                file.write(text)
                file.truncate()

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv, one row per log point, columns in the order in which they first appear."""
        write_text(self.path / "metrics.csv", csv_text(rows))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv, numbers as numbers, without empty cells."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [{k: _number(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]


def digests_of(found: Mapping[str, Found]) -> dict[str, str]:
    """What the data of both domains is known by."""
    return {role: data.digest for role, data in found.items()}


def identity(config: Config, found: Mapping[str, Found]) -> dict[str, Any]:
    """What status.json keeps of what determines the result of ``config`` on the data found."""
    digests = digests_of(found)
    return {
        "fingerprint": config.fingerprint(digests), "results_version": RESULTS_VERSION, "digests": digests,
        "editions": {role: data.edition for role, data in found.items()},
        **({"config_dir": own} if (own := own_folder()) else {}),
        **({"own_code": code} if (code := config.own_code) else {}),
    }  # fmt: skip


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _early(path: Path) -> bool:
    """Whether it may be of a run that died before its first status: a file of ours, or a folder with nothing in it."""
    ours = path.name in EARLY or path.name.endswith(".part")
    return ours or (path.name in ("checkpoints", "figures") and not any(path.iterdir()))


def config_in(path: Path) -> Config:
    """The config of the run in ``path``, the place of whose data may be gone by now.

    Raises :class:`UserError` where there is none that this version can read.
    """
    plain = read_json(path / "config.json")
    require(isinstance(plain.get("data"), dict), f"{path / 'config.json'}: not a run's config")
    plain["data"]["root"] = None
    try:
        with choices_of(path):  # it may be of a method or a data set of the user's own
            return from_plain(plain)
    except UserError:
        if own_folder() is not None:
            return from_plain(plain)  # its folder has moved to where --config-dir says
        noted = _config_dir(path)
        moved = f"made with choices in {noted}, which is not there; name its new place with --config-dir"
        require(noted is None or Path(noted).is_dir(), f"{path}: {moved}")
        raise


def choices_of(path: Path) -> AbstractContextManager[None]:
    """Inside, modules are taken from the folder of choices that the run in ``path`` was started with."""
    return looking_in(_config_dir(path))


def _config_dir(path: Path) -> str | None:
    """The folder of choices that a run was started with; its other records are not looked at."""
    try:
        noted = read_json(path / "status.json").get("config_dir")
    except UserError:
        return None
    return noted if isinstance(noted, str) else None


def stored_config(path: Path) -> Config:
    """The config of the run in ``path``. Raises :class:`UserError` where there is none, or none to rely on."""
    require((path / "config.json").exists(), f"resume={path}: no run's folder (it has no config.json)")
    status = RunFolder(path).status
    # Other records are rebuilt; without these two nobody knows what the run was.
    lost = status.get("damaged") in ("status.json", "config.json")
    require(not lost, f"resume={path}: {status.get('reason')}; start the run again with its own words")
    if own_folder() is None:
        look_in(status.get("config_dir"))
    return from_plain(read_json(path / "config.json"))


def runs_in(folder: Path) -> tuple[list[tuple[RunFolder, Config]], list[str]]:
    """Each run somewhere below ``folder`` and its config; and for each that this version cannot read, why.

    The place of its data may be gone by now. Hidden folders hold no runs.
    """
    found, unread = [], []
    for path in sorted(folder.rglob("config.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path.parent == folder:
            continue
        try:
            found.append((RunFolder(path.parent), config_in(path.parent)))
        except UserError as error:
            if (path.parent / "status.json").exists():  # else it is the file of another program
                unread.append(str(error).removeprefix(f"{path.parent}: "))
    return found, unread


def orphaned() -> bool:
    """Whether this is a process of a pool, such as joblib's, whose parent has died."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return False
    try:
        return not parent.is_alive()
    except ValueError:  # joblib's processes are not told when their parent ends, only who it was
        return os.getppid() != parent.pid


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
