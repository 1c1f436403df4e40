"""Tables: the real command on a tiny one, and the arithmetic against hand computation."""

import csv
import dataclasses
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.stats

from tests.conftest import command, program
from transferlab import cli, data, plan
from transferlab.build import build
from transferlab.config import conf_dir
from transferlab.errors import UserError
from transferlab.evaluation import figures
from transferlab.records import Record
from transferlab.reports import layouts, rendering, table_entries, table_forecast, table_lines, table_pages, tables

TINY = """
title: A tiny table
time: a moment
seeds: 2
overrides: [data.edition=sample, train.steps=4, train.batch_size=8, train.evaluations=1, device.threads=1,
            data.validation=50, figures=false]
gap: [source_only, target_only]
rows:
  source_only: {overrides: [method=source_only]}
  source_oracle: {overrides: [method=source_only], metric: oracle_target_accuracy}
  diverging: {overrides: [method=source_only, train.lr=0.02]}
  target_only: {overrides: [method=target_only]}
columns:
  mnist_usps: {overrides: [source=mnist, target=usps], cells: {diverging: [train.lr=1e30]}}
  svhn_usps: {overrides: [source=svhn, target=usps]}
published:
  paper: {source: A paper, figures: {source_only: {mnist_usps: 0.5}, target_only: {mnist_usps: 0.9}}}
"""
TABLES = sorted(path.stem for path in (conf_dir() / "table").glob("*.yaml"))


