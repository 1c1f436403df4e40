"""Nothing that was kept answers for data, a config or code that has changed."""

import csv
import dataclasses
import hashlib
import typing
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import command
from transferlab import config as module
from transferlab import dispatch, plan, testing
from transferlab.config import DataConfig, DeviceConfig, ModelConfig, TrainConfig, from_plain
from transferlab.data import config_class
from transferlab.data import names as data_sets
from transferlab.files import write_json
from transferlab.jobs import execute
from transferlab.options import places
from transferlab.records import Record
from transferlab.reports import table_entries, table_lines, table_pages, tables
from transferlab.reports.sweeps import finished
from transferlab.runs import RunFolder

DIGESTS = {"source": "a1", "target": "b2"}
LEFT_OUT = {
    "data.root", "data.edition", "data.download", "data.resident", "device.threads", "train.log_every",
    "train.checkpoint_every", "store", "figures",
}  # fmt: skip
OTHER = {
    "model.name": "lenet",
    "model.weights": "imagenet",
    "model.frozen": False,
    "model.hidden": [7],
    "model.critic": [7],
    "device.name": "cuda",
    "data.root": "/",
    "store": "x",
    "figures": False,
}
SECTIONS = {"model": ModelConfig, "train": TrainConfig, "device": DeviceConfig, "data": DataConfig}


def another(cls, field):
    """A value of the field that is allowed and not its default."""
    hint, default = typing.get_type_hints(cls)[field.name], field.default
    if typing.get_origin(hint) is typing.Literal:
        return next(value for value in typing.get_args(hint) if value != default)
    return not default if hint is bool else 0.5 if hint is float else default + 4


def base(**more):
    return from_plain(
        {"method": {"name": "source_only"}, "source": {"name": "mnist"}, "target": {"name": "usps"}, **more}
    )


KEYS = [(f"{section}.{f.name}", section, cls, f) for section, cls in SECTIONS.items() for f in dataclasses.fields(cls)
        if f.name != "architecture"]  # fmt: skip
"""An architecture is a part of the name, and cannot be another one without it."""


@pytest.mark.parametrize(("key", "section", "cls", "field"), KEYS, ids=[key for key, *_ in KEYS])
def test_each_field_that_changes_the_result_changes_the_name_and_no_other_does(key, section, cls, field):
    value = OTHER[key] if key in OTHER else another(cls, field)
    same = base(**{section: {field.name: value}}).fingerprint(DIGESTS) == base().fingerprint(DIGESTS)
    assert same == (key in LEFT_OUT)


def test_each_part_outside_the_sections_is_of_the_name_unless_it_changes_no_result(monkeypatch):
    whole = base().fingerprint(DIGESTS)
    tops = {f.name for f in dataclasses.fields(module.Config)} - {*SECTIONS, "names", "own_code"}
    others = {"seed": 1, "select": "entropy", "store": "x", "figures": False, "method": {"name": "target_only"},
              "source": {"name": "usps"}, "target": {"name": "usps", "transform": "noise"}}  # fmt: skip
    assert tops == others.keys()
    for key, value in others.items():
        assert (base(**{key: value}).fingerprint(DIGESTS) == whole) == (key in LEFT_OUT), key
    assert base().fingerprint({**DIGESTS, "target": "c3"}) != whole
    monkeypatch.setattr(module, "RESULTS_VERSION", module.RESULTS_VERSION + 1)
    assert base().fingerprint(DIGESTS) != whole


def test_where_own_data_lies_is_no_part_of_the_name():
    assert {name: places(config_class(name)()) for name in data_sets() if places(config_class(name)())} == {
        "features": ["path"], "folder": ["root"], "image_list": ["file", "test_file", "root", "names"],
    }  # fmt: skip
    one, two = (base(target={"name": "features", "path": path}).fingerprint(DIGESTS) for path in ("a.npz", "b.npz"))
    assert one == two


TINY = (
    "method=source_only", "model=mlp", "source=features", "target=features", "source.path=own.npz",
    "target.path=own.npz", "train.steps=20", "train.batch_size=8", "train.evaluations=2", "device=cpu",
    "device.threads=1", "figures=false", "store=null", "data.download=false",
)  # fmt: skip
TABLE = """
title: Own data
rows: {low: {overrides: []}}
columns: {own: {overrides: [method=source_only, model=mlp, source=features, target=features]}}
seeds: [0]
time: a second
"""


