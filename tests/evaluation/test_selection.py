"""What a validator chooses is kept, returned and recorded; and nothing is measured on sorted data's first classes."""

import contextlib
import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from tests.conftest import config, images, problem, run
from transferlab import plan, storage
from transferlab.config import from_plain
from transferlab.data.contract import IMAGES
from transferlab.errors import UserError
from transferlab.evaluation import evaluator as evaluation
from transferlab.evaluation.evaluator import Evaluator, Truth, selections
from transferlab.jobs import execute
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.source import label_loss
from transferlab.models.predictor import Classifier, Predictor
from transferlab.problem import Labelled, Unlabelled
from transferlab.runs import RunFolder
from transferlab.validators import PROBABILISTIC, VALIDATORS, best_row


def tiny(method="dann", select="last", **more):
    return from_plain({
        "method": {"name": method, **more}, "source": {"name": "mnist"}, "target": {"name": "usps"}, "select": select,
        "train": {"steps": 8, "batch_size": 8, "evaluations": 4, "log_every": 2, "checkpoint_every": 3},
        "data": {"edition": "sample", "validation": 50}, "device": {"name": "cpu", "threads": 1}, "figures": False,
    })  # fmt: skip


def scored(scores, stage="adapt"):
    return [{"stage": stage, "kind": "step", "step": s, "target_accuracy": a, "validator/bnm": v}
            for s, (v, a) in enumerate(scores, 1)]  # fmt: skip


def test_of_equals_it_is_the_latest():
    rows = scored([(0.5, 0.9), (0.7, 0.2), (0.7, 0.9), (math.nan, 0.4), (0.1, 0.3)])
    assert best_row(rows, "validator/bnm")["step"] == 3
    record = selections(rows)
    assert record["chosen_by_bnm"] == "adapt step 3" and record["chosen_by_bnm_score"] == 0.7
    assert (record["last"], record["last_target_accuracy"]) == ("adapt step 5", 0.3)
    assert record["oracle"] == "adapt step 3" and best_row([], "validator/bnm") is None


def trained(folder, scores, stop_at=None, average=0.0):
    """A net trained for 6 steps, with these ``scores`` of bnm after 2, 4 and 6: what it ends as, and what it was."""
    settings = dataclasses.replace(config(steps=6, evaluations=3, checkpoint_every=1, average=average), select="bnm")
    p, seen = problem(LABELLED, UNLABELLED), {}

    def evaluate(predictor):
        place = len([row for row in engine.rows if "validator/bnm" in row])
        seen[place] = {k: v.clone() for k, v in predictor.net.state_dict().items()}
        return {"validator/bnm": scores[place]}

    engine = run(folder, settings, evaluate)
    net = engine.net(p)
    inner = label_loss(net)

    def loss(batch, progress):
        if round(progress * 6) == stop_at:
            raise ZeroDivisionError
        return inner(batch, progress)

    with pytest.raises(ZeroDivisionError) if stop_at else contextlib.nullcontext():
        engine.train("source", {"net": net}, loss, p.batches(source=8), Classifier(net))
    return net.state_dict(), seen


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize(("scores", "best"), [([3, 1, 2], 0), ([1, 3, 2], 1), ([1, 3, 3], 2), ([1, math.nan, 0], 0)])
def test_a_stage_ends_as_it_was_at_the_choice(tmp_path, scores, best, average):
    end, seen = trained(tmp_path / "whole", scores, average=average)
    assert all(torch.equal(value, seen[best][name]) for name, value in end.items())
    kept, _ = storage.read(tmp_path / "whole" / "checkpoints" / "stage-source.safetensors")
    assert all(torch.equal(value, kept[f"net.{name}"]) for name, value in end.items())
    for stop_at in (3, 5):
        trained(tmp_path / f"{stop_at}", scores, stop_at, average)
        resumed, _ = trained(tmp_path / f"{stop_at}", scores, average=average)
        assert all(torch.equal(value, resumed[name]) for name, value in end.items())


