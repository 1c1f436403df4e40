import dataclasses

import pytest
import torch

from tests.conftest import CLASSES, config, images, problem, run
from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES
from transferlab.map import LABELLED
from transferlab.methods.self_taught import self_taught
from transferlab.methods.source import source_model
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.training.store import Store, content_key


def train(folder, store, seed=0, **settings):
    engine = run(folder, dataclasses.replace(config("finetune", **settings), seed=seed))
    engine._store = store
    return source_model(problem(LABELLED, LABELLED), engine), engine


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_second_run_takes_what_the_first_has_trained(tmp_path):
    store = Store(tmp_path / "store")
    one, first = train(tmp_path / "a", store)
    two, second = train(tmp_path / "b", store)
    assert (first.shared_model, second.shared_model) == ("trained", "taken")
    assert same(one, two) and second.steps == first.steps and second.images == first.images
    assert second.rows == first.rows


def test_anything_that_determines_the_result_makes_another_entry(tmp_path):
    store = Store(tmp_path / "store")
    assert [train(tmp_path / str(i), store, **kind)[1].shared_model for i, kind in enumerate((
        {}, {"seed": 1}, {"lr": 0.02}, {"steps": 7}, {"batch_size": 9}, {"log_every": 1},
    ))] == ["trained"] * 5 + ["taken"]  # fmt: skip


def test_a_damaged_entry_is_trained_again(tmp_path):
    store = Store(tmp_path / "store")
    one, _ = train(tmp_path / "a", store)
    (entry,) = store.path.glob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:-20])
    two, engine = train(tmp_path / "b", store)
    assert engine.shared_model == "trained" and same(one, two)


def test_an_entry_in_anothers_place_is_not_taken(tmp_path):
    store = Store(tmp_path / "store")
    one, _ = train(tmp_path / "a", store)
    train(tmp_path / "b", store, seed=1)
    ours, theirs = sorted(store.path.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    ours.write_bytes(theirs.read_bytes())
    two, engine = train(tmp_path / "c", store)
    assert engine.shared_model == "trained" and same(one, two)
    assert train(tmp_path / "d", store)[1].shared_model == "taken"


def test_a_run_goes_on_with_its_own_checkpoint(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    one, _ = train(tmp_path / "a", None)
    from transferlab.training import engine as module

    def stop(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Engine, "_finish", stop)
    try:
        train(tmp_path / "b", store)
    except KeyboardInterrupt:
        monkeypatch.undo()
    two, engine = train(tmp_path / "b", store)
    assert same(one, two) and engine.shared_model == "trained"


OTHER_MODELS = {
    "name": "mlp", "width": 0.5, "input_size": 32, "batch_norm": True, "normalisation": "channel",
    "initialisation": "torch", "dropout": 0.5, "hidden": [8], "activation": "tanh", "critic": [8],
    "batch_norm_frozen": True,
}  # fmt: skip


def test_every_field_of_the_model_is_tried():
    # What a net begins with and what it is given are ingredients themselves; an architecture is in the name.
    by_content = {"weights", "frozen", "architecture"}
    assert OTHER_MODELS.keys() | by_content == {f.name for f in dataclasses.fields(ModelConfig)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with the source models of a net with dropout and of one without."""
    store = Store(tmp_path_factory.mktemp("filled"))
    for place, dropout in enumerate((0.0, 0.2)):
        modelled(store.path / f"run {place}", store, dropout=dropout)
    return store


def modelled(folder, store, **model):
    engine = run(folder, dataclasses.replace(config("finetune", steps=4), model=ModelConfig(**model)))
    engine._store = store
    return source_model(problem(LABELLED, LABELLED), engine)


@pytest.mark.parametrize(("field", "value"), [*OTHER_MODELS.items(), ("normalisation", "image")])
def test_a_net_of_another_model_is_never_taken(tmp_path, filled, field, value):
    """Whether its field changes tensors or, as dropout and normalisation do, only the function of the same ones."""
    with_store = modelled(tmp_path / "a", filled, **{field: value})
    assert same(with_store, modelled(tmp_path / "b", None, **{field: value}))


OTHER_CODES = {
    "features": "pca", "dictionary": "random", "atoms": 6, "beta": 0.3, "patch": 9, "stride": 3, "pool": 2,
    "samples": 30, "iterations": 3, "classifier": "svm", "strengths": [1.0],
}  # fmt: skip


def coded(folder, store, seed=0, **options):
    options = self_taught.Config(**{"atoms": 8, "patch": 8, "iterations": 2, "samples": 40, **options})
    settings = dataclasses.replace(config("self_taught", options), seed=seed)
    engine = run(folder, settings)
    engine._store = store
    pixels, labels = images(60, 1, 3)
    both = Problem(Unlabelled(pixels), Labelled(pixels[:20], labels[:20]), CLASSES, CLASSES, seed, IMAGES)
    return self_taught.fit(options, both, engine)


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("dictionaries"))
    coded(store.path / "run", store)
    return store


@pytest.mark.parametrize(("field", "value"), [*OTHER_CODES.items(), ("features", "kmeans"), ("dictionary", "noise"),
                                              ("seed", 1)])  # fmt: skip
def test_a_dictionary_of_other_options_is_never_taken(tmp_path, dictionaries, field, value):
    assert OTHER_CODES.keys() == {f.name for f in dataclasses.fields(self_taught.Config)}
    with_store = coded(tmp_path / "a", dictionaries, **{field: value})
    assert same(with_store, coded(tmp_path / "b", None, **{field: value}))


def test_a_number_is_an_ingredient_like_any_tensor():
    keys = {content_key({"batches": torch.tensor(n)}, {}) for n in (1, 2)}
    assert len(keys) == 2
