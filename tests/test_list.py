"""What list and compare say of runs that were killed, of other code, or whose own code has moved."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import METHOD, WORDS, Started, command, done
from transferlab import locks
from transferlab.runs import RunFolder

LONG = ("train.steps=1000000", "train.checkpoint_every=1000000", "train.evaluations=1")


def begun(own, *words, cwd):
    """A run of own code that has been training for a moment."""
    started = Started("--config-dir", str(own), *WORDS[:-2], *LONG, "figures=false", *words, cwd=cwd)
    deadline = time.monotonic() + 120
    while not list(cwd.rglob("data.json")):
        assert started.process.exitcode is None and time.monotonic() < deadline
        time.sleep(0.02)
    return started


def states(text):
    return [row["status"] for row in csv.DictReader(io.StringIO(text))]


def test_a_killed_run_is_interrupted_wherever_it_is_shown_and_a_live_one_running(tmp_path, own):
    started = begun(own, "hydra.run.dir=runs/one", cwd=tmp_path)
    assert states(done("list", "runs", "--csv", cwd=tmp_path).stdout) == ["running"]
    assert states(done("list", "runs", "status=running", "--csv", cwd=tmp_path).stdout) == ["running"]
    assert started.process.exitcode is None
    started.process.kill()
    assert started.end(60).returncode == -signal.SIGKILL
    assert states(done("list", "runs", "--csv", cwd=tmp_path).stdout) == ["interrupted"]
    assert "interrupted" in done("list", "runs", "status=interrupted", cwd=tmp_path).stdout
    assert "no such runs" in done("list", "runs", "status=running", cwd=tmp_path, code=2).stderr
    assert RunFolder(tmp_path / "runs" / "one").status["reason"] == "its process is gone"


def test_a_look_at_a_lock_needs_no_right_to_write_and_stops_no_claim(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / ".lock"
    assert not locks.held(path) and not path.exists()
    lock = locks.acquire(path)
    assert lock is not None and locks.held(path)
    lock.release()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as one who looks
        assert not locks.held(path)
        threading.Timer(0.05, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        lock = locks.acquire(path)
        assert lock is not None
        lock.release()
    tmp_path.chmod(0o555)
    path.chmod(0o444)
    if os.getuid() == 0:  # root may write everywhere
        words = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--clear-groups"]
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to give up root's rights")
        tmp_path.parent.parent.chmod(0o755)
        tmp_path.parent.chmod(0o755)
    else:
        words = []
    code = f"from pathlib import Path; from transferlab import locks; print(locks.held(Path({str(path)!r})))"
    seen = subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert seen.stdout == "False\n", seen.stderr
