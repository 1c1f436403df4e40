"""The real command, in processes of its own."""

import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.conftest import Started, command, program
from transferlab import cli, hydra_adapter, jobs, manual, plan, storage
from transferlab.data import config_class
from transferlab.errors import UserError
from transferlab.map import PACKAGE, method_files, method_schema
from transferlab.models import predictor as predictors
from transferlab.reports import tables
from transferlab.runs import DONE, RunFolder

TINY = ("data.edition=sample", "train.steps=6", "train.batch_size=8", "train.evaluations=1", "device.threads=1",
        "train.checkpoint_every=2", "train.log_every=2", "data.validation=50", "model.width=0.25")  # fmt: skip

BAD = {
    "sede=1": "sede: no such key; allowed are .*; did you mean seed",
    "method=dan": "method=dan: no such choice; allowed are .*; did you mean dann",
    "method.gama=3": "method.gama: no such key; .*did you mean method.gamma",
    "train.steps=abc": "train.steps=abc: a whole number is needed",
    "train.steps=0": "train.steps=0: must be at least 1",
    "train.optimiser=sdg": "train.optimiser=sdg: allowed are sgd, adam, adamw; did you mean sgd",
    "device.name=gpu": "device.name=gpu: allowed are auto, cpu, cuda",
    "device.name=cuda:77": "device.name=cuda:77: there is none on this machine",
    "data.root=/nowhere": "data.root=/nowhere: no such folder",
    "data.edition=ful": "data.edition=ful: allowed are auto, full, sample; did you mean full",
    "target=emnist_letters": r"method=dann: needs the same classes in both domains; .*10 \(0, 1, …, 9\).*26 \(A, B",
    "source=folder": "folder: say which folder",
    "source=svhn": "data.edition=sample: the package has no sample of svhn",
    "method=dann,source_only": "several values need -m",
    "target=null": "target=null: .* must be a string or a list",
    "seed=${oops}": "Interpolation key 'oops' not found",
    "seed='1": "seed='1: not of the form key=value",
    "new": "new: not of the form key=value",
    "+new=1": "new: no such key; allowed are method, source",
    "hydra.nope=1": "hydra.nope: Hydra has no such key",
    "hydra.run.dir=/dev/null/x": "/dev/null/x: cannot be made a folder .*; choose another",
    "train.lr=inf": "train.lr=inf: a finite number is needed",
    "device.name=cuda:x": "device.name=cuda:x: allowed are auto, cpu, cuda",
    "--bad": "unrecognized arguments: --bad; see transferlab --help",
    "--config-dir=/nowhere": "--config-dir /nowhere: no such folder",
    "--config-name=other": "--config-name: there is one config",
    "resume=": "resume=: say which run's folder",
    "~method": "method.name: a value is needed",
    "=3": "=3: not of the form key=value",
    "runn": "runn: no such verb; allowed are run, .*; did you mean run",
    "resume=nowhere": "resume=nowhere: no run's folder",
    "resume=nowhere --cfg job": "a run goes on with its own config; leave out the other words",
    "doctor data.rot=x": "doctor data.rot=x: no such key; allowed are data.root, data.edition; did you mean data.root",
    "doctor data.root=/nowhere": "data.root=/nowhere: no such folder",
    "table few_shot seeds=99999999999999": "seeds=99999999999999: that many seeds; allowed are at most 1000",
    "table few_shot --docs /dev/null/x": "/dev/null/x: cannot be made a folder",
    "-sc install=csh": "--shell-completion: No completion plugin for 'csh'",
    "table few_sho": "table=few_sho: no such table; .*did you mean few_shot",
    "table few_shot hydra.run.dir=x": "hydra.run.dir=x: is for a single run",
    "resume=nowhere --config-dir .": "resume=nowhere: no run's folder",
    "table=dann": "table: is a word of its own: transferlab table <name>",
    "hydra.mode=MULTIRUN": "hydra.mode: use -m to run a sweep",
    "hydra.run.dir=${nope}": "hydra.run.dir: Interpolation key 'nope' not found",
    "--experimental-rerun x": "--experimental-rerun: write transferlab resume=<folder>",
    "-m --cfg job": "--cfg: shows a single run; leave out -m",
    "-m seed=0,1 hydra.sweep.subdir=x": "outputs/sweep/x: several runs of the sweep would go there",
    "-m seed=0,1 hydra.sweep.subdir=${hydra.job.num}": "hydra.sweep.subdir: .*hydra.job.num",
}


