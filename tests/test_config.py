"""The schema and the YAML files, which must tell the same story."""

import ast
import dataclasses
import inspect

import pytest
from omegaconf import OmegaConf

from transferlab import data
from transferlab.build import build
from transferlab.config import (
    Config,
    DataConfig,
    DeviceConfig,
    ModelConfig,
    TrainConfig,
    conf_dir,
    from_plain,
    to_plain,
)
from transferlab.errors import UserError
from transferlab.manual import documented
from transferlab.map import LABELLED, NOTHING, PACKAGE, UNLABELLED, method_files, method_schema


def yaml(group, name):
    return OmegaConf.to_container(OmegaConf.load(conf_dir() / group / f"{name}.yaml"))


@pytest.mark.parametrize("name", sorted(method_files()))
def test_a_methods_yaml_is_its_dataclass(name):
    values = yaml("method", name)
    assert values.pop("name") == name
    assert values == dataclasses.asdict(method_schema(name).config())


@pytest.mark.parametrize("name", data.names())
def test_a_data_sets_yaml_is_its_dataclass_for_source_and_target(name):
    values = yaml("source", name)
    assert values.pop("name") == name
    values |= {key: value for key, value in yaml("", "config")["source"].items() if key not in values}
    assert values == dataclasses.asdict(data.config_class(name)())
    assert yaml("target", name) == {"defaults": [f"/source/{name}@_here_"]}


def test_the_other_groups_have_every_key_of_their_dataclass():
    root = yaml("", "config")
    assert root["data"] == dataclasses.asdict(DataConfig())
    for group, name, cls in (
        ("train", "lecture", TrainConfig), ("model", "ganin_mnist", ModelConfig), ("device", "auto", DeviceConfig),
    ):  # fmt: skip
        assert yaml(group, name) == dataclasses.asdict(cls())


def test_no_yaml_names_a_python_path():
    for path in conf_dir().rglob("*.yaml"):
        assert "_target_:" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_every_config_field_has_a_doc_string(path):
    """Its own, that of the field that it is written in a row with, or that of the base whose default it changes."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            meanings = documented(path, node.name)
            fields = [field.target.id for field in node.body if isinstance(field, ast.AnnAssign)]
            assert [name for name in fields if name not in meanings] == []


@pytest.mark.parametrize("name", method_files())
def test_the_type_of_a_methods_problem_is_its_place_on_the_map(name):
    schema = method_schema(name)
    seen = {LABELLED: "Labelled", UNLABELLED: "Unlabelled", NOTHING: "None"}
    of_map = f"Problem[{seen[schema.sees.source]}, {seen[schema.sees.target]}]"
    assert inspect.get_annotations(schema.module.fit)["problem"] == of_map


@pytest.mark.parametrize("name", method_files())
def test_every_option_of_a_method_is_in_its_help(name):
    meanings = documented(method_files()[name], "Config")
    assert set(meanings) == {field.name for field in dataclasses.fields(method_schema(name).config)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, "train.step: no such key; .*did you mean steps"),
        ({"steps": 2.5}, "train.steps=2.5: a whole number is needed"),
        ({"steps": True}, "train.steps=True: a whole number is needed"),
        ({"lr": "fast"}, "train.lr=fast: a number is needed"),
        ({"lr": -1}, "train.lr=-1.0: must be greater than 0"),
        ({"optimiser": "sgdd"}, "train.optimiser=sgdd: allowed are sgd, adam, adamw; did you mean sgd"),
    ],
)
def test_wrong_values_are_one_clear_line(values, message):
    with pytest.raises(UserError, match=message) as error:
        build(TrainConfig, values, "train")
    assert "\n" not in str(error.value)


def test_yamls_own_words_for_text_and_numbers():
    assert build(DataConfig, {"download": True}, "data").download == "true"
    assert build(TrainConfig, {"lr": 1}, "train").lr == 1.0


def plain(**more):
    return {"method": {"name": "dann"}, "source": {"name": "mnist"}, "target": {"name": "mnistm"}, **more}


def test_a_runs_record_gives_the_config_back():
    config = from_plain(plain(seed=3, method={"name": "dann", "gamma": 5}))
    assert isinstance(config, Config) and from_plain(to_plain(config)).plain() == config.plain()


def test_the_fingerprint_is_of_what_determines_the_result():
    digests = {"source": "a1", "target": "b2"}
    base = from_plain(plain()).fingerprint(digests)
    for same in ({"device": {"threads": 2}}, {"train": {"log_every": 7}}, {"data": {"root": "/"}}):
        assert from_plain(plain(**same)).fingerprint(digests) == base
    for other in ({"seed": 1}, {"train": {"lr": 0.02}}, {"device": {"precision": "bf16"}}):
        assert from_plain(plain(**other)).fingerprint(digests) != base
    assert from_plain(plain()).fingerprint({**digests, "target": "c3"}) != base
