import dataclasses

import numpy as np
import pytest
import torch

from tests.conftest import dataset, problem
from transferlab.data.contract import IMAGES
from transferlab.data.split import split_rows
from transferlab.errors import UserError
from transferlab.inputs import resize
from transferlab.map import LABELLED, NOTHING, UNLABELLED
from transferlab.problem import Labelled, Unlabelled, view


def test_an_unlabelled_view_owns_no_labels():
    data = dataset()
    seen = view(data, np.arange(10), UNLABELLED, IMAGES, 28, torch.device("cpu"), 2.0)
    assert isinstance(seen, Unlabelled) and not isinstance(seen, Labelled)
    assert set(vars(seen)) == {"inputs", "rows"} and seen.rows is None
    batch = problem(LABELLED, UNLABELLED).batches(source=4, target=4)("s", 0)
    assert set(vars(batch.target)) == {"inputs", "rows"}


def test_nothing_is_nothing():
    assert view(dataset(), np.arange(3), NOTHING, IMAGES, 28, torch.device("cpu"), 2.0) is None


def test_batches_keep_inputs_and_labels_together():
    p = problem(LABELLED, UNLABELLED)
    batch = p.batches(source=16, target=4)("s", 3)
    brightest = batch.source.inputs[:, 0].float().mean(1).unfold(1, 9, 9).mean(2).argmax(1)
    assert torch.equal(brightest, batch.source.labels)
    assert batch.inputs.shape == (20, 3, 28, 28)
    assert torch.equal(batch.inputs[:16], batch.source.inputs.expand(-1, 3, -1, -1))


def test_a_view_is_a_function_of_seed_stage_step_and_name():
    def noisy(inputs, generator):
        return inputs.float() + torch.rand(inputs.shape, generator=generator)

    p = problem(LABELLED, UNLABELLED)
    draw, again = p.batches(source=4, target=4), dataclasses.replace(p, seed=1).batches(source=4, target=4)
    one = draw("s", 3).view("student", noisy)
    assert torch.equal(one.inputs, draw("s", 3).view("student", noisy).inputs)
    assert torch.equal(one.source.labels, draw("s", 3).source.labels) and one.domains == draw("s", 3).domains
    noise = one.inputs - draw("s", 3).inputs
    for other in (draw("s", 3).view("teacher", noisy), draw("s", 4).view("student", noisy),
                  draw("t", 3).view("student", noisy), again("s", 3).view("student", noisy)):  # fmt: skip
        assert (other.inputs.frac() - noise).abs().max() > 0.1
    assert (noise[:4].mean(1) - noise[4:].mean(1)).abs().max() > 0.1  # of each domain by itself


def test_resize_is_pillows_bilinear():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 16, 16), dtype=np.uint8)
    ours = resize(torch.from_numpy(pixels), 28).numpy()
    for i in range(2):
        theirs = np.asarray(Image.fromarray(pixels[i, 0]).resize((28, 28), Image.Resampling.BILINEAR))
        assert np.abs(ours[i, 0].astype(int) - theirs.astype(int)).max() <= 1


def test_validation_rows_are_apart_and_a_tenth_at_most():
    train, held_out = split_rows(dataset(200), 5000)
    assert len(held_out) == 20 and not set(train) & set(held_out) and len(train) == 180
    assert len(split_rows(dataset(200), 5)[1]) == 5


def test_validation_rows_of_a_group_stay_together():
    groups = np.repeat(np.arange(40), 5)
    data = dataclasses.replace(dataset(200), groups=groups)
    train, held_out = split_rows(data, 5000)
    assert sorted([*train, *held_out]) == list(range(200)) and len(held_out) == 20
    assert not set(groups[train]) & set(groups[held_out])
    assert not np.array_equal(held_out, np.sort(held_out))
    assert np.array_equal(split_rows(data, 5000)[1], held_out)
    assert len(split_rows(data, 12)[1]) == 10


def test_validation_with_large_groups_and_with_one():
    large = dataclasses.replace(dataset(200), groups=np.repeat([7, 8, 9], [100, 40, 60]))
    train, held_out = split_rows(large, 5000)
    assert set(held_out) == set(range(100, 140)) and len(train) == 160
    with pytest.raises(UserError, match="single group"):
        split_rows(dataclasses.replace(large, groups=np.zeros(200, np.int64)), 5000)


def test_a_batch_knows_its_rows_and_its_parts():
    p = problem(LABELLED, UNLABELLED)
    batch = p.batches(source=5, target=7)("stage", 1)
    assert torch.equal(batch.source.inputs, p.source.inputs[batch.source.rows])
    assert torch.equal(batch.source.labels, p.source.labels[batch.source.rows])
    assert torch.equal(batch.target.inputs, p.target.inputs[batch.target.rows])
    assert batch.is_target.tolist() == [0.0] * 5 + [1.0] * 7
    source, target = batch.split(batch.inputs)
    assert torch.equal(source, batch.source.inputs.expand(-1, 3, -1, -1)) and torch.equal(target, batch.target.inputs)
    alone = p.batches(target=4)("stage", 0)
    assert len(alone.split(alone.inputs)[0]) == 0 and alone.is_target.tolist() == [1.0] * 4
    assert p.batches(source=4)("stage", 0).is_target.tolist() == [0.0] * 4