@pytest.mark.parametrize("word", BAD)
def test_bad_input_is_one_line_status_two_and_no_folder(tmp_path, no_data, word):
    alone = word.startswith(("runn", "resume=", "doctor", "table "))
    words = [*([] if alone else ["data.edition=sample"]), *word.split()]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr
    assert re.search(BAD[word], lines[0]), lines[0]
    assert list(tmp_path.glob("*")) in ([], [tmp_path / "cache"])


def planned(*words):
    return plan.jobs(plan.arguments(["data.edition=sample", *words]))


FEW = ("source=usps", "target=mnist", "target.per_class=5")


@pytest.mark.parametrize("words", [
    ["-m", "method=finetune,conservative", "method.steps=20"],
    ["method.steps=20", "-m", "method=conservative,finetune"],
    ["-m", "method=glob(con*,exclude=conse)", "method.steps=range(20,22)"],
])  # fmt: skip
def test_a_key_of_the_chosen_method_stands_anywhere_in_a_sweep(no_data, words):
    jobs = planned(*words, *FEW)
    assert {job.config.method.steps for job in jobs} <= {20, 21} and len(jobs) == 2
    assert len({job.folder for job in jobs}) == 2


CHOSEN = {
    "method=self_taught method.steps=20": "method.steps: .* those of method=self_taught: .*did you mean train.steps",
    "method.frezee=2 method=finetune": "method.frezee: .* those of method=finetune: .*; did you mean method.freeze",
    "source=office31 source.domein=x": "source.domein: .* those of source=office31: .*; did you mean source.domain",
    "source=folder target=folder source.rooot=x": "source.rooot: .* did you mean source.root",
    "-m method=finetune,self_taught method.steps=20": "method.steps: .* those of method=self_taught",
    "experiment=dann_modern method.gama=1": "method.gama: .* those of method=dann: .*; did you mean method.gamma",
    "method=source_only source=folder source.root=x +seed=3": r"\+seed=3: this key is there already; write seed=3",
    "steps=3": "steps: no such key; .*did you mean train.steps",
}


@pytest.mark.parametrize("words", CHOSEN)
def test_a_wrong_key_is_answered_with_those_of_the_chosen_group(no_data, words):
    with pytest.raises(UserError, match=CHOSEN[words]):
        planned(*words.split())


def test_a_key_that_the_chosen_file_lacks_is_taken_from_the_schema(tmp_path, no_data):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "bare.yaml").write_text("lr: 0.02\n")
    mine = ["--config-dir", str(tmp_path)]
    (job,) = planned("train=bare", "train.momentum=0.5", *mine)
    assert (job.config.train.lr, job.config.train.momentum) == (0.02, 0.5)
    assert [j.config.train.lr for j in planned("-m", "train=glob(b*)", "train.lr=0.1,0.2", *mine)] == [0.1, 0.2]


@pytest.mark.parametrize("name", ["run=3", "it's a (copy), 50 % [x] #1"])
def test_a_config_dir_may_have_any_name(tmp_path, no_data, name):
    (tmp_path / name / "train").mkdir(parents=True)
    (tmp_path / name / "train" / "mine.yaml").write_text("defaults: [quick]\nlr: 0.02\n")
    (job,) = planned("train=mine", "--config-dir", str(tmp_path / name))
    assert job.config.train.lr == 0.02


