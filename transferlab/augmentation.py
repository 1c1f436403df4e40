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
