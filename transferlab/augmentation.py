"""Random changes of a batch's inputs, on its device, by what a generator draws; see ``Batch.view``."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.data.contract import IMAGES, Kind


def perturbation(kind: Kind, shift: float, affine: float, noise: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The perturbations of French, Mackiewicz, Fisher (ICLR 2018), as a function of inputs and a generator.

    uint8 images [N, C, H, W] -> float32 levels from 0 to 255 and a little beyond: each is moved by an affine map I + A
    about its centre, A of normal numbers with deviation ``affine``, and by ``shift`` pixels at most in each direction;
    what comes in at the border has the image's mean. Noise of ``noise`` times the image's own deviation is added.
    Other inputs [N, ...] get noise alone, of ``noise`` times the deviation of each value over the batch.
    """

    def perturb(inputs: Tensor, generator: torch.Generator) -> Tensor:
        x = inputs.float()
        over = (1, 2, 3) if kind == IMAGES else 0
        variance, mean = torch.var_mean(x, dim=over, keepdim=True, correction=0)
        if kind == IMAGES:
            x = warped(x - mean, shift, affine, generator) + mean
        drawn = torch.randn(x.shape, generator=generator, device=x.device)
        return x + noise * variance.sqrt() * drawn

    return perturb


def warped(images: Tensor, shift: float, affine: float, generator: torch.Generator) -> Tensor:
    """float32 [N, C, H, W], each moved by a random affine map as above, bilinearly; 0 comes in at the border."""
    count, _, height, width = images.shape
    drawn = torch.randn(count, 2, 2, generator=generator, device=images.device)
    moved = torch.rand(count, 2, 1, generator=generator, device=images.device) * 2 - 1
    maps = torch.eye(2, device=images.device) + affine * drawn
    # What affine_grid wants is the way back, from where a pixel comes, in units of half the image.
    back = torch.linalg.inv(maps)
    half = torch.tensor([[width / 2], [height / 2]], device=images.device)
    there = torch.cat([back * (half.T / half), -(back @ (shift * moved)) / half], 2)
    grid = F.affine_grid(there, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


AREA, RATIO, STRENGTH, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 0.4, 10
"""Of a random part of an image: its area, its width over its height, how much its colours change; how often it is drawn
anew where it would not fit."""
GREY = (0.2989, 0.587, 0.114)
"""What red, green and blue weigh in a grey level (ITU-R BT.601)."""


def of_training(name: str, shown: float) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """The changes that ``train.augment`` calls ``name``, of uint8 images [N, C, H, W]; None for none.

    shown: the share of their sides that the net sees, about the middle. There the random part comes to lie, which is
    taken from the whole image (random resized crop, as torchvision draws it: Szegedy et al., CVPR 2015).
    """
    if name == "none":
        return None

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        x = parts(images.float(), *random_boxes(images, generator), shown)
        if name == "crop_flip_colour":
            x = coloured(x, 1 + STRENGTH * (2 * drawn(3, images, generator) - 1), shown)
        return x.round().clamp(0, 255).byte()

    return augment


def drawn(numbers: int, images: Tensor, generator: torch.Generator) -> Tensor:
    """So many uniform numbers from 0 to 1 for each image: float32 [N, numbers]."""
    return torch.rand(len(images), numbers, generator=generator, device=images.device)


def random_boxes(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Parts of images [N, C, H, W], as shares of their sides: left, top, width and height [N, 4]; whether mirrored [N].

    Of several drawn it is the first that lies within the image, or else the whole image.
    """
    height, width = images.shape[2:]
    area = AREA[0] + (AREA[1] - AREA[0]) * drawn(TRIES, images, generator)
    low, high = (torch.log(torch.tensor(end, device=images.device)) for end in RATIO)
    ratio = torch.exp(low + (high - low) * drawn(TRIES, images, generator))
    sides = torch.stack([(area * ratio * height / width).sqrt(), (area / ratio * width / height).sqrt()], 2)
    fits = (sides <= 1).all(2)
    first = fits.float().argmax(1)
    chosen = sides[torch.arange(len(images), device=images.device), first]
    chosen = torch.where(fits.any(1, keepdim=True), chosen, 1.0)
    corners = drawn(2, images, generator) * (1 - chosen)
    return torch.cat([corners, chosen], 1), drawn(1, images, generator)[:, 0] < 0.5


def parts(images: Tensor, boxes: Tensor, mirrored: Tensor, shown: float) -> Tensor:
    """float32 images [N, C, H, W] of which each ``box``, as of :func:`random_boxes`, fills the middle ``shown``."""
    corners, sides = boxes[:, :2], boxes[:, 2:]
    centres = 2 * corners + sides - 1  # from -1 to 1, as affine_grid has it
    scales = sides / shown
    maps = torch.zeros(len(images), 2, 3, device=images.device)
    maps[:, 0, 0] = torch.where(mirrored, -scales[:, 0], scales[:, 0])
    maps[:, 1, 1] = scales[:, 1]
    maps[:, :, 2] = centres
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def coloured(images: Tensor, factors: Tensor, shown: float = 1.0) -> Tensor:
    """float32 images [N, 1 or 3, H, W] of levels 0 to 255 with other brightness, contrast and saturation, one by one.

    factors: float32 [N, 3]; 1 changes nothing. Contrast is about the mean grey level of what the net sees.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    x = (images * brightness).clamp(0, 255)
    trim = [round(side * (1 - shown) / 2) for side in x.shape[2:]]
    seen = x[:, :, trim[0] : x.shape[2] - trim[0], trim[1] : x.shape[3] - trim[1]]
    x = torch.lerp(_grey(seen).mean((2, 3), keepdim=True).expand_as(x), x, contrast.expand_as(x)).clamp(0, 255)
    return torch.lerp(_grey(x).expand_as(x), x, saturation.expand_as(x)).clamp(0, 255)


def _grey(images: Tensor) -> Tensor:
    """[N, 1 or 3, H, W] -> [N, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(GREY, device=images.device).view(3, 1, 1)).sum(1, keepdim=True)