def finished(path):
    """When the results of each finished run were written."""
    folders = [p.parent for p in path.glob("outputs/sweep/*/status.json") if '"finished"' in p.read_text()]
    return {folder: (folder / "results.json").stat().st_mtime_ns for folder in folders}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with the table above: started, killed half way, started again with another launcher."""
    path = tmp_path_factory.mktemp("table")
    (path / "conf" / "table").mkdir(parents=True)
    (path / "conf" / "table" / "tiny.yaml").write_text(TINY)
    env = {"XDG_CACHE_HOME": str(path / "cache"), "TRANSFERLAB_DATA": ""}
    words = ["table", "tiny", "--config-dir", "conf"]
    process = subprocess.Popen(
        [sys.executable, "-m", "transferlab", *words], cwd=path, env={**os.environ, **env},
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not finished(path):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished(path)
    planned = command(*words, "--dry-run", cwd=path, **env)
    done = program(*words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=path, timeout=400, **env)
    return path, env, before, planned, done


def rows_of(path):
    with (path / "outputs" / "tables" / "tiny" / "table.csv").open() as file:
        return {(row["column"], row["row"]): row for row in csv.DictReader(file)}


def test_a_killed_table_goes_on_without_repeating_a_finished_cell(tiny):
    path, _, before, _, done = tiny
    after = finished(path)
    assert 1 <= len(before) < len(after) == 4  # two rows share the runs of source_only
    assert before.items() <= after.items()
    assert done.returncode == 1, done.stderr  # a cell has failed
    assert f"tiny: {6 - len(before)} runs to go, {len(before)} finished" in done.stderr


def test_means_and_spreads_are_those_of_the_records(tiny):
    path = tiny[0]
    for row in ("source_only", "target_only"):
        values = [
            json.loads(p.read_text())["target_accuracy"]
            for p in path.glob(f"outputs/sweep/{row}-mnist-usps-*/results.json")
        ]
        line = rows_of(path)["mnist_usps", row]
        assert line["n"] == line["seeds"] == "2" and line["edition"] == "sample"
        assert float(line["mean"]) == pytest.approx(sum(values) / 2)
        assert float(line["std"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert rows_of(path)["mnist_usps", "source_oracle"]["metric"] == "oracle_target_accuracy"


def test_the_counts_really_used_stand_below(tiny):
    done = tiny[-1]
    mnist, usps = "mnist: 10000 + 2000 of 1x28x28, 10 classes", r"usps: 4000 + 1000 of 1x16x16, 10 classes"
    assert re.search(rf"^mnist_usps \(sample\) +{re.escape(mnist)} +{re.escape(usps)}$", done.stdout, re.M)


def test_a_failing_cell_is_shown_with_its_reason(tiny):
    path, _, _, _, done = tiny
    assert rows_of(path)["mnist_usps", "diverging"]["n"] == "0"
    assert re.search(r"mnist_usps \(sample\), diverging: failed \(seeds 0, 1\): Diverged: loss", done.stdout)


def test_a_column_without_its_data_is_marked_and_stays_empty(tiny):
    path, _, _, _, done = tiny
    lines = [line for (column, _), line in rows_of(path).items() if column == "svhn_usps"]
    assert len(lines) == 4 and all(line["n"] == "0" and line["mean"] == "" for line in lines)
    assert all(line["note"].startswith("needs svhn (seeds 0, 1): ") for line in lines)
    assert "svhn_usps: needs svhn (seeds 0, 1): data.edition=sample: the package has no sample" in done.stdout


def test_dry_run_says_what_is_left_and_runs_nothing(tiny):
    path, env, before, planned, _ = tiny
    assert planned.returncode == 0 and f"{6 - len(before)} runs to go, {len(before)} finished; about" in planned.stdout
    assert "needs svhn" in planned.stdout
    stamps = {p: p.stat().st_mtime_ns for p in path.rglob("outputs/sweep/*/*")}
    done = command("table", "tiny", "--config-dir", "conf", "--dry-run", cwd=path, **env)
    assert "2 runs to go, 4 finished" in done.stdout  # the diverging ones
    assert {p: p.stat().st_mtime_ns for p in path.rglob("outputs/sweep/*/*")} == stamps


def test_render_gives_the_same_from_the_folders_alone(tiny):
    path, env, _, _, done = tiny
    folder = path / "outputs" / "tables" / "tiny"
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    charts = {"table.png", "table.pdf", "table.svg"}
    assert set(files) == {"runs.csv", "table.txt", "table.md", "table.csv", "table.tex", *charts}
    assert files["table.txt"].decode() in done.stdout
    for p in folder.iterdir():
        p.unlink()
    code = "import sys; from transferlab import cli; cli.main()"
    words = ["table", "tiny", "--render", "--config-dir", "conf"]
    again = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=path, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == files
    assert files["table.txt"].decode() in again.stdout


def test_a_part_of_a_table_leaves_the_whole_tables_files_alone(tiny, monkeypatch, capsys):
    path, env, *_ = tiny
    monkeypatch.chdir(path)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    whole = {p.name: p.read_bytes() for p in (path / "outputs" / "tables" / "tiny").iterdir()}
    words = ["tiny", "--config-dir", "conf", "--render", "columns=mnist_usps", "rows=source_only,target_only"]
    assert cli.table([*words, "device.threads=1", "--docs", "docs"]) == 0
    assert {p.name: p.read_bytes() for p in (path / "outputs" / "tables" / "tiny").iterdir()} == whole
    part = path / "outputs" / "tables" / "tiny-rows=source_only,target_only-columns=mnist_usps"
    assert str(part.relative_to(path)) in capsys.readouterr().out
    rows = csv.DictReader((part / "table.csv").read_text().splitlines())
    assert {line["row"] for line in rows} == {"source_only", "target_only"}
    for end, name in ((".csv", "runs.csv"), (".md", "table.md")):
        assert (path / "docs" / f"tiny{end}").read_bytes() == (part / name).read_bytes()
    page = (path / "docs" / "tiny.md").read_text()
    assert "transferlab table tiny rows=source_only,target_only columns=mnist_usps\n" in page
    assert "machine: " in page and "precision: float32" in page and "| 1000 |" in page


@pytest.mark.parametrize(("words", "own"), [
    ([], True), (["data.root=.", "device.threads=1", "hydra/launcher=joblib", "figures=false"], True),
    (["seeds=2"], False), (["train.steps=5"], False), (["rows=scratch"], False), (["train=quick"], False),
])  # fmt: skip
def test_what_determines_a_table_is_in_its_folders_name(words, own, no_data):
    asked = tables.request(["few_shot", *words])
    name = tables.output_folder(asked, [tables.Cell("", "", None, [], Path("outputs/sweep"), {}, {})]).name
    assert (name == "few_shot") == own and len(name) <= 100


def test_the_time_to_come_goes_by_rows_columns_seeds_and_steps(no_data, tmp_path):
    def said(*words):
        fixed = ["data.edition=sample", "device.precision=float32", f"hydra.sweep.dir={tmp_path}"]
        asked = tables.request(["multitask", *fixed, *words])
        wanted = [dataclasses.replace(c, digests={"any": "one"}, missing="") for c in tables.cells(asked, fetch=False)]
        return table_forecast.forecast(asked, wanted)[-1]

    one = ("columns=mnist_usps", "rows=equal")  # a fifth of the column's minutes a seed, of 1,000 steps
    minutes = tables.load("multitask", None).minutes
    for words, share in ((["seeds=1"], 1), (["seeds=2"], 2), (["seeds=2", "train.steps=250"], 0.5)):
        expected = f"about {round(minutes * 60 / 5 * share)} s one at a time, by the table's own estimate"
        assert expected in said(*one, *words)


def test_a_note_of_a_dry_run_stands_once(no_data, tmp_path):
    asked = tables.request(["dann", "columns=svhn_mnist", f"hydra.sweep.dir={tmp_path}"])
    text = table_forecast.forecast_text(asked, tables.cells(asked, fetch=False))
    assert text.count("svhn: not found") == 1 and text.count("needs svhn\n") == len(asked.rows)


def test_a_launch_takes_any_jobs_and_words_that_only_they_know(tmp_path, no_data):
    taken = []
    lists = [
        (["method=finetune", "method.steps=3", "train.steps=5", "seed=4"], tmp_path / "first"),
        (["method=dann", "method.gamma=2", "seed=9"], tmp_path / "second"),
    ]
    raised = plan.launch(lists, tmp_path, ["method.steps=3"], None, lambda config: taken.append(plan.typed(config)))
    assert [(c.names["method"], c.seed) for c in taken] == [("finetune", 4), ("dann", 9)] and raised == []
    assert (taken[0].method.steps, taken[0].train.steps, taken[1].method.gamma) == (3, 5, 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["first", "second"]


BAD = {
    "tiny rows=sorce_only": "rows=sorce_only: allowed are .*; did you mean source_only",
    "tiny columns=mnist": "columns=mnist: allowed are mnist_usps, svhn_usps",
    "tiny seeds=0": "seeds=0: a number of seeds",
    "tiny seed=3": "seed=3: seeds=… chooses",
    "tiny +seed=3": "seed=3: seeds=… chooses",
    "tiny sede=1": "sede: no such key; .*did you mean seed",
    "tiny train.steps=1,2": "train.steps=1,2",
    "tiny hydra.sweep.dir=${nope}": "hydra.sweep.dir: Interpolation key 'nope' not found",
    "tiny --rendr": "unrecognized arguments: --rendr",
    "tiny hydra.sweep.subdir=x": "a table names its folders itself",
    "tiny metric=": "metric=: say which figure of results.json",
    "tiny metric=target_auroc": "metric=target_auroc: not of rows with a metric of their own, source_oracle "
    r"\(oracle_target_accuracy\); add rows=source_only,diverging,target_only",
    "tinny": "table=tinny: no such table; allowed are .*did you mean tiny",
    "": "table: say which; allowed are",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_one_line_status_two_and_no_torch(tiny, words, capsys, monkeypatch):
    path, env, *_ = tiny
    monkeypatch.chdir(path)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(sys, "argv", ["transferlab", "table", *words.split(), "--config-dir", "conf"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and re.search(BAD[words], lines[0]), lines


def test_a_bad_word_in_a_process_of_its_own(tmp_path):
    done = command("table", "dann", "rows=dan", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "did you mean dann" in done.stderr
    assert not list(tmp_path.iterdir())


def made(**changes) -> tables.Request:
    """A request for a table of two rows and a column, with names that need escaping."""
    values = {
        "title": "50 % & more", "time": "", "seeds": [0, 1, 2], "gap": ["low", "up"],
        "rows": {"low": {"overrides": []}, "a_b|c": {"overrides": []}, "up": {"overrides": []}},
        "columns": {"x_y": {"overrides": []}},
        "published": {"paper": {"source": "A & B", "figures": {"low": {"x_y": 0.4}, "a_b|c": {"x_y": 0.7},
                                                               "up": {"x_y": 0.8}}}}, **changes,
    }  # fmt: skip
    table = build(tables.Table, values, "table")
    return tables.Request("made", table, list(table.rows), list(table.columns), [0, 1, 2], [], None, True, False)


def lines_of(row, values, column="x_y", edition="full", status="finished", metric="target_accuracy", asked=3, **more):
    """A line for each seed; those without a value have ``status``."""
    half = {"low": -0.01, "high": 0.01, "test_count": 1000, "seconds": 60.0, "run": row}
    found = []
    for seed in range(asked):
        line = table_lines.Line(
            column, row, seed, "dann", edition, status, "why", metric, command="transferlab table made"
        )
        if seed < len(values):
            shown = {k: values[seed] + v if k in ("low", "high") else v for k, v in {**half, **more}.items()}
            line = dataclasses.replace(line, status="finished", reason="", value=values[seed], **shown)
        found.append(line)
    return found


LINES = [*lines_of("low", [0.49, 0.50, 0.51]), *lines_of("a_b|c", [0.80, 0.82, 0.84], source_accuracy=0.97),
         *lines_of("up", [0.88, 0.92], status="missing")]  # fmt: skip


def flat(lines, **changes):
    table = made(**changes).table
    return {line["row"]: line for line in table_entries.flat(table, table_entries.entries(table, lines))}


def test_difference_and_gap_closed_by_hand():
    low, middle, up = flat(LINES).values()
    assert middle["mean"] == pytest.approx(0.82) and middle["std"] == pytest.approx(0.02) and middle["n"] == 3
    assert middle["gap_closed"] == pytest.approx(0.8)  # (.82 - .5) / (.9 - .5)
    assert middle["paper_difference"] == pytest.approx(0.12)
    assert middle["paper_gap_closed"] == pytest.approx(0.75)  # (.7 - .4) / (.8 - .4)
    assert (low["gap_closed"], up["gap_closed"]) == pytest.approx((0, 1))
    assert up["n"] == 2 and up["seeds"] == 3


def test_rows_are_compared_seed_by_seed_with_a_reference():
    """The interval of the differences, not the difference of the means' intervals; only seeds of both count."""
    middle, up = flat(LINES)["a_b|c"], flat(LINES)["up"]
    low, high = scipy.stats.t.interval(0.95, 2, 0.32, scipy.stats.sem([0.31, 0.32, 0.33]))
    assert (middle["difference"], middle["difference_low"]) == pytest.approx((0.32, low))
    assert middle["difference_high"] == pytest.approx(high) and middle["verdict"] == "helps"
    assert up["difference"] == pytest.approx((0.39 + 0.42) / 2)
    assert flat(LINES)["low"]["difference"] is None and flat(LINES)["low"]["verdict"] == ""
    other = flat(LINES, reference="up")
    assert other["low"]["verdict"] == "harms" and other["low"]["difference"] == pytest.approx(-(0.39 + 0.42) / 2)
    assert flat(LINES, gap=[])["a_b|c"]["difference"] is None


