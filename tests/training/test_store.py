import dataclasses

import torch

from tests.conftest import config, problem, run
from transferlab.config import LABELLED
from transferlab.methods.source import source_model
from transferlab.training.store import Store


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


def test_a_run_goes_on_with_its_own_checkpoint(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    one, _ = train(tmp_path / "a", None)
    from transferlab.training import engine as module

    def stop(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Run, "_finish", stop)
    try:
        train(tmp_path / "b", store)
    except KeyboardInterrupt:
        monkeypatch.undo()
    two, engine = train(tmp_path / "b", store)
    assert same(one, two) and engine.shared_model == "trained"
