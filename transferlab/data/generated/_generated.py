"""Images that are made here, and what cameras do to them, for whole batches.

Image tensors are float32 [B, C, H, W] in [0, 1] where nothing else is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transferlab.errors import require

if TYPE_CHECKING:
    from torch import Tensor

KERNEL = 9
"""Side of the largest blur, in pixels."""
# Quantisation tables of JPEG, ITU-T T.81, annex K.1, at quality 50.
LUMINANCE = """
    16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMINANCE = f"17 18 24 47 {'99 ' * 4} 18 21 26 66 {'99 ' * 4} 24 26 56 {'99 ' * 5} 47 66 {'99 ' * 38}"


def check(name: str, count: int, least: int, size: int, seed: int) -> None:
    """Refuse options that a generated set called ``name`` cannot have; ``least`` is its lowest count."""
    require(least <= count <= 10**6, f"{name}.count={count}: allowed is {least} to 1,000,000")
    fits = size % 8 == 0 and 16 <= size <= 128
    require(fits, f"{name}.size={size}: allowed are multiples of 8 from 16 to 128 pixels")
    require(seed >= 0, f"{name}.seed={seed}: must not be negative")


def versioned(edition: str, version: int) -> str:
    """The edition of what a generator's ``version`` makes: other images are another edition."""
    return edition if version == 1 else f"{edition}-v{version}"


def balanced(count: int, classes: int, seed: int, split: str) -> np.ndarray:
    """int64 [count]: each class as often as the others, except for one, in random order."""
    return np.random.default_rng([seed, split == "test"]).permutation(np.arange(count) % classes)


@dataclass(frozen=True)
class Draws:
    """Random numbers for each of ``count`` images."""

    rng: np.random.Generator
    count: int

    def uniform(self, low: float, high: float, share: float = 1.0, other: float = 0.0) -> np.ndarray:
        """float64 [B] between low and high in a share of the images, ``other`` in the rest."""
        values = self.rng.uniform(low, high, self.count)
        return np.where(self.rng.random(self.count) < share, values, other)

    def normal(self, deviation: float, columns: int | None = None) -> np.ndarray:
        """float64 [B] or [B, columns] around 0, three deviations at most."""
        shape = self.count if columns is None else (self.count, columns)
        return deviation * np.clip(self.rng.standard_normal(shape), -3, 3)


def column(values: np.ndarray) -> Tensor:
    """[B] or [B, C] as float32 [B, 1 or C, 1, 1]."""
    import torch

    return torch.from_numpy(values.astype(np.float32)).reshape(len(values), -1, 1, 1)


