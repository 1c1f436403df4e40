"""device.precision=auto: what is faster here, measured once, kept, and part of what the run is."""

import json
import logging

import pytest

from tests.conftest import command
from transferlab import precision
from transferlab.config import ModelConfig, from_plain


def settings(method="dann", width=0.1, chosen="auto"):
    return from_plain({
        "method": {"name": method}, "source": {"name": "mnist"}, "target": {"name": "usps"},
        "model": {"width": width}, "device": {"precision": chosen},
    })  # fmt: skip


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """What each measurement would find, and a list of those that were made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seconds, asked = {"float32": 1.0, "bf16": 0.5}, []
    monkeypatch.setattr(precision, "_measured", lambda what: asked.append(what) or dict(seconds))
    return seconds, asked


def chosen(*args, **kwargs):
    return precision.resolved(settings(*args, **kwargs)).device.precision


@pytest.mark.parametrize(("bf16", "expected"), [(0.5, "bf16"), (0.95, "float32"), (1.0, "float32"), (7.0, "float32")])
def test_bf16_is_chosen_only_where_it_is_clearly_faster(clock, bf16, expected):
    clock[0]["bf16"] = bf16
    assert chosen() == expected


def test_it_is_measured_once_for_each_net(clock):
    seconds, asked = clock
    assert chosen() == "bf16"
    seconds["bf16"] = 9.0
    assert chosen() == "bf16" and len(asked) == 1
    assert chosen(width=0.2) == "float32" and len(asked) == 2
    assert asked[0]["model"].keys() == vars(ModelConfig()).keys()  # the whole of it is what is kept under
    assert (
        chosen(chosen="bf16") == "bf16" and chosen("zero_shot") == "float32" and len(asked) == 2
    )  # nothing to measure


def test_what_cannot_be_kept_or_measured_is_float32(clock, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert chosen() == "float32"
    assert not clock[1] and "float32, since nothing could be measured" in caplog.text
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "_measured", lambda what: json.loads(""))
    assert chosen() == "float32"


def test_the_result_says_which_and_the_run_is_that_of_its_name(tmp_path, no_data):
    tiny = ("data.edition=sample", "train.steps=2", "train.batch_size=8", "train.evaluations=1", "model.width=0.05",
            "figures=false", "store=null", "device.name=cpu", "device.threads=1", "hydra.run.dir=one")  # fmt: skip
    first = command(*tiny, "device.precision=auto", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    (kept,) = (tmp_path / "cache" / "transferlab" / "precision").glob("*.json")
    seconds = json.loads(kept.read_text())["seconds"]
    faster = "bf16" if seconds["float32"] / seconds["bf16"] >= precision.MARGIN else "float32"
    for record in ("results.json", "environment.json"):
        assert json.loads((tmp_path / "one" / record).read_text())["precision"] == faster
    again = command(*tiny, f"device.precision={faster}", cwd=tmp_path)
    assert again.returncode == 0 and "finished before" in again.stderr
