"""What no method may do: look at a label that it does not see; and what each must: resume to the same bits."""

import weakref
from pathlib import Path

import pytest

from tests.conftest import config as settings
from tests.conftest import run
from tests.methods.tiny import QUICK
from transferlab import compatibility, testing
from transferlab.config import Config
from transferlab.jobs import execute
from transferlab.map import LABELLED, method_files, method_schema
from transferlab.runs import RunFolder

METHODS = sorted(method_files())
OPTIONS = {
    name: {**QUICK.get(name, {}), **({"kernel": "linear"} if method_schema(name).sees.classes == "disjoint" else {})}
    for name in METHODS
}
OPTIONS["devise"] = {"kernel": "linear"}  # it chooses among margins, in stages of their own
PROOFS = [
    testing.unseen_labels_change_nothing, testing.tests_change_no_weight,
    testing.nothing_leads_to_what_is_kept_from_it, testing.resumes_to_the_same_bits,
    testing.inputs_in_a_file_change_nothing,
]  # fmt: skip


def tiny(method, **train):
    return testing.tiny(method, OPTIONS[method], **train)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.__name__)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_bears_the_proof(tmp_path, no_data, method, proof):
    proof(tiny(method), tmp_path)


@pytest.mark.parametrize("method", ["dann", "finetune", "self_taught"])
def test_labels_that_are_seen_do_change_the_weights(tmp_path, no_data, method):
    """So the scrambling that the proofs rely on is one."""
    config = tiny(method)
    role = "source" if method_schema(method).sees.source == LABELLED else "target"
    one = testing.finished(config, tmp_path / "true")
    with testing.scrambled({config.names[role]}, "train"):
        two = testing.finished(config, tmp_path / "scrambled")
    with pytest.raises(AssertionError, match="labels were seen"):
        testing.same_weights(one, two, "labels were seen")


def test_what_an_engine_holds_would_be_found(tmp_path):
    things = testing.reached(run(tmp_path, settings()).train)
    assert any(isinstance(thing, RunFolder) for thing in things) and any(isinstance(thing, Config) for thing in things)


CHEAT = """
from dataclasses import dataclass
from transferlab.map import LABELLED, UNLABELLED, Sees
from transferlab.methods.domain_adaptation import source_only
sees = Sees(source=LABELLED, target=UNLABELLED)
@dataclass
class Config(source_only.Config):
    "Options of {name}."
{body}
"""
HONEST = """
def fit(config, problem, run):
    return source_only.fit(config, problem, run)
"""
PEEKING = """
from transferlab import data
def fit(config, problem, run):
    from transferlab.config import DataConfig
    usps = data.find("usps", data.config_class("usps")(), DataConfig(edition="sample"))
    predictor = source_only.fit(config, problem, run)
    predictor.net.head.bias.data += float((usps.load("train").labels[::2] % 10).mean())
    return predictor
"""
HOLDING = """
from transferlab.training import run as runs
def fit(config, problem, run):
    predictor = source_only.fit(config, problem, run)
    predictor.engine = runs._engines[id(run)]
    return predictor
"""
HOOKED = """
def fit(config, problem, run):
    seen = []
    net = run.net(problem, "source")
    net.preprocess.register_forward_pre_hook(lambda module, inputs: seen.append(float(inputs[0].float().mean())))
    draw = problem.batches(source=run.batch_size)
    from transferlab.methods.source import label_loss
    from transferlab.models.predictor import Classifier
    run.train("source", {"net": net}, label_loss(net), draw, Classifier(net))
    net.preprocess._forward_pre_hooks.clear()
    net.head.bias.data += sum(seen)
    return Classifier(net)
"""
FORGETTING = """
calls = []
def fit(config, problem, run):
    calls.append(1)
    predictor = source_only.fit(config, problem, run)
    predictor.net.head.bias.data += len(calls)
    return predictor
"""
CHEATS = {
    "peeking": (PEEKING, "labels of the target have reached the method"),
    "hooked": (HOOKED, "test inputs have reached the method"),
    "holding": (HOLDING, "test data was reached"), "forgetting": (FORGETTING, "other weights|have reached"),
}  # fmt: skip


def written(folder: Path, name: str, body: str) -> Path:
    """A folder of the user's with one method of that name."""
    (folder / "method").mkdir(parents=True)
    (folder / "method" / f"{name}.py").write_text(CHEAT.format(name=name, body=body))
    (folder / "method" / f"{name}.yaml").write_text(f"name: {name}\nhead: softmax\n")
    return folder


def test_a_strangers_method_is_checked(tmp_path, no_data):
    testing.check_method("honest", tmp_path / "runs", written(tmp_path / "conf", "honest", HONEST))


@pytest.mark.parametrize("name", CHEATS)
def test_a_strangers_method_that_cheats_is_found_out(tmp_path, no_data, name):
    body, said = CHEATS[name]
    with pytest.raises(AssertionError, match=said):
        testing.check_method(name, tmp_path / "runs", written(tmp_path / "conf", name, body))


def test_a_weak_reference_that_leads_back_would_be_found():
    class Held:
        pass

    held, kept = Held(), weakref.WeakKeyDictionary()
    kept[held] = secret = ["secret"]
    assert any(thing is secret for thing in testing.reached(held))


def test_an_oracle_is_called_oracle_and_never_the_headline(tmp_path, no_data):
    execute(tiny("dann"), RunFolder(tmp_path / "r"), parallel=True)
    record = RunFolder(tmp_path / "r").results
    assert record["oracle_target_accuracy"] >= record["target_accuracy"]
    last = RunFolder(tmp_path / "r").read_metrics()[-1]
    assert record["target_accuracy"] == pytest.approx(last["target_accuracy"])


def test_plan_names_a_job_by_everything_that_determines_it(no_data):
    base = tiny("dann")
    names = {c.fingerprint(compatibility.digests(c)) for c in (base, tiny("dann", lr=0.02), tiny("dann", log_every=5))}
    assert len(names) == 2
