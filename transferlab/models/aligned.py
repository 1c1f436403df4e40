"""A classifier of features that each domain brings into a common space by a map of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from transferlab.data.contract import Kind
from transferlab.models.convnet import ConvNet
from transferlab.models.predictor import Classifier, Predictor
from transferlab.models.zero_shot import check_vectors, vectors


class Nearest(nn.Module):
    """One nearest neighbour: scores [B, C], minus the distance to the nearest of ``points`` [N, d] of each class."""

    points: Tensor
    labels: Tensor

    def __init__(self, points: Tensor, labels: Tensor, classes: int):
        super().__init__()
        self.classes = classes
        self.register_buffer("points", points)
        self.register_buffer("labels", labels)

    def forward(self, features: Tensor) -> Tensor:
        distances = torch.cdist(features, self.points)
        of_class = distances.new_full((len(features), self.classes), torch.inf)
        return -of_class.scatter_reduce(1, self.labels.expand(len(features), -1), distances, "amin")


class Aligned(Predictor):
    """Features [B, d] of each domain's own affine map, of a net's last hidden layer or of the inputs as vectors.

    net: None for the inputs themselves, which are of a ``kind``. head: an SVM or :class:`Nearest`.
    """

    features_at = "hidden"

    def __init__(
        self, net: ConvNet | None, source: nn.Linear, target: nn.Linear, head: nn.Linear | Nearest, kind: Kind
    ):
        super().__init__()
        self.kind = kind
        self.net, self.maps, self.head = net, nn.ModuleDict({"source": source, "target": target}), head
        self.width = target.in_features

    def check(self, inputs: Tensor) -> None:
        if self.net is not None:
            return self.net.check(inputs)
        check_vectors(inputs, self.kind, self.width)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        net = self.net
        x = vectors(inputs, self.kind) if net is None else net.hidden(net.features(inputs, domain), domain)
        with torch.autocast(x.device.type, enabled=False):  # distances and margins need all the bits of float32
            features = self.maps[domain](x.float())
            return features, self.head(features)

    def description(self) -> dict[str, Any]:
        nearest = isinstance(self.head, Nearest)
        return {
            "net": Classifier(self.net).description() if self.net is not None else None,
            "classes": self.head.classes if nearest else self.head.out_features, "nearest": nearest, "kind": self.kind,
        }  # fmt: skip

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Aligned:
        size, width = tensors["maps.target.weight"].shape
        net = Classifier.rebuild(description["net"], tensors).net if description["net"] else None
        head: nn.Linear | Nearest = nn.Linear(size, description["classes"])
        if description["nearest"]:
            head = Nearest(tensors["head.points"], tensors["head.labels"], description["classes"])
        return cls(net, nn.Linear(width, size), nn.Linear(width, size), head, description["kind"])