@pytest.mark.parametrize("upper", [[0.40, 0.41, 0.42], [0.30, 0.70, 0.52], [0.501, 0.502, 0.503]])
def test_there_is_no_gap_where_the_upper_row_is_not_above_the_lower_beyond_the_noise(upper):
    """Reversed, a row below both would otherwise have closed more than all of it."""
    lines = [*lines_of("low", [0.499, 0.5, 0.501]), *lines_of("a_b|c", [0.35, 0.36, 0.37]), *lines_of("up", upper)]
    assert [line["gap_closed"] for line in flat(lines).values()] == 3 * [None]
    notes = table_pages.footnotes(made(), table_entries.entries(made().table, lines))
    assert "x_y (full): no gap to close, up is not above low beyond the noise" in notes
    assert table_entries.gap_closed(0.3, 0.6, 0.5) is None  # a published one that is reversed


def test_of_one_seed_the_test_samples_say_whether_there_is_a_gap():
    one = {"asked": 1, "test_count": 40}
    near = [*lines_of("low", [0.5], low=-0.15, high=0.15, **one), *lines_of("up", [0.6], low=-0.15, high=0.15, **one)]
    far = [*near[:1], *lines_of("up", [0.8], low=-0.15, high=0.15, **one)]
    assert [line["gap_closed"] for line in flat(near).values()] == [None, None]
    assert [line["gap_closed"] for line in flat(far).values()] == [0, 1]
    assert all(line["std"] is None and line["low"] is None and line["verdict"] == "" for line in flat(far).values())