SETTINGS = {
    "hydra.job.chdir=true": "hydra.job.chdir=true: paths are read from the folder that transferlab is started in",
    "hydra/job_logging=default": "hydra/job_logging: a run keeps its own run.log",
    "hydra.job_logging.root={level:INFO}": "hydra/job_logging: a run keeps its own run.log",
    "hydra.output_subdir=x": "hydra.output_subdir: allowed are .hydra and null",
    "hydra.searchpath=[file:///nowhere]": "hydra.searchpath=.*/nowhere is not available",
    "hydra/launcher=joblib": "hydra/launcher=joblib: is for sweeps; add -m",
    "hydra.sweep.dir=x": "hydra.sweep.dir=x: is for sweeps; add -m",
    "-m hydra.run.dir=x": "hydra.run.dir=x: is for a single run",
    "-m hydra/launcher=basic,joblib": "Hydra's own settings take one value in a sweep",
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=x": "hydra.launcher.n_jobs=x: Value 'x' of type 'str' could not",
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=0": "hydra.launcher.n_jobs=0: allowed are a number of processes",
    "-m hydra/sweeper=optuna": "hydra/sweeper=optuna: ",
    "-m train.lr=interval(0.001,0.1)": r"train.lr=interval\(0.001,0.1\): a sweep is of listed values",
    "-m seed=1,2 hydra.sweep.dir=o/${seed}": "hydra.sweep.dir: differs between the runs",
    "-m seed=1,2 hydra.sweep.subdir=${hydra.job.id}": "hydra.sweep.subdir: hydra.job.id is known only when",
}


@pytest.mark.parametrize("words", SETTINGS)
def test_a_setting_of_hydras_that_no_run_could_obey_is_refused(no_data, words):
    with pytest.raises(UserError, match=SETTINGS[words]) as error:
        planned(*words.split())
    assert "\n" not in str(error.value)


CANNOT_WORK = {
    "method=deep_coral train.batch_size=1": "train.batch_size=1: method=deep_coral needs at least 2 samples of each",
    "method=source_only model.batch_norm=true train.batch_size=1": "train.batch_size=1: model.batch_norm=true needs",
    "method=finetune target=mnist target.classes=[3]": "target=mnist: has one class alone",
    "method=finetune target=mnist source.classes=[3]": "method=finetune: needs at least 2 classes to learn from",
    **{f"method={name} target=emnist_letters source.classes=[{seen}]":
       f"method={name}: needs at least 4 classes to learn from, the source has {seen.count(',') + 1} "
       for name in ("zero_shot", "eszsl", "ale", "devise", "conse", "semantic_output_codes")
       for seen in ("0,1", "0,1,2")},
}  # fmt: skip


@pytest.mark.parametrize("words", CANNOT_WORK)
def test_what_cannot_work_with_the_data_is_refused_before_the_run(no_data, words):
    with pytest.raises(UserError, match=CANNOT_WORK[words]):
        planned(*words.split())


@pytest.mark.parametrize("name", [name for name in method_files() if method_schema(name).sees.seen == 4])
def test_four_seen_classes_are_enough(tmp_path, no_data, name):
    config = plan.config_of([f"method={name}", "source=mnist", "source.classes=[0,1,2,3]", "target=mnist",
                             "target.classes=[5,6]", "data.edition=sample", "train.steps=3", "train.batch_size=8",
                             "figures=false", "store=null", "device=cpu", "device.threads=1"])  # fmt: skip
    folder = RunFolder(tmp_path / "run")
    jobs.execute(config, folder, parallel=True)
    assert folder.status["status"] in DONE, folder.status


