"""A run that never left chance says so, and a weak but healthy one does not."""

import csv
import json

import numpy as np
import pytest

from tests.conftest import command
from tests.methods import tiny
from transferlab import testing
from transferlab.evaluation.collapse import collapse, label_losses
from transferlab.map import method_files, method_schema

RNG = np.random.default_rng(0)


def labels_of(classes, count=1000, weights=None):
    return RNG.choice(classes, count, p=weights)


def answers_with(labels, classes, accuracy):
    """Random answers, of which some more are right."""
    wrong = RNG.integers(classes, size=len(labels))
    return np.where(RNG.random(len(labels)) < accuracy, labels, wrong)


def test_an_adversary_that_leaves_the_label_predictor_at_chance():
    labels = labels_of(10)
    answers = np.where(RNG.random(1000) < 0.9, 3, answers_with(labels, 10, 0.2))
    reason = collapse(answers, labels, [2.36, 2.34, 2.29], 450)
    assert reason.startswith("never left chance: label loss 2.33 (chance 2.3") and "\n" not in reason


@pytest.mark.parametrize("loss", [2.3, 0.1])
def test_one_answer_to_everything(loss):
    assert "one class for 100 %" in collapse(np.full(1000, 7), labels_of(10), [loss], 450)
    assert "one class" in collapse(np.full(1000, 7), labels_of(10), [], 450)


@pytest.mark.parametrize(("classes", "accuracy", "loss"), [
    (345, 0.02, 5.6), (26, 0.1, 3.2), (10, 0.2, 2.25), (2, 0.3, 0.66), (2, 0.95, 0.2),
])  # fmt: skip
def test_weak_but_healthy_runs_are_left_alone(classes, accuracy, loss):
    labels = labels_of(classes)
    assert collapse(answers_with(labels, classes, accuracy), labels, [loss], 100) == ""
    few = np.arange(classes).repeat(5)  # a few labels, most of which are memorised
    assert collapse(answers_with(few, classes, 0.8), few, [0.8 * np.log(classes)], 100) == ""


@pytest.mark.parametrize("classes", [2, 26, 345])
def test_random_answers_at_a_loss_of_chance(classes):
    labels = labels_of(classes)
    for answers in (answers_with(labels, classes, 0.0), np.where(RNG.random(1000) < 0.9, 0, 1)):
        assert collapse(answers, labels, [np.log(classes)], 100)
        assert collapse(answers, labels, [0.5 * np.log(classes)], 100) == ""


def test_a_dominant_class_may_be_the_right_answer():
    labels = labels_of(3, weights=[0.9, 0.05, 0.05])
    assert collapse(np.zeros(1000, int), labels, [0.39], 500) == ""
    assert collapse(np.zeros(1000, int), np.zeros(1000, int), [0.0], 500) == ""
    unbalanced = labels_of(4, weights=[0.6, 0.2, 0.1, 0.1])  # learned well, though mostly one class
    assert collapse(answers_with(unbalanced, 4, 0.9), unbalanced, [0.2], 500) == ""


def test_a_run_that_has_hardly_begun_is_not_judged():
    assert collapse(np.zeros(100, int), labels_of(10, 100), [2.3], 49) == ""
    assert collapse(np.zeros(0, int), np.zeros(0, int), [], 500) == ""


def test_the_loss_is_that_of_the_last_log_points():
    rows = [{"loss/label": float(loss)} for loss in (9, 3, 2)] + [{"source_accuracy": 0.1}, {"loss/label": 1.0}]
    assert label_losses(rows) == [3, 2, 1] and label_losses([]) == []


def test_a_collapsed_run_says_so_everywhere_and_is_complete(tmp_path):
    """Source inputs that say nothing of their labels, and a second run whose inputs do."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 4
    for name, x in (
        ("empty", rng.normal(size=(240, 3))),
        ("full", 5 * np.eye(4)[y][:, :3] + rng.normal(size=(240, 3))),
    ):
        np.savez(tmp_path / f"{name}.npz", features=(0.0 if name == "empty" else 1.0) * x.astype("f4"), labels=y)
    words = ["source=features", "target=features", "target.path=full.npz", "model=mlp", "figures=false",
             "train.steps=80", "train.batch_size=32", "train.lr=0.05", "store=null", "device.threads=1"]  # fmt: skip
    sweep = ["-m", "method=dann", "source.path=empty.npz,full.npz", *words]
    done = command(*sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "collapsed: " in done.stderr and "no result of the method" in done.stderr
    folders = {json.loads((p.parent / "config.json").read_text())["source"]["path"]: p.parent
               for p in tmp_path.glob("outputs/sweep/*/results.json")}  # fmt: skip
    for source, state in (("empty", "collapsed"), ("full", "finished")):
        folder = folders[f"{source}.npz"]
        status, results = (json.loads((folder / f"{name}.json").read_text()) for name in ("status", "results"))
        assert status["status"] == results["status"] == state
        assert bool(status["reason"]) == ("reason" in results) == ("collapsed" in (folder / "run.log").read_text())
        assert (state == "collapsed") == bool(status["reason"])
    with (tmp_path / "outputs" / "sweep" / "summary.csv").open() as file:
        assert sorted(row["status"] for row in csv.DictReader(file)) == ["collapsed", "finished"]
    again = command(f"resume={folders['empty.npz']}", cwd=tmp_path)
    assert again.returncode == 0 and "finished before" in again.stderr


@pytest.mark.parametrize("method", method_files())
def test_every_method_that_learns_labels_step_by_step_logs_their_loss_by_one_name(tmp_path, method):
    sees = method_schema(method).sees
    if not (sees.net and sees.steps):
        pytest.skip("it trains no net step by step")
    _, engine = tiny.learn(tmp_path, tiny.settings(method), tiny.problem(method, "vectors", same=False)
                           if sees.classes == "any" else tiny.problem(method, "vectors"))  # fmt: skip
    assert label_losses(engine.rows)


@pytest.mark.parametrize(("method", "options"), [
    ("multitask", {}), ("multitask", {"weighting": "uncertainty"}), ("mcd", {}), ("mean_teacher", {}),
])  # fmt: skip
def test_methods_that_never_learn_collapse(tmp_path, no_data, method, options):
    config = testing.tiny(method, options, steps=60, lr=1e-7, log_every=20)
    assert testing.finished(config, tmp_path / "run").status["status"] == "collapsed"