def save(path, shuffled):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    inputs = (rng.normal(size=(200, 6)) + 3 * labels[:, None]).astype("f4")
    np.savez(path / "own.npz", features=inputs, labels=rng.permutation(labels) if shuffled else labels)


def accuracies(path):
    with (path / "outputs" / "sweep" / "summary.csv").open() as file:
        return [float(row["target_accuracy"]) for row in csv.DictReader(file)]


def test_own_data_that_changed_under_its_name_is_answered_for_by_no_sweep_table_or_resumed_run(tmp_path):
    (tmp_path / "my" / "table").mkdir(parents=True)
    (tmp_path / "my" / "table" / "own.yaml").write_text(TABLE)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    save(tmp_path, shuffled=False)
    done = command("-m", *TINY, "seed=0", cwd=tmp_path, **cache)
    assert done.returncode == 0 and accuracies(tmp_path) == [1.0], done.stderr
    (old,) = (tmp_path / "outputs" / "sweep").glob("*/status.json")

    save(tmp_path, shuffled=True)
    done = command("table", "own", "--config-dir", "my", *TINY[4:], cwd=tmp_path, **cache)
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "outputs" / "tables").glob("own*/table.csv")
    with table.open() as file:
        (line,) = csv.DictReader(file)
    assert float(line["mean"]) < 0.8 and line["n"] == "1"
    assert "passed over, made of other data: 1" in done.stdout

    done = command("-m", *TINY, "seed=0", cwd=tmp_path, **cache)
    assert "finished before" in done.stderr and accuracies(tmp_path)[0] < 0.8
    assert len(list((tmp_path / "outputs" / "sweep").glob("*/status.json"))) == 2

    before = old.read_bytes()
    done = command(f"resume={old.parent}", cwd=tmp_path, **cache)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and old.read_bytes() == before
    assert "was begun on other source and target data, or before it changed" in done.stderr


def made(folder, path="own.npz", digest="d1", updated="1", seed=0, accuracy=0.5, version=module.RESULTS_VERSION):
    """A finished run's folder, as if made by results version ``version`` on data of that digest."""
    config = base(target={"name": "features", "path": path}, seed=seed)
    digests = {"source": "s", "target": digest}
    write_json(folder / "config.json", module.to_plain(config))
    write_json(folder / "results.json", {"target_accuracy": accuracy, "seconds": 1.0, "source": "mnist",
                                         "digests": digests, "results_version": version})  # fmt: skip
    write_json(folder / "environment.json", {"git": f"rev{updated}", "transferlab": "1", "torch": "2"})
    fingerprint = config.fingerprint(digests) if version == module.RESULTS_VERSION else "of another scheme"
    RunFolder(folder).set_status(
        "finished", updated=updated, digests=digests, results_version=version, fingerprint=fingerprint,
        editions={"source": "full", "target": "full"},
    )  # fmt: skip
    return config


def shown(tmp_path, configs, **at_hand):
    """The table's values and footnotes for the runs of these configs, whose data is missing or as in ``at_hand``."""
    table = tables.Table("t", {"r": tables.Row([])}, {"c": tables.Column([])}, [c.seed for c in configs], "")
    asked = tables.Request("t", table, ["r"], ["c"], table.seeds, [], None, True, False)
    editions = {"source": "full", "target": "full"} if at_hand else {}
    wanted = [tables.Cell("r", "c", config, [], tmp_path, at_hand, editions) for config in configs]
    found = table_entries.entries(table, table_lines.lines(asked, wanted, table_lines.records(tmp_path)))
    said = [note for note in table_pages.footnotes(asked, found) if "passed over" in note or "versions" in note]
    return [list(entry.values.values()) for entry in found], said