def test_settings_that_hydra_itself_rejects_are_one_line_and_no_folder(tmp_path, no_data):
    for word in ("hydra.verbose=3", "+hydra.callbacks.x._target_=nope.Nope"):
        done = command("data.edition=sample", word, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith(f"transferlab: {word}: "), done.stderr
        assert done.stderr.count("\n") == 1 and not (tmp_path / "outputs").exists()


def test_a_sweeps_values_may_stand_in_an_experiment(tmp_path, no_data):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra: {sweeper: {params: {seed: '0,1', train.lr: 'choice(0.1,0.2)'}}}\n"
    (tmp_path / "experiment" / "grid.yaml").write_text(text)
    grid = ["-m", "experiment=grid", "--config-dir", str(tmp_path)]
    assert [(j.config.seed, j.config.train.lr) for j in planned(*grid)] == [(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.2)]
    assert [j.config.seed for j in planned(*grid, "seed=5")] == [5, 5]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_can_be_an_overrides_value(text):
    with hydra_adapter.session():
        override = hydra_adapter.parse(f"store={hydra_adapter.quoted(text)}")
    assert OmegaConf.create({"store": override.value()}).store == text


def test_one_module_alone_touches_hydras_inside():
    touching = {p.name for p in PACKAGE.rglob("*.py") if "hydra._internal" in p.read_text(encoding="utf-8")}
    assert touching == {"hydra_adapter.py"}


def test_a_glob_sweeps_over_a_groups_choices(no_data):
    asked = plan.jobs(plan.arguments(["-m", "data.edition=sample", "method=glob(s*,exclude=se*)"]))
    assert [job.config.names["method"] for job in asked] == ["source_only", "subspace_alignment"]


def test_a_bad_job_in_a_sweep_stops_it_before_it_starts(tmp_path, no_data):
    done = command("-m", "data.edition=sample", "seed=0,x", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "seed=x" in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--cfg", "job", "data.edition=sample"), ("sede=1",)])
def test_torch_is_not_imported_for_help_and_config_errors(tmp_path, no_data, words):
    code = (
        f"import sys; sys.argv = ['transferlab', *{list(words)!r}]\nfrom transferlab import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["train=mine", "--config-dir", "my"], ["-m", "--config-dir", "my", "train=mine"]])
def test_a_users_own_choice_runs(tmp_path, no_data, words):
    (tmp_path / "my" / "train").mkdir(parents=True)
    (tmp_path / "my" / "train" / "mine.yaml").write_text("defaults: [quick]\nsteps: 1\nbatch_size: 4\nevaluations: 1\n")
    done = command(
        "data.edition=sample", "data.validation=50", "method=source_only", "figures=false", *words, cwd=tmp_path
    )
    assert done.returncode == 0 and "features.png" not in done.stdout, done.stderr
    (results,) = tmp_path.glob("outputs/**/results.json")
    assert json.loads(results.read_text())["steps"] == 1


def test_a_users_own_broken_choice_is_one_line(tmp_path, no_data):
    (tmp_path / "my" / "train").mkdir(parents=True)
    for content, message in (
        (b"steps: [", "while parsing a flow node"), (b"\xff\xfe", "train=mine: .*decode"),
        (b"steps: x", "train.steps=x: a whole number is needed"), (b"3", "train=mine: Invalid loaded object type"),
        (b"step: 1", "train.step: no such key"),
    ):  # fmt: skip
        (tmp_path / "my" / "train" / "mine.yaml").write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            plan.jobs(plan.arguments(["--config-dir", str(tmp_path / "my"), "train=mine"]))
        assert "\n" not in str(error.value)


COMPLETIONS = {
    "transferlab method=da": ("method=dann", "run"), "transferlab ": ("compare", "--render"),
    "transferlab ta": ("table", "run"), "transferlab table fe": ("few_shot", "table"),
    "transferlab table dann --re": ("--render", "--dry-run"), "transferlab table dann train=": ("train=quick", "run"),
    "transferlab doctor data.r": ("data.root=", "data.edition="), "transferlab run source=office31 source.do": (
        "source.domain=", "run"),
}  # fmt: skip


@pytest.mark.parametrize("line", COMPLETIONS)
def test_the_tab_key_knows_verbs_tables_groups_and_keys(capsys, monkeypatch, line):
    monkeypatch.setenv("COMP_LINE", line)
    manual.complete(plan.arguments(["-sc", "query=bash"]), list(cli.VERBS))
    offered = capsys.readouterr().out.split()
    some, other = COMPLETIONS[line]
    assert any(word.startswith(some) for word in offered) and other not in offered


def test_help_names_every_verb_and_says_what_each_key_of_the_choices_means(tmp_path, no_data):
    bare = command(cwd=tmp_path)
    assert bare.returncode == 0 and bare.stdout == command("--help", cwd=tmp_path).stdout and bare.stderr == ""
    assert not (tmp_path / "outputs").exists()
    for verb in cli.VERBS:
        assert re.search(rf"^  {verb} +\w", bare.stdout, re.M)
    chosen = command("--help", "method=finetune", "source=office31", cwd=tmp_path).stdout
    for cls in (method_schema("finetune").config, config_class("office31")):
        for field in dataclasses.fields(cls):
            assert re.search(rf"\.{field.name}=\S+ +\w", chosen), field.name
    assert "method.gamma" not in chosen and "Optimiser steps." in chosen and "  seed=0" in chosen


@pytest.mark.parametrize("verb", ["run", "table", "list", "doctor", "compare", "photographs"])
def test_every_verb_has_its_help(verb, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["transferlab", verb, "--help"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0 and f"transferlab {verb if verb != 'run' else ''}" in capsys.readouterr().out


def test_table_alone_lists_the_tables(tmp_path):
    done = command("table", cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(tables.table_files(None))


def test_doctor_looks_where_it_is_told(tmp_path, animals, no_data):
    assert "awa1           features-5" in command("doctor", f"data.root={animals}", cwd=tmp_path).stdout


def test_the_module_of_the_command_line_runs_as_well(tmp_path):
    done = subprocess.run([sys.executable, "-m", "transferlab.cli", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("transferlab ")


def test_a_config_is_shown_without_its_data(tmp_path, no_data):
    done = command("--cfg", "job", "source=svhn", "data.download=false", cwd=tmp_path)
    assert done.returncode == 0 and "name: svhn" in done.stdout, done.stderr


def run_folder(path):
    (folder,) = {p.parent for p in path.glob("outputs/*/*/status.json")}
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny DANN run by the real command, on a machine without data."""
    path = tmp_path_factory.mktemp("run")
    done = command(*TINY, cwd=path, XDG_CACHE_HOME=str(path / "cache"), TRANSFERLAB_DATA="")
    assert done.returncode == 0, done.stderr
    return run_folder(path), done


def test_the_run_folder(finished):
    folder, done = finished
    assert str(folder) in done.stdout or str(folder.relative_to(folder.parents[2])) in done.stdout
    results = json.loads((folder / "results.json").read_text())
    for key in ("method", "source", "target", "seed", "edition", "steps", "seconds", "images_per_second",
                "source_accuracy", "target_accuracy", "status", "critic_accuracy", "proxy_a_distance",
                "oracle_target_accuracy", "chosen_by_bnm_target_accuracy"):  # fmt: skip
        assert key in results
    assert results["edition"] == "sample" and results["steps"] == 6 and results["status"] == "finished"
    assert json.loads((folder / "status.json").read_text())["status"] == "finished"
    assert json.loads((folder / "environment.json").read_text())["threads"] == 1
    for name in ("learning_curves", "confusion", "samples", "features"):
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / ".hydra" / "config.yaml").exists() and (folder / "checkpoints" / "last.safetensors").exists()
    predictor, classes = predictors.load(folder / "checkpoints" / "predictor.safetensors")
    assert classes == tuple("0123456789") and predictor.critic is not None


def test_resume_of_a_finished_run_answers_from_its_record(finished):
    folder, _ = finished
    before = (folder / "results.json").read_bytes()
    done = command(f"resume={folder}", cwd=folder.parent)
    assert done.returncode == 0 and "finished before" in done.stderr
    assert (folder / "results.json").read_bytes() == before


@pytest.mark.parametrize("words", [["method=dann"], ["method=subspace_alignment", "method.dims=[2,10]"]])
def test_kill_nine_and_resume_equals_never_stopping(tmp_path, words):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""}
    words = [*TINY, *words, "figures=false", "train.steps=300", "train.evaluations=2", "train.checkpoint_every=10"]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    begun = Started(*words, cwd=tmp_path / "cut", **env)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cut").glob("outputs/*/*/checkpoints/previous.safetensors")):
        assert begun.process.exitcode is None and time.monotonic() < deadline
        time.sleep(0.02)
    begun.process.kill()
    assert begun.end(60).returncode == -signal.SIGKILL
    cut = run_folder(tmp_path / "cut")
    assert json.loads((cut / "status.json").read_text())["status"] == "running"
    assert not (cut / "results.json").exists()
    done = command(f"resume={cut}", cwd=tmp_path, **env)
    assert done.returncode == 0 and "continuing at step" in (cut / "run.log").read_text(), done.stderr
    assert command(*words, cwd=tmp_path / "whole", **env).returncode == 0
    whole = run_folder(tmp_path / "whole")

    one, two = (storage.read(f / "checkpoints" / "predictor.safetensors")[0] for f in (whole, cut))
    assert one.keys() == two.keys()
    assert all((one[k] == two[k]).all() for k in one)
    timeless = []
    for folder in (whole, cut):
        with (folder / "metrics.csv").open() as file:
            timeless.append([{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)])
    assert timeless[0] == timeless[1] and len(timeless[0]) >= 75
    records = [json.loads((f / "results.json").read_text()) for f in (whole, cut)]
    for record in records:
        del record["seconds"], record["images_per_second"]
    assert records[0] == records[1]


def test_interrupt_stops_after_a_checkpoint(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "transferlab", *TINY, "train.steps=100000", "train.checkpoint_every=10"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/*/*/checkpoints/last.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "continue with: transferlab resume=" in stderr and "Traceback" not in stderr
    assert json.loads((run_folder(tmp_path) / "status.json").read_text())["status"] == "interrupted"


def test_a_failure_inside_a_run_is_one_line_and_a_log(tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""}
    done = command(*TINY, "figures=false", "train.lr=1e30", cwd=tmp_path, **env)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("failed")]
    folder = run_folder(tmp_path)
    assert "Diverged" in line and "run.log" in line
    assert "Traceback" in (folder / "run.log").read_text()
    status = json.loads((folder / "status.json").read_text())
    assert status["status"] == "failed" and "Diverged" in status["reason"]


def test_two_runs_in_the_same_second_have_their_own_folders(tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""}
    both = [Started(*TINY, "figures=false", cwd=tmp_path, **env) for _ in range(2)]
    assert [begun.end(200).returncode for begun in both] == [0, 0]
    assert len(list(tmp_path.glob("outputs/*/*/results.json"))) == 2


def test_a_folder_of_another_config_is_refused(tmp_path, finished):
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    done = command(*TINY, "seed=5", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert done.returncode == 2 and "holds a run of another config" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_survives_a_failing_job_and_repeats_only_what_is_missing(tmp_path, launcher):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""}
    words = ["-m", *TINY, "figures=false", "method=source_only,dann", "seed=0,1", f"hydra/launcher={launcher}"]
    if launcher == "joblib":
        words.append("hydra.launcher.n_jobs=2")
    run = program if launcher == "joblib" else command
    # The failing one: a learning rate that no net survives.
    first = run(*words, "train.lr=0.01,1e30", cwd=tmp_path, timeout=400, **env)
    assert first.returncode == 1, first.stderr
    sweep = tmp_path / "outputs" / "sweep"
    results = sorted(sweep.glob("*/results.json"))
    assert len(results) == 4 and len(list(sweep.glob("*/status.json"))) == 8
    assert "0/2" in first.stdout and "Diverged" in first.stdout
    with (sweep / "summary.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)].count("failed") == 4
    times = [p.stat().st_mtime_ns for p in results]

    second = run(*words, cwd=tmp_path, timeout=400, **env)
    assert second.returncode == 0, second.stderr
    assert [p.stat().st_mtime_ns for p in results] == times
    rows = [line.split()[:2] for line in second.stdout.splitlines() if "±" in line]
    assert rows == [["method=source_only", "2"], ["method=dann", "2"]]
    if launcher == "joblib":
        environment = json.loads((results[0].parent / "environment.json").read_text())
        assert environment["threads"] == 1


def test_a_terminal_that_knows_ascii_alone_shows_every_name(tmp_path, no_data):
    """Class names of other scripts, and of bytes that are no text, in what is printed and in run.log."""
    from PIL import Image

    for name in ("caf\u00e9", "\u732b", os.fsdecode(b"d\xefsc")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (32, 32), (i, 0, len(name))).save(tmp_path / "own" / name / f"{i}.png")
    words = ("method=source_only", "source=folder", "target=folder", "source.root=own", "target.root=own",
             "train.steps=2", "train.batch_size=4", "device=cpu", "figures=false", "store=null")  # fmt: skip
    done = program(*words, cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    (log,) = tmp_path.glob("outputs/*/*/run.log")
    assert "3 classes (caf\u00e9, d\\xefsc, \u732b), 6 + 3 images" in log.read_text(encoding="utf-8")
    assert "caf\\xe9" in done.stderr


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    words = [sys.executable, "-m", "transferlab", "table", "few_shot", "--dry-run"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(60) == 0