def test_a_run_returns_what_the_validator_chose_and_says_so(tmp_path, no_data, monkeypatch, capsys):
    """By a validator that likes the second of four evaluations best, for no good reason."""
    calls = []

    def second(evidence):
        calls.append(1)
        return {2: 2.0}.get(len(calls), 1.0)

    monkeypatch.setitem(VALIDATORS, "bnm", second)
    execute(tiny(select="bnm"), RunFolder(tmp_path / "chosen"), parallel=False)
    said = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["select", "bnm"] in said and ["selected", "adapt step 4"] in said
    results = json.loads((tmp_path / "chosen" / "results.json").read_text())
    rows = {row["step"]: row for row in RunFolder(tmp_path / "chosen").read_metrics()}
    assert (results["select"], results["selected"], results["last"]) == ("bnm", "adapt step 4", "adapt step 8")
    assert results["target_accuracy"] == pytest.approx(rows[4]["target_accuracy"])
    assert results["last_target_accuracy"] == rows[8]["target_accuracy"]
    assert results["oracle_target_accuracy"] == max(row["target_accuracy"] for row in rows.values())
    execute(tiny(), RunFolder(tmp_path / "last"), parallel=True)
    last = json.loads((tmp_path / "last" / "results.json").read_text())
    assert last["select"] == "last" and "selected" not in last
    assert last["target_accuracy"] == pytest.approx(rows[8]["target_accuracy"])
    for name in VALIDATORS:
        score = rows[8][f"validator/{name}"] if name != "bnm" else 1.0
        assert last[f"validator_{name}"] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize(("words", "message"), [
    (["select=best"], "select=best: allowed are last, source_accuracy"),
    (["select=bnm", "method=finetune"], "select=bnm: method=finetune is not unsupervised adaptation"),
    (["select=bnm", "method=target_only"], "is not unsupervised adaptation; leave select=last"),
])  # fmt: skip
def test_what_cannot_select_is_refused_before_the_run(no_data, words, message):
    with pytest.raises(UserError, match=message):
        plan.jobs(plan.arguments(["data.edition=sample", *words]))


class Brightness(Predictor):
    """Its one feature is the mean of an image, its scores are thirds of it."""

    def answer(self, inputs, domain):
        mean = inputs.float().mean((1, 2, 3)) / 255
        return mean[:, None], torch.stack([mean * 0, mean, -mean], 1)

    def check(self, inputs):
        pass


def test_features_are_of_a_fair_sample_of_data_sorted_by_class(monkeypatch):
    monkeypatch.setattr(evaluation, "SAMPLE", 60)
    labels = torch.arange(3).repeat_interleave(400)
    pixels = (80 * labels).byte()[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    view, some = Labelled(pixels, labels), Unlabelled(pixels[:20])
    names = ("a", "b", "c")
    truth = Truth(IMAGES, names, names, some, some, some, some, view, view)
    measured = Evaluator(truth, lambda: torch.autocast("cpu", enabled=False))
    features = measured.outputs(Brightness(), pixels, "target").features
    found, counts = np.unique(features, return_counts=True)
    assert len(features) == 60 and len(found) == 3 and counts.min() >= 10
    again = measured.outputs(Brightness(), pixels, "source").features
    assert (again == features).all()  # the same rows whoever asks
    # Both domains are the same images; in another order nothing tells them apart either.
    shuffled = Labelled(pixels[torch.randperm(1200)], labels)
    record = Evaluator(dataclasses.replace(truth, target_test=shuffled), measured._autocast).final(Brightness()).record
    assert record["proxy_a_distance"] < 0.6 and record["feature_size"] == 1


@pytest.mark.parametrize(("logits", "names"), [(True, set(VALIDATORS)), (False, set(VALIDATORS) - set(PROBABILISTIC))])
def test_margins_are_not_read_as_probabilities(logits, names):
    pixels, labels = images(40, 1, 0)
    view = Labelled(pixels, labels)
    truth = Truth(IMAGES, *(("a", "b", "c"),) * 2, view, view, Unlabelled(pixels), Unlabelled(pixels), view, view)
    values = Evaluator(truth, lambda: torch.autocast("cpu", enabled=False))(Brightness(scores_are_logits=logits))
    assert {name.removeprefix("validator/") for name in values if name.startswith("validator/")} == names


def test_deep_corals_features_are_the_logits_that_it_aligns(tmp_path):
    from transferlab.methods.domain_adaptation import deep_coral

    engine = run(tmp_path, config("deep_coral"))
    p = problem(LABELLED, UNLABELLED)
    predictor = deep_coral.fit(deep_coral.Config(), p, engine)
    features, scores = predictor(p.target.inputs)
    assert torch.equal(features, scores)
