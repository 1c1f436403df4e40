"""Clusters of inputs, as a rule that also places inputs it has not seen."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from transferlab.data.contract import Kind
from transferlab.models.coded import check_values, flat
from transferlab.models.predictor import Predictor


class Clusters(Predictor):
    """Scores [B, K] of flattened inputs [B, D] of a kind for K clusters, affine: the highest is the cluster.

    Clusters carry no names: the evaluator matches them with the classes.
    """

    def __init__(self, head: nn.Linear, kind: Kind):
        super().__init__(domains=("target",))
        self.head, self.kind = head, kind

    def check(self, inputs: Tensor) -> None:
        check_values(inputs, self.kind, self.head.in_features)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        x = flat(inputs, self.kind)
        return x, self.head(x)

    def description(self) -> dict[str, Any]:
        return {"values": self.head.in_features, "clusters": self.head.out_features, "kind": self.kind}

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Clusters:
        return cls(nn.Linear(description["values"], description["clusters"]), description["kind"])