def test_collapsed_runs_are_counted_and_not_averaged():
    lines = [*lines_of("low", [0.5, 0.52], status="collapsed"), *lines_of("up", [], status="collapsed")]
    asked = made()
    found = table_entries.entries(asked.table, lines)
    assert flat(lines)["low"]["mean"] == pytest.approx(0.51) and flat(lines)["low"]["collapsed"] == 1
    assert [line["x_y (full)"] for line in table_pages.grid(asked, found)] == [
        "0.510 ± 0.014 (2/3, 1 collapsed)",
        "collapsed",
    ]
    assert "x_y (full), low: collapsed (seed 2): why" in table_pages.footnotes(asked, found)


def test_rows_of_another_metric_say_so_and_are_not_compared():
    per_class = lines_of("a_b|c", [0.4, 0.4, 0.4], metric="target_mean_class_accuracy")
    asked = made()
    found = table_entries.entries(asked.table, [*LINES[:3], *per_class])
    names = [line[" "] for line in table_pages.grid(asked, found)]
    assert names == ["low", "a_b|c [target accuracy, mean per class]"]
    assert [line["metric"] for line in table_pages.details(asked.table, found)] == [
        "target accuracy", "target accuracy, mean per class",
    ]  # fmt: skip
    assert table_entries.flat(asked.table, found)[1]["difference"] is None


