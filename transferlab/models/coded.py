"""A predictor on sparse codes, principal components or raw values of its inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from transferlab.models.predictor import Predictor
from transferlab.numerics.sparse_coding import encode

FEATURES = ("codes", "raw", "raw_codes", "pca")


class Coded(Predictor):
    """Features of inputs [B, ...] by a dictionary [K, D] of float32 rows, and an affine head on them.

    Inputs are flattened, images divided by 255, centred and divided by ``scale``. Features are the sparse codes
    [B, K], the values themselves [B, D], both, or the projections on the dictionary's rows (pca).
    """

    mean: Tensor
    scale: Tensor
    dictionary: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, dictionary: Tensor, beta: float, features: str, head: nn.Linear):
        super().__init__(domains=("target",))
        assert features in FEATURES
        self.beta, self.kind, self.head = beta, features, head
        for name, tensor in (("mean", mean), ("scale", scale), ("dictionary", dictionary)):
            self.register_buffer(name, tensor)

    def features(self, inputs: Tensor) -> Tensor:
        return featurise(centred(inputs, self.mean, self.scale), self.dictionary, self.beta, self.kind)

    def forward(self, inputs: Tensor, domain: str = "target") -> tuple[Tensor, Tensor]:
        features = self.features(inputs)
        return features, self.head(features)

    def description(self) -> dict[str, Any]:
        return {"beta": self.beta, "features": self.kind, "classes": self.head.out_features}

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Coded:
        head = nn.Linear(tensors["head.weight"].shape[1], description["classes"])
        mean, scale, dictionary = (tensors[name] for name in ("mean", "scale", "dictionary"))
        return cls(mean, scale, dictionary, description["beta"], description["features"], head)


def flat(inputs: Tensor) -> Tensor:
    """float32 [N, D], images scaled to [0, 1]."""
    return inputs.flatten(1).float() / (255 if inputs.dtype == torch.uint8 else 1)


def centred(inputs: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return (flat(inputs) - mean) / scale


def featurise(x: Tensor, dictionary: Tensor, beta: float, kind: str) -> Tensor:
    """What ``kind`` names, of centred inputs [N, D]."""
    if kind == "raw":
        return x
    if kind == "pca":
        return x @ dictionary.T
    codes = encode(x, dictionary, beta)
    return torch.cat([x, codes], 1) if kind == "raw_codes" else codes
