"""Inputs as networks want them, and layers that normalise: what keeps the domains apart by being told of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, VECTORS, Kind
from transferlab.errors import require
from transferlab.inputs import Inputs, at_once
from transferlab.models.architectures import NORMALISATIONS, OF_WEIGHTS, ONE_DOMAIN, is_pretrained, normalisation_of
from transferlab.weights import recipe

Domains = str | Sequence[tuple[str, int]] | None
"""Of which domain inputs are: of source or target all, or so many of each, one after the other; None: not said."""
DOMAINS = ("source", "target")


@contextmanager
def said(modules: nn.Module, domains: Domains) -> Iterator[None]:
    """Inside, layers that keep the domains apart treat what passes them as inputs of ``domains``."""
    layers = [module for module in modules.modules() if isinstance(module, BatchNorm | Preprocess)]
    for layer in layers:
        layer.said = domains
    try:
        yield
    finally:
        for layer in layers:
            layer.said = None


def by_domain(x: Tensor, rows: int, domains: Domains) -> list[tuple[Tensor, int]]:
    """Parts of [B, ...] that are of one domain each, and which of ``rows`` of statistics is its own."""
    if rows == 1:
        return [(x, 0)]
    if domains is None:
        raise RuntimeError("the net keeps the domains apart; say of which its inputs are")
    if isinstance(domains, str):
        return [(x, DOMAINS.index(domains))]
    parts = x.split([count for _, count in domains])
    return [(part, DOMAINS.index(name)) for part, (name, _) in zip(parts, domains, strict=True)]


def whole(parts: Sequence[Tensor]) -> Tensor:
    """Parts [B_i, ...] as one [B, ...]; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


PIECE = 2**26
"""Numbers that are summed in float64 at a time: half a GiB of them."""
OWN: dict[str, tuple[int, ...]] = {"image": (1, 2, 3), "channel": (2, 3)}
"""Which dimensions of [B, C, H, W] an image's own mean and variance go over."""


class Preprocess(nn.Module):
    """Inputs as the network wants them, float32, brought to it by one of :data:`NORMALISATIONS`, ``how``.

    uint8 images [B, C, H, W] -> [B, 3, H, W], scaled to [0, 1]; mean: subtracts the channel means ``mean`` [3], the
    papers' only preprocessing; image, channel: each image is brought to zero mean and unit variance, over all its
    values or channel by channel; weights: of the middle ``crop`` pixels, less ``mean`` [3], divided by ``deviation``
    [3], as trained weights want them.

    Other inputs [B, ...] keep their shape. standardise: by ``mean`` and ``deviation`` [1, D], for spectrograms [1, 1];
    domain: by those of the input's own domain, [domains, D]; l1, l2: each vector to a sum of magnitudes or a length of
    1; none: nothing.
    """

    said: Domains = None
    mean: Tensor | None
    deviation: Tensor | None

    def __init__(self, how: str, mean: Tensor | None = None, deviation: Tensor | None = None, crop: int | None = None):
        super().__init__()
        self.how, self.crop = how, crop
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    @classmethod
    def rebuild(cls, how: str, tensors: Mapping[str, Tensor], place: str, crop: int | None = None) -> Preprocess:
        """The preprocessing whose tensors were saved under names that begin with ``place``."""
        return cls(how, tensors.get(f"{place}.mean"), tensors.get(f"{place}.deviation"), crop)

    def side(self, side: int) -> int:
        """How many pixels of ``side`` the network sees."""
        return side if self.crop is None else self.crop

    @property
    def of_images(self) -> bool:
        return self.how in (OF_WEIGHTS, *NORMALISATIONS[IMAGES])

    def forward(self, inputs: Tensor) -> Tensor:
        if self.of_images:
            return self._of_images(inputs)
        if self.how in ("l1", "l2"):
            return F.normalize(inputs, p=int(self.how[1]), dim=1)
        if self.mean is None:
            return inputs
        assert self.deviation is not None
        parts = by_domain(inputs, len(self.mean), self.said)
        return whole([(part - self.mean[row]) / self.deviation[row] for part, row in parts])

    def _of_images(self, inputs: Tensor) -> Tensor:
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in inputs.shape[2:])
            inputs = inputs[:, :, top : top + self.crop, left : left + self.crop]
        if self.mean is not None:  # before the change of order, after which it would take three times as long
            x = inputs.to(torch.float32, copy=True).div_(255) - self.mean.view(1, 3, 1, 1)
            if self.deviation is not None:
                x = x.div_(self.deviation.view(1, 3, 1, 1))
            return x.contiguous(memory_format=torch.channels_last)
        x = inputs.expand(-1, 3, -1, -1).to(torch.float32, copy=True, memory_format=torch.channels_last).div_(255)
        variance, mean = torch.var_mean(x, dim=OWN[self.how], keepdim=True, correction=0)
        return x.sub_(mean).mul_((variance + 1e-5).rsqrt())