def test_a_table_is_of_the_one_metric_that_is_asked_for(tiny, monkeypatch, capsys):
    """All of it, in a folder of its own, without what papers say of another one; and so from its record."""
    path, env, *_ = tiny
    monkeypatch.chdir(path)
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    words = ["tiny", "--config-dir", "conf", "rows=source_only,target_only", "columns=mnist_usps", "seeds=1"]
    asked = [*words, "metric=target_macro_f1"]
    assert cli.table([*asked, "device.threads=1", "--render", "--docs", "f1"]) == 0
    said = capsys.readouterr().out
    (folder,) = [line for line in said.splitlines() if line.startswith("outputs/tables/tiny-")]
    with (path / folder / "runs.csv").open() as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        results = json.loads((path / "outputs" / "sweep" / line["run"] / "results.json").read_text())
        assert line["metric"] == "target_macro_f1" and float(line["value"]) == results["target_macro_f1"]
        assert [float(line["low"]), float(line["high"])] == results["target_macro_f1_interval"]
    assert len(lines) == 2 and "paper" not in said and "their influence" in said and "Wilson" not in said
    assert said.startswith("A tiny table, target macro F1\n")
    page = (path / "f1" / "tiny.md").read_text()
    assert "metric=target_macro_f1\n" in page
    assert cli.table([*asked, "--from", "f1/tiny.csv", "--docs", "again"]) == 0
    assert (path / "again" / "tiny.md").read_text() == page
    with pytest.raises(UserError, match="f1/tiny.csv: is of metric=target_macro_f1; add metric=target_macro_f1"):
        cli.table([*words, "--from", "f1/tiny.csv"])
    assert cli.table([*words, "device.threads=1", "--render", "--docs", "own"]) == 0
    with pytest.raises(UserError, match="own/tiny.csv: is of the metric of its file; leave out metric="):
        cli.table([*asked, "--from", "own/tiny.csv"])


@pytest.mark.parametrize("name", TABLES)
def test_no_title_speaks_of_another_metric_than_the_table_is_of(name):
    table = tables.load(name, None)
    words = [name, "rows=" + ",".join(row for row, asked in table.rows.items() if not asked.metric)]
    title = tables.request([*words, "metric=target_auroc"]).table.title
    assert title.endswith(", target AUROC") and "accuracy" not in title and title.split(",")[0] in table.title


def test_two_metrics_are_not_compared_even_where_neither_is_an_accuracy():
    for metric in ("target_macro_f1", "target_auroc", "nmi"):
        found = flat([*LINES[:3], *lines_of("a_b|c", [0.8, 0.8, 0.8], metric=metric), *LINES[6:]])
        assert found["a_b|c"]["difference"] is None and found["a_b|c"]["verdict"] == ""
        lines = [line for row in ("low", "a_b|c") for line in lines_of(row, [0.8, 0.8, 0.8], metric=metric)]
        assert flat(lines, published={})["a_b|c"]["difference"] == 0


def test_of_a_calibration_error_less_is_better_and_there_is_no_gap():
    levels = {"low": 0.3, "a_b|c": 0.2, "up": 0.4}
    lines = [line for row, level in levels.items()
             for line in lines_of(row, [level, level + 0.01, level - 0.01], metric="target_ece")]  # fmt: skip
    found = flat(lines, published={})
    assert (found["a_b|c"]["verdict"], found["up"]["verdict"]) == ("helps", "harms")
    assert [line["gap_closed"] for line in found.values()] == 3 * [None]
    notes = table_pages.footnotes(made(), table_entries.entries(made().table, lines))
    assert not any("no gap" in note for note in notes) and any("bins' noise" in note for note in notes)
    beside = table_entries.entries(made().table, [*LINES[:3], *lines[3:6]])
    assert table_pages.row_names(beside) == {"low": "low", "a_b|c": "a_b|c [target ECE]"}


