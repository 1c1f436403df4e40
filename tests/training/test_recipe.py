"""How a net is trained: optimisers, schedules, clipping and augmentation, beside torch's and torchvision's own."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as theirs

from tests.conftest import config, problem, run
from transferlab import augmentation
from transferlab.config import TrainConfig
from transferlab.errors import UserError
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.source import label_loss
from transferlab.problem import Labelled
from transferlab.training.schedules import rate


@pytest.mark.parametrize(("words", "make"), [
    ({"optimiser": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
    ({"nesterov": True}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True)),
    ({"clip": 0.05}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
])  # fmt: skip
def test_steps_are_torchs_own(tmp_path, words, make):
    settings, p = config("source_only", steps=4, schedule="constant", lr=0.01, **words), problem(LABELLED, UNLABELLED)
    engine = run(tmp_path, settings)
    ours = engine.net(p, "source")
    other = copy.deepcopy(ours)
    draw = p.batches(source=8)
    engine.train("source", {"net": ours}, label_loss(ours), draw)
    optimiser = make(other.parameters())
    other.train()
    for step in range(4):
        batch = draw("source", step)
        F.cross_entropy(other(batch.source.inputs, "source"), batch.source.labels).backward()
        length = torch.nn.utils.clip_grad_norm_(other.parameters(), words.get("clip", torch.inf))
        assert "clip" not in words or length > words["clip"]
        optimiser.step()
        optimiser.zero_grad()
    for one, two in zip(ours.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=5e-6, rtol=1e-4)


def test_the_rate_rises_and_falls_as_torchs_does():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    rising = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1 / 5, total_iters=4)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=15)
    both = torch.optim.lr_scheduler.SequentialLR(optimiser, [rising, falling], milestones=[5])
    for step in range(20):
        assert rate("cosine", 0.25, step, 20) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-6), step
        optimiser.step()
        both.step()
    assert [rate("constant", 0.5, step, 4) for step in range(4)] == [0.5, 1, 1, 1]
    assert rate("anneal", 0.0, 5, 10) == (1 + 10 * 0.5) ** -0.75


@pytest.mark.parametrize(("words", "answer"), [
    ({"nesterov": True, "momentum": 0.0}, "train.nesterov=true: needs train.momentum above 0"),
    ({"warm_up": 1.0}, "train.warm_up=1.0: allowed is 0 <= warm_up < 1"), ({"clip": -1.0}, "train.clip=-1.0: must not"),
])  # fmt: skip
def test_wrong_words_are_one_line(words, answer):
    with pytest.raises(UserError, match=answer):
        TrainConfig(**words)


def picture(side=64):
    """float32 [1, 3, side, side] without detail, so that ways of interpolating agree."""
    x, y = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="xy")
    return torch.stack([200 * x, 255 * y, 100 * x * y + 50 * (1 - x)])[None]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_part_of_an_image_is_torchvisions(mirrored):
    image = picture()
    left, top, width, height = 16, 8, 32, 24
    box = torch.tensor([[left / 64, top / 64, width / 64, height / 64]])
    found = augmentation.parts(image, box, torch.tensor([mirrored]), 1.0)
    expected = theirs.resized_crop(image, top, left, height, width, [64, 64], antialias=False)
    expected = theirs.horizontal_flip(expected) if mirrored else expected
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # beyond the part ours knows what lies there
    torch.testing.assert_close(found[inner], expected[inner], atol=0.5, rtol=0)
    # What a net sees of it, if that is the middle three quarters.
    middle = augmentation.parts(image, box, torch.tensor([mirrored]), 0.75)[:, :, 8:-8, 8:-8]
    expected = theirs.resized_crop(image, top, left, height, width, [48, 48], antialias=False)
    expected = theirs.horizontal_flip(expected) if mirrored else expected
    torch.testing.assert_close(middle[inner], expected[inner], atol=0.5, rtol=0)


def test_colours_are_torchvisions():
    image = picture(16)
    factors = torch.tensor([[1.2, 0.7, 1.3]])
    expected = theirs.adjust_brightness(image / 255, 1.2)
    expected = theirs.adjust_saturation(theirs.adjust_contrast(expected, 0.7), 1.3)
    torch.testing.assert_close(augmentation.coloured(image, factors), expected * 255, atol=0.02, rtol=0)
    torch.testing.assert_close(augmentation.coloured(image, torch.ones(1, 3)), image)


def test_parts_are_drawn_as_torchvision_draws_them():
    from torchvision.transforms import v2

    images = torch.zeros(3000, 1, 8, 12, dtype=torch.uint8)
    boxes, mirrored = augmentation.random_boxes(images, torch.Generator().manual_seed(0))
    assert (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 1 + 1e-6).all()
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(8)
    drawn = [transform.make_params([torch.zeros(1, 800, 1200)]) for _ in range(3000)]
    other = np.array([[p["left"] / 1200, p["top"] / 800, p["width"] / 1200, p["height"] / 800] for p in drawn])
    assert np.allclose(boxes.mean(0), other.mean(0), atol=0.015) and np.allclose(boxes.std(0), other.std(0), atol=0.015)
    assert abs(mirrored.float().mean() - 0.5) < 0.03


@pytest.mark.parametrize("name", ["crop_flip", "crop_flip_colour"])
def test_training_sees_changed_images_and_goes_on_to_the_same_bits(tmp_path, name):
    p = problem(LABELLED, UNLABELLED)
    seen = {}

    def trained(place, augment, stop=None):
        settings = config("source_only", steps=6, augment=augment, warm_up=0.5, clip=1.0, schedule="cosine")
        engine = run(tmp_path / place, settings)
        net = engine.net(p, "source")
        inner = label_loss(net)

        def loss(batch, progress):
            seen.setdefault(place, []).append(batch.source.inputs)
            if stop is not None and len(seen[place]) == stop:
                raise KeyboardInterrupt
            return inner(batch, progress)

        engine.train("source", {"net": net}, loss, p.batches(source=8))
        return net.state_dict()

    whole = trained("whole", name)
    with pytest.raises(KeyboardInterrupt):
        trained("cut", name, stop=5)
    resumed = trained("cut", name)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    plain = trained("plain", "none")
    assert any(not torch.equal(whole[key], plain[key]) for key in whole)
    first, unchanged = seen["whole"][0], p.batches(source=8)("source", 0).source.inputs
    assert first.dtype == torch.uint8 and first.shape == unchanged.shape and not torch.equal(first, unchanged)
    assert torch.equal(seen["plain"][0], unchanged) and isinstance(p.source, Labelled)