def test_a_cell_never_mixes_data_results_versions_or_says_nothing_of_several_revisions(tmp_path):
    one = made(tmp_path / "a", seed=0, accuracy=0.1, updated="1")
    two = made(tmp_path / "b", seed=1, accuracy=0.2, updated="2")
    made(tmp_path / "c", seed=1, accuracy=0.9, digest="d2", updated="3")
    made(tmp_path / "d", seed=0, accuracy=0.8, version=0)
    made(tmp_path / "e", seed=0, accuracy=0.7, path="other.npz", digest="d3", updated="9")
    other_data = "passed over, made of other data: {}"
    other_code = "passed over, made by another version of the code: 1"
    values, notes = shown(tmp_path, [one, two], source="s", target="d1")
    assert values == [[0.1, 0.2]] and notes[1:] == [other_code, other_data.format(1)]
    assert "rev1, transferlab 1, torch 2 (1); revision rev2" in notes[0]
    values, notes = shown(tmp_path, [one, two])  # data is missing: the newest run's
    assert values == [[0.9]] and notes == [other_code, other_data.format(2)]
    values, notes = shown(tmp_path, [one, two], source="s", target="d3")  # the file of e under another name
    assert values == [[0.7]]


def test_a_run_of_an_earlier_scheme_is_neither_an_answer_nor_a_crash(tmp_path):
    config = made(tmp_path / "a", seed=0)
    for status in ({"status": "finished", "fingerprint": "f00", "editions": {"source": "full", "target": "full"}},
                   {"status": "finished"}):  # fmt: skip
        write_json(tmp_path / "a" / "status.json", {**status, "updated": "1"})
        assert shown(tmp_path, [config])[0] == [[]]


def test_runs_of_another_version_are_not_compared_and_of_other_data_not_averaged(tmp_path):
    made(tmp_path / "a", digest="d1")
    made(tmp_path / "b", digest="d2", updated="2")
    made(tmp_path / "c", version=0)
    labels = [record["target"] for record in finished(tmp_path)]
    assert len(labels) == 2 == len(set(labels)) and all("path" not in label for label in labels)


def test_data_that_changes_while_it_is_read_is_the_result_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    save(tmp_path, shuffled=False)
    asked = plan.config_of(TINY)
    real = dispatch.prepare

    def prepare(*given):
        save(tmp_path, shuffled=True)
        return real(*given)

    monkeypatch.setattr(dispatch, "prepare", prepare)
    execute(asked, RunFolder(tmp_path / "run"), parallel=True)
    status = RunFolder(tmp_path / "run").status
    assert status["status"] == "failed" and not (tmp_path / "run" / "results.json").exists()
    changed = "source=features and target=features: changed while the data was read; start the command again"
    assert status["reason"] == changed


KEYS = {
    "dann": "7203",
    "eszsl": "4223",
}


ADDED = {
    f"target_{name}{end}" for name in ("macro_f1", "auroc", "ece") for end in ("", "_interval")
}  # fmt: skip
"""The keys that have come in since this version began."""


@pytest.mark.parametrize("method", KEYS)
def test_what_a_record_holds_is_of_its_version(tmp_path, no_data, method):
    """A record that loses a key is one of another version: raise RESULTS_VERSION, then change this; or it is ADDED."""
    options = {"gamma": [10.0], "lam": [0.3], "kernel": "linear"} if method == "eszsl" else {}
    folder = testing.finished(testing.tiny(method, options), tmp_path / "run")
    digest = hashlib.sha256(" ".join(sorted(folder.results.keys() - ADDED)).encode()).hexdigest()[:4]
    new = ADDED if method == "dann" else {key for key in ADDED if "ece" not in key}
    assert ADDED & folder.results.keys() == new
    assert (module.RESULTS_VERSION, digest) == (3, KEYS[method])


def test_data_seen_through_trained_weights_is_another_kind_than_the_images_themselves():
    def kind(method="source_only", **model):
        config = base(method={"name": method}, model=model)
        return Record(Path(), config, True, {"editions": {"source": "full", "target": "full"}}, {}, {}, {}).kind_of_data

    images, features = kind(), kind(name="resnet18", weights="imagenet", frozen=True, input_size=256)
    learned = kind(name="resnet18", weights="imagenet", frozen=False, input_size=256)
    assert len({images, features, learned}) == 3 and kind(name="lenet", input_size=32) == images
    assert kind("eszsl") == kind("eszsl", name="resnet18", weights="imagenet", input_size=256)  # it brings its own net
