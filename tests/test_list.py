"""What list and compare say of runs that were killed, of other code, or whose own code has moved."""

import csv
import io
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
    assert "there are interrupted" in done("list", "runs", "status=running", cwd=tmp_path, code=2).stderr
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
    # Root may write everywhere, so it becomes nobody; after the import, since nobody may not read every checkout.
    code = (
        "import os; from pathlib import Path; from transferlab import locks;"
        "os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534));"
        "print(locks.held(Path('.lock')), os.access('.lock', os.W_OK))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert seen.stdout == "False False\n", seen.stderr


def test_a_run_of_older_code_is_marked_and_can_be_left_out(tmp_path, own):
    mine = ("--config-dir", str(own))
    done(*mine, *WORDS, "hydra.run.dir=runs/one", cwd=tmp_path)
    (own / "method" / "mine.py").write_text(METHOD + "# another version\n")
    done(*mine, *WORDS, "hydra.run.dir=runs/two", cwd=tmp_path)
    first, second = done("list", "runs", cwd=tmp_path).stdout.splitlines()[1:]
    assert "runs/two" in first and "older code" not in first
    assert "runs/one" in second and "finished, older code" in second
    for code, folder in (("current", "runs/two"), ("older", "runs/one")):
        rows = list(csv.DictReader(io.StringIO(done("list", "runs", f"code={code}", "--csv", cwd=tmp_path).stdout)))
        assert [(row["folder"], row["code"], row["status"]) for row in rows] == [(folder, code, "finished")]


def test_runs_on_data_that_has_changed_are_told_apart(tmp_path, own):
    mine, data = ("--config-dir", str(own)), own / "source" / "blobs.py"
    done(*mine, *WORDS, "hydra.run.dir=runs/one", cwd=tmp_path)
    assert "data=" not in done("list", "runs", cwd=tmp_path).stdout
    data.write_text(data.read_text().replace('f"blobs {', 'f"new blobs {'))
    done(*mine, *WORDS, "hydra.run.dir=runs/two", cwd=tmp_path)
    shown = done("list", "runs", cwd=tmp_path).stdout
    known = [RunFolder(tmp_path / "runs" / name).status["digests"]["source"][:8] for name in ("one", "two")]
    assert all(f"data={digest}" in shown for digest in known)
    (row,) = csv.DictReader(io.StringIO(done("list", "runs", f"source.data={known[0]}", "--csv", cwd=tmp_path).stdout))
    assert row["folder"] == "runs/one"


def test_runs_whose_own_code_has_moved_are_found_at_its_new_place(tmp_path, own):
    for seed in (0, 1):
        done("--config-dir", str(own), *WORDS, f"seed={seed}", f"hydra.run.dir=runs/{seed}", cwd=tmp_path)
    done("method=source_only", *WORDS[3:], "source=mnist", "target=usps", "model=ganin_mnist", "data.edition=sample",
         "device=cpu", "hydra.run.dir=runs/shipped", cwd=tmp_path)  # fmt: skip
    own.rename(tmp_path / "new")
    line = f"runs: passed over, made with choices in {own}, which is not there"
    line += "; name its new place with --config-dir: 2"
    assert "runs/0: made with choices in" in done("list", "runs/0", cwd=tmp_path, code=2).stderr
    for verb in ("list", "compare"):
        said = done(verb, "runs", cwd=tmp_path)
        assert said.stderr.strip() == line and "mine" not in said.stdout and "source_only" in said.stdout
        for words in (("--config-dir", "new"), ("--config-dir=new",)):
            said = done(verb, "runs", *words, cwd=tmp_path)
            assert not said.stderr and "mine" in said.stdout and "source_only" in said.stdout
        assert "nowhere: no such folder" in done(verb, "runs", "--config-dir", "nowhere", cwd=tmp_path, code=2).stderr
    assert "older code" not in said.stdout


def test_an_unfinished_run_of_own_code_is_listed_beside_others(tmp_path, own):
    text = (own / "method" / "mine.py").read_text()
    (own / "method" / "mine.py").write_text(
        text.replace("    run.report", "    raise ValueError('no')\n    run.report")
    )
    done("--config-dir", str(own), *WORDS, "hydra.run.dir=runs/one", cwd=tmp_path, code=1)
    assert "failed" in done("list", "runs", cwd=tmp_path).stdout


def test_a_run_that_cannot_be_read_is_said_to_be_passed_over_and_other_files_are_not(tmp_path, own):
    for seed in (0, 1):
        done("--config-dir", str(own), *WORDS, f"seed={seed}", f"hydra.run.dir=runs/{seed}", cwd=tmp_path)
    (tmp_path / "runs" / "1" / "config.json").write_text("{")
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "config.json").write_text('{"model_type": "bert"}')
    said = done("list", "runs", cwd=tmp_path)
    assert len(said.stdout.splitlines()) == 2
    (line,) = said.stderr.splitlines()
    assert "runs: passed over, " in line and "not readable as JSON" in line and line.endswith(": 1")


@pytest.mark.parametrize(("words", "line"), [
    (("--best",), "list --best: no such option; allowed are"),
    (("a", "b"), "list a b: takes one folder"),
    (("seed=0", "seed=1"), "takes one folder, each key=value once"),
    (("best=",), "takes one folder"),
    (("=x",), "takes one folder"),
    (("--config-dir",), "expected one argument"),
])  # fmt: skip
def test_wrong_words_of_list_are_one_line(tmp_path, words, line):
    said = command("list", *words, cwd=tmp_path)
    assert said.returncode == 2 and line in said.stderr and len(said.stderr.splitlines()) == 1