def test_an_oracle_is_told_to_help_by_no_table():
    """What target test labels have chosen is a bound, beside which no row stands as a baseline."""
    oracle = lines_of("a_b|c", [0.80, 0.82, 0.84], metric="oracle_target_accuracy")
    found = flat([*LINES[:3], *oracle])["a_b|c"]
    assert found["mean"] == pytest.approx(0.82) and found["difference"] is None and found["verdict"] == ""


def test_machine_and_precision_are_named_for_each_figure_where_they_differ():
    same = [dataclasses.replace(line, machine="EPYC", precision="bf16") for line in LINES]
    asked = made()
    notes = table_pages.footnotes(asked, table_entries.entries(asked.table, same))
    assert "machine: EPYC" in notes and "precision: bf16" in notes
    same[0] = dataclasses.replace(same[0], precision="float32")
    notes = table_pages.footnotes(asked, table_entries.entries(asked.table, same))
    assert "precision float32: x_y (full), low" in notes and "precision bf16: x_y (full)" in notes


def test_more_columns_than_rows_go_down_the_page():
    asked = made()
    other = [dataclasses.replace(line, column="z") for line in LINES]
    grids = [table_pages.grid(asked, table_entries.entries(asked.table, lines)) for lines in (LINES, LINES + other)]
    assert [[line[" "] for line in lines] for lines in grids] == 2 * [["low", "a_b|c", "up"]]
    wide = dataclasses.replace(asked, rows=["low"])
    both = [*lines_of("low", [0.5, 0.51, 0.52]), *lines_of("low", [0.5], column="z", asked=1)]
    assert table_pages.grid(wide, table_entries.entries(asked.table, both)) == [
        {" ": "x_y (full)", "low": "0.510 ± 0.010 (3)"}, {" ": "z (full)", "low": "0.500 (1)"}
    ]  # fmt: skip


def test_without_both_ends_there_is_no_gap():
    assert [line["gap_closed"] for line in flat(LINES[:6]).values()] == [None, None]
    assert table_entries.gap_closed(0.6, 0.5, 0.5) is None


def test_every_form_is_well_formed(tmp_path):
    rendering.write(made(), tmp_path, LINES, tmp_path)
    text = (tmp_path / "table.txt").read_text()
    assert "0.820 ± 0.020 (3)" in text and "80.0 %" in text and "+0.1200" in text and "0.970" in text
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["mean"]) for line in lines] == pytest.approx([0.5, 0.82, 0.9])
    blocks = [b.splitlines() for b in (tmp_path / "table.md").read_text().split("\n\n") if b.startswith("|")]
    for block in blocks:
        assert len(block) == 5 and len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
        assert re.fullmatch(r"(\| --- )+\|", block[1])
    latex = (tmp_path / "table.tex").read_text()
    tabulars = re.findall(r"\\begin\{tabular\}\{(l+)\}\n(.*?)\\end\{tabular\}", latex, re.S)
    assert len(tabulars) == latex.count(r"\begin{tabular}") == 2
    for columns, body in tabulars:
        rules = (r"\toprule", r"\midrule", r"\bottomrule")
        assert [line for line in body.splitlines() if line in rules] == list(rules)
        cells = [line for line in body.splitlines() if line not in rules]
        assert len(cells) == 4 and all(line.endswith(r" \\") for line in cells)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in cells} == {len(columns) - 1}
    bare = re.sub(r"\\[%&_$#{}\\]|\$\\pm\$|\\[a-z]+(\{\w*\})*", "", latex.split("\n", 1)[1])
    bare = re.sub(r"\{!\}\{%|\\label\{.*?\}", "", bare)
    assert not re.search(r"[%_$#^~±]", bare), bare
    assert latex.count(r"\caption{") == latex.count(r"\label{tab:made") == latex.count(r"\begin{table}") == 2
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    bold = re.findall(r"\\textbf\{(.*?)\}", latex)
    # The best, and what is not beyond the noise below it: of two seeds that is little.
    assert bold == [r"0.820 $\pm$ 0.020 (3)", r"0.900 $\pm$ 0.028 (2/3)"]
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


def test_the_lines_alone_render_the_same_page(tmp_path):
    rendering.write(made(), tmp_path, LINES, tmp_path)
    assert table_lines.read_lines(tmp_path / "runs.csv") == LINES
    assert (
        table_pages.page(made(), table_lines.read_lines(tmp_path / "runs.csv")) == (tmp_path / "table.md").read_text()
    )


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", None])
def test_a_file_that_is_no_record_of_a_table_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "runs.csv").write_text(content)
    with pytest.raises(UserError, match=r"runs\.csv: (not a table's runs\.csv|no runs in it)"):
        table_lines.read_lines(tmp_path / "runs.csv")


