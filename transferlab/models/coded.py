"""A predictor on what a dictionary makes of its inputs (codes, clusters, components), or on raw values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from transferlab.data.contract import IMAGES, Kind
from transferlab.models.convnet import check_inputs, of_kind
from transferlab.models.predictor import Predictor
from transferlab.numerics.sparse_coding import encode

FEATURES = ("codes", "raw", "raw_codes", "pca", "kmeans")
TOLERANCE = 0.05
"""Of the codes of patches, relative to beta: only the largest of many is kept. Whole inputs are encoded to 0.001."""
CHUNK = 20_000
"""Patches that are described at a time: bounds the memory."""


class Encoder(nn.Module):
    """Inputs [B, ...] of a ``kind`` to ``features`` float32 [B, F] by a dictionary [K, D] of float32 rows.

    Inputs are flattened, images divided by 255, and described by their sparse codes (codes), codes beside the values
    (raw_codes), the values alone (raw), projections on the dictionary's rows (pca), or max(0, mean distance - distance)
    to each row (kmeans; Coates, Lee, Ng, AISTATS 2011). All but the values are of inputs centred by ``mean`` and
    divided by ``scale``.

    patch: images are described patch by patch, each without its own mean, ``stride`` pixels apart; a feature is then
    the largest magnitude in each of ``pool`` x ``pool`` cells of the image, [B, K pool^2] in all.
    """

    mean: Tensor
    scale: Tensor
    dictionary: Tensor

    def __init__(
        self,
        mean: Tensor,
        scale: Tensor,
        dictionary: Tensor,
        beta: float,
        features: str,
        kind: Kind,
        patch: int | None = None,
        stride: int = 1,
        pool: int = 1,
    ):
        super().__init__()
        assert features in FEATURES
        self.beta, self.features, self.kind = beta, features, kind
        self.patch, self.stride, self.pool = patch, stride, pool
        for name, tensor in (("mean", mean), ("scale", scale), ("dictionary", dictionary)):
            self.register_buffer(name, tensor)

    def forward(self, inputs: Tensor) -> Tensor:
        values = flat(inputs, self.kind)
        if self.features == "raw":
            return values / self.scale
        described = self.pooled(inputs) if self.patch else self.describe(values)
        return torch.cat([values / self.scale, described], 1) if self.features == "raw_codes" else described

    def describe(self, rows: Tensor) -> Tensor:
        """[N, D] -> [N, K]."""
        x = (rows - self.mean) / self.scale
        if self.features == "pca":
            return x @ self.dictionary.T
        if self.features == "kmeans":
            distance = torch.cdist(x, self.dictionary)
            return (distance.mean(1, keepdim=True) - distance).clamp(min=0)
        return encode(x, self.dictionary, self.beta, tolerance=TOLERANCE if self.patch else 1e-3)

    def pooled(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, K pool^2]."""
        assert self.patch is not None
        grid = patches(images, self.patch, self.stride)
        height, width = grid.shape[1:3]
        each = max(1, CHUNK // (height * width))
        found = []
        for part in grid.split(each):
            magnitude = self.describe(without_mean(part.flatten(3).flatten(0, 2), self.kind)).abs()
            maps = magnitude.unflatten(0, (len(part), height, width)).permute(0, 3, 1, 2)
            found.append(adaptive_max_pool2d(maps, self.pool).flatten(1))
        return torch.cat(found)

    def description(self) -> dict[str, Any]:
        names = ("beta", "features", "kind", "patch", "stride", "pool")
        return {name: getattr(self, name) for name in names}


class Coded(Predictor):
    """An :class:`Encoder` and an affine head on its features."""

    def __init__(self, encoder: Encoder, head: nn.Linear, scores_are_logits: bool):
        super().__init__(("target",), scores_are_logits=scores_are_logits)
        self.encoder, self.head = encoder, head

    def check(self, inputs: Tensor) -> None:
        values, side = self.encoder.mean.numel(), self.encoder.patch
        kind = self.encoder.kind
        if side is None:
            return check_values(inputs, kind, values)
        channels = values // side**2
        fits = inputs.dim() == 4 and inputs.shape[1] == channels and min(inputs.shape[2:]) >= side
        wanted = f"{kind} [B, {channels}, H, W] of at least {side} pixels"
        check_inputs(fits and of_kind(inputs, kind), wanted, inputs)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        features = self.encoder(inputs)
        return features, self.head(features)

    def description(self) -> dict[str, Any]:
        own = {"classes": self.head.out_features, "scores_are_logits": self.scores_are_logits}
        return {"encoder": self.encoder.description(), **own}

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Coded:
        head = nn.Linear(tensors["head.weight"].shape[1], description["classes"])
        mean, scale, dictionary = (tensors[f"encoder.{name}"] for name in ("mean", "scale", "dictionary"))
        encoder = Encoder(mean, scale, dictionary, **description["encoder"])
        return cls(encoder, head, description["scores_are_logits"])


def check_values(inputs: Tensor, kind: Kind, count: int) -> None:
    """Refuse inputs of another kind, or that do not have ``count`` values each."""
    fits = inputs.dim() > 1 and inputs[0].numel() == count and of_kind(inputs, kind)
    check_inputs(fits, f"{kind} [B, …] of {count} values each", inputs)


def flat(inputs: Tensor, kind: Kind) -> Tensor:
    """float32 [N, D] of inputs [N, ...] of a kind, images scaled to [0, 1]."""
    return inputs.flatten(1).float() / (255 if kind == IMAGES else 1)


def patches(images: Tensor, size: int, stride: int) -> Tensor:
    """A view of images [N, C, H, W] as their patches, [N, H', W', C, size, size]."""
    return images.unfold(2, size, stride).unfold(3, size, stride).permute(0, 2, 3, 1, 4, 5)


def without_mean(rows: Tensor, kind: Kind) -> Tensor:
    """Patches [N, D] of a kind of input as float32, of images in [0, 1], each minus its own mean."""
    values = flat(rows, kind)
    return values - values.mean(1, keepdim=True)
