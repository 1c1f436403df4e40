import numpy as np
import pytest
import torch

from tests.conftest import config, problem, run
from transferlab.augmentation import perturbation, warped
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.domain_adaptation import mean_teacher
from transferlab.methods.domain_adaptation.mean_teacher import consistency


def test_consistency_against_numpy():
    rng = np.random.default_rng(0)
    p, q = (rng.dirichlet(np.ones(3), 5) for _ in range(2))
    q[:2] = [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]
    m = (q.max(1) > 0.95).astype(float)
    assert m.sum() == 2
    agreement = (m * ((p - q) ** 2).mean(1)).mean()
    mean = p.mean(0)
    balance = m.mean() * -(np.log(mean) / 3 + 2 / 3 * np.log(1 - mean)).sum()
    found = consistency(torch.tensor(p), torch.tensor(q), 0.95)
    np.testing.assert_allclose([x.item() for x in found], [agreement, balance], rtol=1e-4)
    assert consistency(torch.tensor(p), torch.tensor(q), 0.99)[0] == 0


def test_the_teacher_follows_the_student(tmp_path):
    settings, p = config("mean_teacher", steps=3, log_every=1), problem(LABELLED, UNLABELLED)
    engine = run(tmp_path, settings)
    start = dict(engine.net(p).named_parameters())
    still = mean_teacher.fit(mean_teacher.Config(decay=1 - 1e-9), p, run(tmp_path / "still", settings)).net
    at_once = mean_teacher.fit(mean_teacher.Config(decay=0.0), p, run(tmp_path / "at once", settings)).net
    for name, parameter in still.named_parameters():
        torch.testing.assert_close(parameter, start[name], atol=1e-6, rtol=0)
    moved = max((parameter - start[name]).abs().max() for name, parameter in at_once.named_parameters())
    assert moved > 1e-3  # as the student does


def test_the_teacher_has_statistics_of_the_target_alone_for_it(tmp_path):
    """Whatever the source looks like, the teacher's answers on the target know nothing of it but by its weights."""
    settings, p = config("mean_teacher", steps=20, lr=1e-9), problem(LABELLED, UNLABELLED)
    settings.model.batch_norm = True
    net = mean_teacher.fit(mean_teacher.Config(noise=0.0, affine=0.0, shift=0.0), p, run(tmp_path, settings)).eval().net
    with torch.no_grad():
        maps = [net.extractor[0](net.preprocess(view.inputs)).mean((0, 2, 3)) for view in p.seen()]
    own, other = ((net.extractor[1].running_mean - torch.stack(order)).norm(dim=1) for order in (maps, maps[::-1]))
    assert (own < 0.5 * other).all()


def generator():
    return torch.Generator().manual_seed(3)


def test_without_a_perturbation_inputs_are_as_they_were():
    pixels = torch.randint(0, 256, (5, 3, 9, 8), dtype=torch.uint8)
    torch.testing.assert_close(perturbation("images", 0, 0, 0)(pixels, generator()), pixels.float(), atol=1e-3, rtol=0)
    rows = torch.randn(5, 3)
    assert torch.equal(perturbation("vectors", 2, 0.1, 0)(rows, generator()), rows)


def test_an_image_is_moved_as_by_scipy():
    from scipy.ndimage import affine_transform

    images = torch.rand(6, 1, 12, 12)
    found = warped(images, 2.0, 0.1, generator())
    again = generator()
    maps = torch.eye(2) + 0.1 * torch.randn(6, 2, 2, generator=again)
    moved = 2.0 * (torch.rand(6, 2, 1, generator=again) * 2 - 1)
    flip = np.array([[0, 1], [1, 0]])  # SciPy counts rows first
    for image, a, b, ours in zip(images, maps.numpy(), moved.numpy(), found, strict=True):
        back, centre = flip @ np.linalg.inv(a) @ flip, np.array([5.5, 5.5])
        offset = centre - back @ (centre + flip @ b[:, 0])
        theirs = affine_transform(image[0].numpy(), back, offset, order=1, mode="grid-constant")
        np.testing.assert_allclose(ours[0], theirs, atol=1e-4)


@pytest.mark.parametrize("kind", ["images", "vectors"])
def test_noise_is_a_share_of_the_inputs_own_deviation(kind):
    inputs = torch.randint(0, 256, (40, 3, 30, 30), dtype=torch.uint8) if kind == "images" else torch.randn(4000, 3) * 7
    added = perturbation(kind, 0, 0, 0.1)(inputs, generator()) - inputs.float()
    torch.testing.assert_close(added.std(), 0.1 * inputs.float().std(), rtol=0.05, atol=0)