def test_feature_spaces_are_those_of_the_runs_that_have_drawn_one(tmp_path):
    asked = made(feature_space=["low", "up"])
    panel = figures.Panel("any", np.eye(6, 2), np.arange(6) % 2 > 0, np.array([0, 1, 2, 0, 3, -1]), tuple("abcd"))
    lines = [dataclasses.replace(line, edition="full/subset-9") for line in LINES]
    figures.write_panel(panel, tmp_path / "low" / "figures" / "features.csv")
    rendering.write(asked, tmp_path / "half", lines, tmp_path)
    figures.write_panel(panel, tmp_path / "up" / "figures" / "features.csv")
    rendering.write(asked, tmp_path / "whole", lines, tmp_path)
    assert not list((tmp_path / "half").glob("features*"))
    drawn = sorted(path.name for path in (tmp_path / "whole").glob("features*"))
    assert drawn == [f"features_x_y_full_subset-9.{kind}" for kind in ("pdf", "png", "svg")]


def test_a_seed_counts_once_however_it_is_written(no_data):
    assert tables.request(["digits", "seeds=0,00,2"]).seeds == [0, 2]


def test_whose_the_gaps_of_published_figures_are_is_said_where_there_are_any():
    assert table_pages.footnotes(made(), []) == [
        "paper: A & B", "gaps beside published figures are computed from these, as ours are",
    ]  # fmt: skip
    assert table_pages.footnotes(made(gap=[]), []) == ["paper: A & B"]


def test_a_backslash_and_its_friends_for_latex():
    assert layouts.escaped("a_b & 5 % \\ ~") == r"a\_b \& 5 \% \textbackslash{} \textasciitilde{}"


def test_editions_are_never_mixed_in_a_column(tmp_path, no_data):
    asked = made(rows={"low": {"overrides": ["method=source_only"]}, "up": {"overrides": ["method=target_only"]}},
                 columns={"x_y": {"overrides": ["source=mnist", "target=usps"]}}, published={})  # fmt: skip
    wanted = tables.cells(asked, fetch=False)
    assert len(wanted) == 6 and [cell.config.seed for cell in wanted] == [0, 0, 1, 1, 2, 2]

    def record(edition, accuracy):
        editions = {"source": edition, "target": edition}
        digests = wanted[0].digests if edition == "sample" else editions  # the sample is available
        status = {"status": "finished", "updated": "2026", "editions": editions, "digests": digests}
        results = {"target_accuracy": accuracy, "seconds": 1.0}
        return Record(tmp_path, wanted[0].config, True, status, results, {}, {})

    known = {cell.config.fingerprint({}): [record("full", 0.9)] for cell in wanted}
    known[wanted[0].config.fingerprint({})] = [record("full", 0.9), record("sample", 0.1)]
    found = table_entries.entries(asked.table, table_lines.lines(asked, wanted, known))
    assert [(e.heading, e.row, list(e.values.values())) for e in found] == [
        ("x_y (full)", "low", [0.9, 0.9, 0.9]), ("x_y (full)", "up", [0.9, 0.9, 0.9]),
        ("x_y (sample)", "low", [0.1]), ("x_y (sample)", "up", []),
    ]  # fmt: skip
    grid = table_pages.grid(asked, found)
    assert grid[0]["x_y (sample)"] == "0.1000 (1/3)" and grid[1]["x_y (sample)"] == "missing"


