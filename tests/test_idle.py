"""A word that changes nothing in any run of its command or table is refused in one line, before a folder exists."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from transferlab import compatibility, idle, plan
from transferlab.config import conf_dir, from_plain, to_plain
from transferlab.errors import UserError
from transferlab.reports import tables

OTHER = ["source=mnist", "source.classes=[0,1]", "target=mnist", "target.classes=[2,3]"]
REFUSED = {
    "method=source_only model.critic=[32]": "model.critic=[32]: has no effect with method=source_only; leave it out",
    "-m method=source_only,target_only model.critic=[32]":
        "model.critic=[32]: has no effect with method=source_only or method=target_only; leave it out",
    "method=conservative target=usps method.keep=weights method.rho=0.1":
        "method.rho=0.1: has no effect with method.keep=weights; leave it out",
    "method=conservative target=usps method.keep=weights method.rho=0.1 method.temperature=3 train.lr=0.1":
        "method.rho=0.1, method.temperature=3: have no effect with method.keep=weights; leave them out",
    "method=conservative target=usps method.warmup=5":
        "method.warmup=5: has no effect with the same classes in both domains; leave it out",
    "train.optimiser=adam train.momentum=0.5":
        "train.momentum=0.5: has no effect with train.optimiser=adam; leave it out",
    "method=self_taught target=usps model.width=2":
        "model.width=2: has no effect with method=self_taught; leave it out",
    "method=subspace_alignment method.features=inputs model.width=2":
        "model.width=2: has no effect with method.features=inputs; leave it out",
    "method=finetune target=usps method.trainable=head method.steps=5":
        "method.steps=5: has no effect with method.trainable=head; leave it out",
    "method=dann method.largest_lambda=0 method.gamma=2":
        "method.gamma=2: has no effect with method.largest_lambda=0; leave it out",
}  # fmt: skip


def jobs(line):
    return plan.jobs(plan.arguments(["data.edition=sample", *line.split()]))


@pytest.mark.parametrize("line", REFUSED)
def test_a_word_without_effect_is_refused(line, no_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        jobs(line)
    assert str(error.value) == REFUSED[line]
    assert not list(tmp_path.glob("outputs*"))


@pytest.mark.parametrize("line", [
    "-m method=source_only,dann model.critic=[32]", "method=dann train=quick",
    "-m method=conservative target=usps method.keep=weights,both method.rho=0.1",
    "-m train.optimiser=sgd,adam train.momentum=0.5", "-m method=self_taught,source_only train.steps=20 target=usps",
    "method=self_taught target=usps model.input_size=20", "method=self_taught target=usps train.steps=20 train.lr=0.1",
    "method=finetune target=usps method.initial=scratch method.steps=5 train.steps=20",
])  # fmt: skip
def test_a_word_that_acts_in_one_of_the_runs_is_taken(line, no_data):
    assert jobs(line)


def test_other_classes_make_other_options_idle(no_data):
    words = ["data.edition=sample", "method=conservative", *OTHER]
    assert plan.jobs(plan.arguments([*words, "method.warmup=5", "method.old_weight=2"]))
    with pytest.raises(UserError, match="method.rho=0.1: has no effect with other classes in the target; leave it out"):
        plan.jobs(plan.arguments([*words, "method.rho=0.1"]))


def table(tmp_path, overrides, row=""):
    (tmp_path / "conf" / "table").mkdir(parents=True)
    (tmp_path / "conf" / "table" / "own.yaml").write_text(
        f"title: Own\ntime: a moment\nseeds: 1\noverrides: [data.edition=sample, target=usps, '{overrides}']\n"
        f"rows:\n  low: {{overrides: [method=source_only{row}]}}\n  dann: {{overrides: [method=dann]}}\n"
        "columns: {digits: {overrides: [source=mnist]}}\n"
    )

    def cells(*words):
        return tables.cells(tables.request(["own", "--config-dir", str(tmp_path / "conf"), *words]), fetch=False)

    return cells


def test_a_word_of_a_table_must_act_in_one_of_its_cells(no_data, tmp_path):
    cells = table(tmp_path / "acts", "model.critic=[32]")
    assert len(cells()) == 2
    assert len(cells("rows=low")) == 1  # it is for the other row
    with pytest.raises(UserError, match="model.critic=.8.: has no effect with method=source_only; leave it out"):
        cells("rows=low", "model.critic=[8]")
    with pytest.raises(UserError, match="method.gamma=3: has no effect with method.largest_lambda=0"):
        table(tmp_path / "not", "train.steps=4")("rows=dann", "method.largest_lambda=0", "method.gamma=3")
    with pytest.raises(UserError, match="model.critic=.9.: has no effect with method=source_only; leave it out"):
        table(tmp_path / "row", "train.steps=4", ", 'model.critic=[9]'")()


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "table").glob("*.yaml")))
def test_shipped_rows_say_nothing_that_they_do_not_use(name, no_data):
    """By what is known without data, in the first column; not even where the same word acts in another row."""
    table = tables.load(name, None)
    column, quiet = next(iter(table.columns)), ["device.precision=float32"]
    composed = plan.compose([[*table.overrides_of(row, column), *quiet] for row in table.rows], None)
    for row, (one, _) in zip(table.rows.values(), composed, strict=True):
        idle.refuse([(row.overrides, idle.keys(plan.typed(one), {}))])


def test_a_run_that_has_such_options_goes_on(no_data):
    """Its config is read again as it is: only words are judged."""
    plain = {"method": {"name": "conservative", "keep": "weights", "rho": 0.1}, "source": {"name": "mnist"},
             "target": {"name": "usps"}, "data": {"edition": "sample"}}  # fmt: skip
    config = from_plain(plain)
    assert compatibility.find(from_plain(to_plain(config))) and "method.rho" in idle.keys(
        config, compatibility.find(config)
    )


def test_an_option_that_was_added_leaves_earlier_runs_as_they_are():
    plain = {"method": {"name": "dann"}, "source": {"name": "mnist"}, "target": {"name": "mnistm"}}
    config = from_plain(plain)
    same = from_plain({**plain, "method": {"name": "dann", "largest_lambda": 1.0}})
    other = from_plain({**plain, "method": {"name": "dann", "largest_lambda": 0.1}})
    assert config.fingerprint({}) == same.fingerprint({}) != other.fingerprint({})
    before = {key: value for key, value in vars(config.method).items() if key != "largest_lambda"}
    earlier = dataclasses.make_dataclass("Config", before)(**before)  # as the method was before the option came
    assert dataclasses.replace(config, method=earlier).fingerprint({}) == config.fingerprint({})


def own_vectors(folder):
    """Two files of vectors of two classes: a table, and arrays with a signature of each class."""
    labels, parts = np.arange(20) % 2, np.where(np.arange(20) < 12, "train", "test")
    vectors = np.arange(40.0).reshape(20, 2)
    np.savez(folder / "v.npz", features=vectors, labels=labels, part=parts, signatures=np.eye(2))
    lines = [f"{a},{b},{y},{part}" for (a, b), y, part in zip(vectors, labels, parts, strict=True)]
    (folder / "v.csv").write_text("\n".join(["a,b,labels,part", *lines]))


def own_images(folder):
    """Two folders of a class each, and the same divided into train and test."""
    for place, name, i in itertools.product(("whole", "parts/train", "parts/test"), ("cat", "dog"), range(4)):
        (folder / place / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), 30 * i).save(folder / place / name / f"{i}.png")


def released_mnistm(folder):
    (folder / "mnist_m").mkdir()
    pixels = torch.zeros(20, 28, 28, 3, dtype=torch.uint8)
    for split in ("train", "test"):
        torch.save((pixels, torch.arange(20) % 10), folder / "mnist_m" / f"mnist_m_{split}.pt")


@pytest.mark.parametrize(("make", "words", "idle_word", "why"), [
    (own_vectors, "source=features source.path=v.npz target=features target.path=v.npz source.split=part",
     "source.test_fraction=0.4", "features.split=part"),
    (own_vectors, "source=features source.path=v.csv target=features target.path=v.csv",
     "source.inputs=x", "a table of text, whose numeric columns are the vectors"),
    (own_vectors, "source=features source.path=v.npz target=features target.path=v.npz",
     "source.signatures=signatures", "method=source_only"),
    (own_images, "source=folder source.root=whole target=folder target.root=parts",
     "target.test_fraction=0.4", "train/ and test/"),
    (released_mnistm, "source=mnist target=mnistm target.build=released data.edition=auto data.root=.",
     "target.seed=1", "mnistm.build=released"),
])  # fmt: skip
def test_an_option_that_this_data_does_not_use_is_refused(make, words, idle_word, why, no_data, tmp_path, monkeypatch):
    """And what the same word does act on is taken."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    line = f"method=source_only {'model=mlp ' if make is own_vectors else ''}{words}"
    assert jobs(line)
    with pytest.raises(UserError) as error:
        jobs(f"{line} {idle_word}")
    assert str(error.value) == f"{idle_word}: has no effect with {why}; leave it out"
    if make is own_images:
        assert jobs(f"{line} {idle_word.replace('target', 'source')}")
