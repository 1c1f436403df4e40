"""What a run is called, and that no two that differ in their data look alike."""

import json
import re

import pytest

from tests.conftest import command
from transferlab import naming, plan

OFFICE = ("method=dann", "source=office31", "target=office31")


@pytest.mark.parametrize(("words", "label", "sentence"), [
    ((*OFFICE, "target.domain=webcam"), "dann-office31.amazon-office31.webcam",
     "dann: office31 amazon -> office31 webcam, seed 0"),
    ((*OFFICE, "source.domain=webcam"), "dann-office31.webcam-office31.amazon",
     "dann: office31 webcam -> office31 amazon, seed 0"),
    (("method=finetune", "method.initial=scratch", "source.classes=[0,1]", "target.classes=[2,3]", "target=mnist",
      "target.per_class=5"), "finetune.scratch-mnist.classes_0+1-mnist.classes_2+3.per_class_5",
     "finetune scratch: mnist classes=0,1 -> mnist classes=2,3 per_class=5, seed 0"),
    (("target=mnist", "target.transform=inverted", "seed=3"), "dann-mnist-mnist.inverted",
     "dann: mnist -> mnist inverted, seed 3"),
    ((), "dann-mnist-mnistm", "dann: mnist -> mnistm, seed 0"),
    (("source=folder", "source.root=/x/it's a=b", "target=features", "target.path=~/y/a.csv.gz"),
     "dann-it_s_a_b-a", "dann: it's a=b -> a, seed 0"),
    (("source=features", "source.path=p/amazon/f.npz", "target=features", "target.path=p/webcam/f.npz"),
     "dann-amazon_f-webcam_f", "dann: amazon/f -> webcam/f, seed 0"),
])  # fmt: skip
def test_a_run_is_called_by_what_it_is(words, label, sentence):
    quoted = [f"{w.partition('=')[0]}={plan.hydra_adapter.quoted(w.partition('=')[2])}" if "'" in w or "~" in w else w
              for w in words]  # fmt: skip
    config = plan.config_of(quoted)
    assert naming.label(config) == label and naming.sentence(config) == sentence


def test_a_name_is_short_and_safe_whatever_the_data_is_called():
    root = plan.hydra_adapter.quoted("/data/" + "…/ä b:" * 80)
    name = naming.label(plan.config_of(["source=folder", f"source.root={root}", "target.classes=[0,1,2,3,4,5,6,7,8]"]))
    assert len(name.encode()) < 200 and re.fullmatch(r"[\w.+-]+", name)


def test_what_differs_from_the_defaults_is_in_the_record():
    words = ["train=quick", "model=mlp", "method.gamma=3", "data.validation=50", "train.log_every=7", "seed=4",
             "figures=false", "device.threads=1", "target.build=released", "data.root=/"]  # fmt: skip
    told = naming.record(plan.config_of(words))
    assert told == {
        "source_options": {}, "target_options": {"build": "released"},
        "options": {"method.gamma": 3.0, "model.name": "mlp", "train.steps": 6000, "train.batch_size": 32,
                    "train.lr": 0.03, "train.evaluations": 4, "data.validation": 50},
    }  # fmt: skip
    assert naming.spelled(told["options"]).startswith("method.gamma=3.0 model.name=mlp train.steps=6000")


def test_both_directions_of_a_pair_can_be_told_apart_by_everything_that_a_run_leaves(tmp_path):
    tiny = ["data.edition=sample", "method=source_only", "train.steps=2", "train.batch_size=4", "train.evaluations=1",
            "data.validation=50", "device.threads=1", "figures=false", "store=null"]  # fmt: skip
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TRANSFERLAB_DATA": ""}
    pair = ["source=mnist", "target=mnist", "target.transform=inverted"]
    done = command(*tiny, *pair, "model.width=0.1", cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "source_only: mnist -> mnist inverted, seed 0" in done.stdout and "model.width=0.1" in done.stdout
    (folder,) = {path.parent for path in tmp_path.glob("outputs/*/*/results.json")}
    assert folder.name.endswith("-source_only-mnist-mnist.inverted")
    results = json.loads((folder / "results.json").read_text())
    assert results["source_options"] == {} and results["target_options"] == {"transform": "inverted"}
    assert results["options"]["model.width"] == 0.1
    assert json.loads((folder / "status.json").read_text())["run"] == naming.sentence(plan.config_of([*tiny, *pair]))