def places(size: int) -> tuple[Tensor, Tensor]:
    """x and y of each pixel, [1, 1, S, S] from -1 to 1."""
    import torch

    steps = (torch.arange(size, dtype=torch.float32) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x[None, None], y[None, None]


def slope(draws: Draws, size: int) -> Tensor:
    """[B, 1, S, S]: how far each pixel lies in a random direction from the middle, which is 0, as the edges are 1."""
    x, y = places(size)
    angle = draws.uniform(0, 2 * np.pi)
    return x * column(np.cos(angle)) + y * column(np.sin(angle))


def poses(
    place: np.ndarray, turn: np.ndarray, wide: np.ndarray, tall: np.ndarray, slant: np.ndarray, far: np.ndarray
) -> np.ndarray:
    """Homographies [B, 3, 3] from places (x, y, 1) in a picture to those in the image; both reach from -1 to 1.

    The picture becomes ``wide`` and ``tall`` [B] as shares of the image, slanted, turned clockwise by degrees, put at
    ``place`` [B, 2]; ``far`` [B, 2] is how much farther away it is towards the right and below.
    """
    angle = np.radians(turn)
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros(len(turn)), np.ones(len(turn))
    shape = np.array([[wide, slant, zero], [zero, tall, zero], [*far.T, one]])
    stand = np.array([[c, -s, place[:, 0]], [s, c, place[:, 1]], [zero, zero, one]])
    return stand.transpose(2, 0, 1) @ shape.transpose(2, 0, 1)


def warped(sources: Tensor, to_source: np.ndarray, size: int) -> Tensor:
    """``sources`` [B, C, h, w] seen through homographies [B, 3, 3], in [B, C, size, size]; nothing is 0.

    to_source takes a place (x, y, 1) of the result to one of the source; both pictures reach from -1 to 1.
    Bilinear on a grid twice as fine, then averaged.
    """
    import torch
    import torch.nn.functional as F

    steps = (torch.arange(2 * size, dtype=torch.float32) + 0.5) / size - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    m = torch.from_numpy(to_source.astype(np.float32))[:, :, :, None, None]
    u, v, w = (m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in range(3))
    grid = torch.stack([u / w, v / w], -1)
    return F.avg_pool2d(F.grid_sample(sources, grid, align_corners=False), 2)


def blurred(images: Tensor, along: np.ndarray, across: np.ndarray, angle: np.ndarray, fringe: np.ndarray) -> Tensor:
    """Each image [3, H, W] under a Gaussian with standard deviations [B] in pixels along and across a direction.

    Focus blurs all directions, motion one of them. fringe [B]: how many pixels a lens shifts red forwards and blue
    backwards. angle [B]: of the direction, in radians.
    """
    import torch
    import torch.nn.functional as F

    reach = KERNEL // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    c, s, along, across = (v[:, None, None, None] for v in (np.cos(angle), np.sin(angle), along, across))
    shift = fringe[:, None, None, None] * np.array([1, 0, -1])[:, None, None]
    kernels = np.exp(-(((c * x + s * y + shift) / along) ** 2 + ((c * y - s * x) / across) ** 2) / 2)
    kernels /= kernels.sum((2, 3), keepdims=True)
    weight = torch.from_numpy(kernels.astype(np.float32)).flatten(0, 1)[:, None]
    padded = F.pad(images, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
    return F.conv2d(padded, weight, groups=padded.shape[1]).view(images.shape)


def jpeg(images: Tensor, quality: np.ndarray) -> Tensor:
    """Images [B, 3, H, W] after JPEG's quantisation of 8x8 blocks with quality [B], 1 to 100; H, W multiples of 8.

    The tables of annex K.1 scaled as the Independent JPEG Group does; chroma is not subsampled, nothing is rounded
    but the coefficients.
    """
    import torch

    to_ycc = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    i = np.arange(8)
    rows = np.cos((2 * i + 1) * i[:, None] * np.pi / 16) * np.where(i[:, None] == 0, np.sqrt(1 / 8), 0.5)
    dct = torch.from_numpy(rows.astype(np.float32))
    scale = np.where(quality < 50, 50 / quality, 2 - quality / 50)
    tables = np.array([[int(n) for n in text.split()] for text in (LUMINANCE, CHROMINANCE, CHROMINANCE)])
    table = np.clip(np.floor(tables * scale[:, None, None] + 0.5), 1, 255).reshape(-1, 3, 1, 1, 8, 8)
    steps = torch.from_numpy(table.astype(np.float32))
    batch, _, height, width = images.shape
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, images * 255 - torch.tensor([128.0]))
    blocks = ycc.view(batch, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = torch.round(dct @ blocks @ dct.T / steps) * steps
    ycc = (dct.T @ coefficients @ dct).transpose(3, 4).reshape(images.shape)
    return (torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), ycc) + 128).clamp(0, 255) / 255


def bytes_of(images: Tensor) -> np.ndarray:
    """uint8 of [0, 1]."""
    return (images.clamp(0, 1) * 255).round().byte().numpy()


def camera(draws: Draws, image: Tensor) -> Tensor:
    """Haze, blur of focus and motion, a lens's coloured fringes, a sensor's noise; on half of the images JPEG."""
    import torch

    haze = column(draws.uniform(0, 0.3, share=0.25))
    image = image * (1 - haze) + haze * column(draws.uniform(0.2, 0.9))
    pixel = image.shape[-1] / 40
    focus = draws.uniform(0.3, 1.1) * pixel
    motion = draws.uniform(0, 1.6, share=0.35) * pixel
    fringe = draws.uniform(-0.8, 0.8, share=0.4) * pixel
    image = blurred(image, focus + motion, focus, draws.uniform(0, 2 * np.pi), fringe)
    noise = torch.from_numpy(draws.rng.standard_normal(image.shape, np.float32))
    image = (image + noise * column(np.exp(draws.uniform(np.log(0.002), np.log(0.025))))).clamp(0, 1)
    quality = draws.uniform(40, 95, share=0.5)
    packed = quality > 0
    image[torch.from_numpy(packed)] = jpeg(image[torch.from_numpy(packed)], quality[packed])
    return image