def normalisation(config: ModelConfig, kind: Kind, samples: Sequence[Inputs]) -> Preprocess:
    """The preprocessing fitted on training inputs of one kind, of one or more domains, which weigh the same.

    Raises :class:`~transferlab.errors.UserError` where ``config.normalisation`` is for another kind of input.
    """
    how = normalisation_of(config, kind)
    if how == OF_WEIGHTS:
        return of_weights(config)
    if how == "mean":
        return Preprocess(how, torch.stack([mean_over_images(part).expand(3) for part in samples]).mean(0))
    if how not in ("standardise", "domain"):
        return Preprocess(how)
    means = torch.stack([_mean(part, kind) for part in samples])  # [domains, D]
    if how == "standardise":
        means = means.mean(0, keepdim=True)
    else:
        require(len(samples) > 1, ONE_DOMAIN)
    # In a second pass: the difference of mean squares and squared mean would leave nothing of a small deviation.
    about = means.expand(len(samples), -1)
    squares = [_mean(part, kind, mean) for part, mean in zip(samples, about, strict=True)]
    variance = torch.stack(squares) if how == "domain" else torch.stack(squares).mean(0, keepdim=True)
    return Preprocess(how, means.float(), or_one(variance.sqrt(), means).float())


def of_weights(config: ModelConfig) -> Preprocess:
    """What the trained weights of ``config`` want: of images of its input size the same share as of their recipe's."""
    wanted = recipe(config.name, config.weights)
    crop = round(config.input_size * wanted.crop / wanted.resize)
    return Preprocess(OF_WEIGHTS, torch.tensor(wanted.mean), torch.tensor(wanted.deviation), crop)


def shown(config: ModelConfig) -> float:
    """Which share of the sides of images of its input size the net of ``config`` sees, about the middle."""
    weights = is_pretrained(config) and config.normalisation == "auto"
    return of_weights(config).side(config.input_size) / config.input_size if weights else 1.0


def or_one(deviation: Tensor, mean: Tensor) -> Tensor:
    """``deviation``, or 1 where it is nothing beside ``mean`` in float32: a constant is not to be blown up."""
    return torch.where(deviation > torch.finfo(torch.float32).eps * mean.abs(), deviation, 1.0)


def _mean(inputs: Inputs, kind: Kind, about: Tensor | None = None) -> Tensor:
    """float64 means of inputs [N, ...], in pieces: of each feature of vectors [D], of all values of spectrograms [1].

    about: of the squares of their distances from it. On the CPU, for not every accelerator has float64.
    """
    total, values = torch.zeros((), dtype=torch.float64), math.prod(inputs.shape[1:])
    for part in inputs.split(max(1, PIECE // values)):
        exact = part.cpu().double()
        exact = exact if about is None else (exact - about).square()
        total = total + (exact.sum(0) if kind == VECTORS else exact.sum().view(1))
    return total / (len(inputs) if kind == VECTORS else len(inputs) * values)


def mean_over_images(inputs: Inputs) -> Tensor:
    """Channel means of uint8 [N, C, H, W], scaled to [0, 1]: float32 [C]; exact sums, in pieces."""
    # Whole numbers of 32 bits hold an image's sum, and are added twice as fast as those of 64.
    sums = (part.flatten(2).sum(2, dtype=torch.int32).sum(0) for part in inputs.split(at_once(inputs.shape)))
    total = sum(sums, start=torch.zeros(inputs.shape[1], dtype=torch.int64, device=inputs.device))
    return (total.double() / (255 * len(inputs) * math.prod(inputs.shape[2:]))).float()


class BatchNorm(nn.Module):
    """Batch normalisation of [B, F, ...] with statistics for each of ``domains``; scale and shift are shared.

    Inputs are normalised with others of their own domain alone, in training by the batch's statistics and otherwise by
    running ones (Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, 2016). With one domain it
    is the usual layer. after: an activation that is a part of the layer, as in timm's.
    """

    said: Domains = None
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, features: int, domains: int, eps: float = 1e-5, momentum: float = 0.1, after: nn.Module | None = None
    ):
        super().__init__()
        self.eps, self.momentum, self.after = eps, momentum, after
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(domains, features))
        self.register_buffer("running_var", torch.ones(domains, features))

    def forward(self, x: Tensor) -> Tensor:
        parts = by_domain(x, len(self.running_mean), self.said)
        normalised = whole([self._normalised(part, row) for part, row in parts])
        return normalised if self.after is None else self.after(normalised)

    def _normalised(self, x: Tensor, row: int) -> Tensor:
        mean, variance = self.running_mean[row], self.running_var[row]
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps)


NORMS = (BatchNorm, nn.BatchNorm2d, nn.LayerNorm)
"""What belongs to the layer before it."""
