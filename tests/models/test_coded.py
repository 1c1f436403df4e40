import numpy as np
import pytest
import torch

from transferlab.data import contract
from transferlab.models.coded import Encoder, flat, patches, without_mean
from transferlab.numerics.sparse_coding import encode

GENERATOR = torch.Generator().manual_seed(0)
DICTIONARY = torch.nn.functional.normalize(torch.randn(6, 16, generator=GENERATOR), dim=1)
PIXELS = torch.randint(0, 256, (3, 1, 11, 10), generator=GENERATOR, dtype=torch.uint8)


def encoder(features="codes", dictionary=DICTIONARY, kind=contract.IMAGES, **options):
    size = dictionary.shape[1]
    return Encoder(torch.full((size,), 0.1), torch.tensor(0.5), dictionary, 0.3, features, kind, **options)


def test_patches_are_described_one_by_one_and_pooled():
    found = encoder(patch=4, stride=2, pool=2)(PIXELS)
    # 11 pixels have room for patches at 0, 2, 4, 6; 10 pixels for the same four.
    expected = torch.zeros(3, 6, 2, 2)
    for n in range(3):
        for row in range(4):
            for column in range(4):
                cut = PIXELS[n, 0, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4].flatten().float() / 255
                x = (cut - cut.mean() - 0.1) / 0.5
                codes = encode(x[None], DICTIONARY, 0.3, tolerance=1e-4)[0].abs()
                cell = expected[n, :, row // 2, column // 2]
                torch.maximum(cell, codes, out=cell)
    torch.testing.assert_close(found, expected.flatten(1), atol=0.02, rtol=0)
    assert found.any()


def test_images_are_described_the_same_in_any_company(monkeypatch):
    whole = encoder(patch=4, stride=1, pool=2)(PIXELS)
    monkeypatch.setattr("transferlab.models.coded.CHUNK", 1)
    torch.testing.assert_close(encoder(patch=4, stride=1, pool=2)(PIXELS), whole, atol=0.02, rtol=0)


def test_patches_of_colour_images_are_numpys():
    colour = torch.randint(0, 256, (2, 3, 9, 8), generator=GENERATOR, dtype=torch.uint8)
    theirs = np.lib.stride_tricks.sliding_window_view(colour.numpy(), (4, 4), axis=(2, 3))[:, :, ::3, ::3]
    assert np.array_equal(patches(colour, 4, 3), theirs.transpose(0, 2, 3, 1, 4, 5))
    assert without_mean(colour.flatten(1), contract.IMAGES).mean(1).abs().max() < 1e-6


def test_clusters_are_coates_triangle():
    x = torch.randn(5, 16, generator=GENERATOR)
    scaled = (x.numpy() - 0.1) / np.float32(0.5)
    distances = np.array([[np.linalg.norm(row - centre) for centre in DICTIONARY.numpy()] for row in scaled])
    expected = np.maximum(0, distances.mean(1, keepdims=True) - distances)
    np.testing.assert_allclose(encoder("kmeans", kind=contract.VECTORS)(x), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["raw", "raw_codes", "pca"])
def test_whole_inputs(kind):
    images = PIXELS[:, :, :4, :4]
    values, x = flat(images, contract.IMAGES) / 0.5, (flat(images, contract.IMAGES) - 0.1) / 0.5
    expected = {
        "raw": values, "pca": x @ DICTIONARY.T, "raw_codes": torch.cat([values, encode(x, DICTIONARY, 0.3)], 1),
    }[kind]  # fmt: skip
    torch.testing.assert_close(encoder(kind)(images), expected)