@pytest.mark.parametrize("metric", ["target_acuracy", "source_model"])
def test_a_metric_that_is_no_number_of_theirs_is_said_in_its_row_alone(tmp_path, no_data, metric):
    asked = made(rows={"low": {"overrides": ["method=source_only"], "metric": metric},
                       "up": {"overrides": ["method=source_only"]}},
                 columns={"x_y": {"overrides": ["source=mnist", "target=usps"]}}, published={}, gap=[])  # fmt: skip
    wanted = tables.cells(asked, fetch=False)
    results = {"target_accuracy": 0.5, "seconds": 1.0, "source_model": "taken"}
    editions = {"source": "full", "target": "full"}
    status = {"status": "finished", "updated": "2026", "editions": editions, "digests": editions}
    done = Record(tmp_path, wanted[0].config, True, status, results, {}, {})
    known = {cell.config.fingerprint({}): [done] for cell in wanted}
    low, up = table_entries.entries(asked.table, table_lines.lines(asked, wanted, known))
    assert low.values == {} and list(up.values.values()) == [0.5] * 3 and up.notes == []
    assert low.notes == [f"no {metric} (seeds 0, 1, 2): results.json has target_accuracy, seconds"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"gap": ["low"]}, "gap=.*two rows are needed"),
        ({"gap": ["low", "upp"]}, "gap=upp: allowed are low, a_b|c, up; did you mean up"),
        ({"feature_space": ["lo"]}, "feature_space=lo: .*did you mean low"),
        ({"columns": {"x": {"overrides": [], "cells": {"lo": []}}}}, "columns.x.cells=lo: .*did you mean low"),
        ({"rows": {"low": {"override": []}}}, "table.rows.low.override: no such key; .*did you mean overrides"),
        ({"columns": ["x"]}, "table.columns=.*: a mapping is needed"),
        ({"seeds": []}, "seeds: at least one is needed"),
        ({"seeds": [1, 1]}, "seeds=.*: one is named twice"),
        ({"overrides": ["hydra/launcher=joblib"]}, "hydra/launcher=joblib: is for the command line"),
        ({"columns": {"x_y": {"overrides": ["+hydra.sweep.dir=x"]}}}, "hydra.sweep.dir=x: is for the command line"),
        ({"rows": {"low": {"overrides": ["seed=3"]}}, "gap": [], "published": {}}, "seed=3: is for the command line"),
    ],
)
def test_a_table_that_is_not_right_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        made(**change)


@pytest.mark.parametrize("content", ["title: [", "3", ""])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "mine.yaml").write_text(content)
    with pytest.raises(UserError, match=r"mine\.yaml: (not readable as YAML|a mapping is needed)|a value is needed"):
        tables.load("mine", str(tmp_path))


@pytest.mark.parametrize("name", TABLES)
def test_every_shipped_table_composes_and_has_its_script(name, no_data):
    table = tables.load(name, None)
    here = [c for c in table.columns if _names(table, c) <= set(data.names())]
    for part, count in ((f"rows={next(iter(table.rows))}", len(here)), (f"columns={here[0]}", len(table.rows))):
        asked = tables.request([name, f"columns={','.join(here)}", "seeds=1", part])
        assert len(tables.cells(asked, fetch=False)) == count > 0
    script = Path(__file__).parents[1] / "scripts" / f"table_{name}"
    assert script.stat().st_mode & 0o111 and f"transferlab table {name} " in script.read_text()


def _names(table, column):
    """The data sets that a column's cells name."""
    words = [word for row in table.rows for word in table.overrides_of(row, column)]
    return {value for key, _, value in (word.partition("=") for word in words) if key in ("source", "target")}


@pytest.mark.parametrize(
    "column, words",
    [
        ("svhn_mnist", ["data.validation=50"]),
        ("synnumbers_svhn", ["source.count=200", "data.validation=20"]),
    ],
)
def test_the_lecture_tables_svhn_columns_run_on_a_small_file_in_the_real_format(tmp_path, column, words):
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 30)):
        digits = (1 + np.arange(count) % 10).astype(np.uint8)[:, None]
        pixels = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels, "y": digits})
    done = command(
        "table", "dann", f"columns={column}", "rows=source_only,dann", "seeds=1", "train.steps=2", "figures=false",
        "train.batch_size=8", "train.evaluations=1", "model.width=0.05", "device.threads=1", f"data.root={tmp_path}",
        "data.download=false", *words, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "subset-90" in done.stdout and "svhn: 60 + 30 of 3x32x32, 10 classes" in done.stdout
    schedules = [json.loads(path.read_text())["train"]["schedule"] for path in tmp_path.rglob("config.json")]
    assert schedules == 2 * ["constant" if column == "svhn_mnist" else "anneal"]


def test_the_lecture_table_has_the_published_figures():
    table = tables.load("dann", None)
    gaps = [
        table_entries.gap_closed(
            *(table.published[p].figures[row][c] for row in ("dann", "source_only", "target_only"))
        )
        for p, c in (("icml2015", "mnist_mnistm"), ("icml2015", "synsigns_gtsrb"), ("jmlr2016", "svhn_mnist"))
    ]
    assert [round(100 * gap, 1) for gap in gaps] == [57.9, 56.7, 42.6]  # as the papers print them
    assert statistics.mean(table.seeds) == 2 and table.gap == ["source_only", "target_only"]
