"""What a method returns: scores and features of images, saved and loaded without running any code."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferlab.config import ModelConfig, build
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.training import storage


class Classifier(nn.Module):
    """A trained :class:`ConvNet`, with what a method may put beside it.

    head: an affine map of the net's last hidden layer that replaces its own (an SVM, an aligned subspace).
    source_head: the same for images of the source domain, where a method treats the domains differently.
    critic: the domain critic, so that its accuracy can be measured on held-out images.
    """

    def __init__(
        self,
        net: ConvNet,
        head: nn.Linear | None = None,
        source_head: nn.Linear | None = None,
        critic: DomainCritic | None = None,
    ):
        super().__init__()
        self.net, self.head, self.source_head, self.critic = net, head, source_head, critic

    def forward(self, images: Tensor, domain: str = "target") -> tuple[Tensor, Tensor]:
        """uint8 images [B, C, H, W] -> (features [B, F], scores [B, classes])."""
        features = self.net.features(images)
        hidden = self.net.hidden(features)
        head = self.source_head if domain == "source" and self.source_head is not None else self.head
        return features, (head or self.net.head)(hidden)


def save(path: Path, predictor: Classifier, model: ModelConfig, classes: tuple[str, ...]) -> None:
    """Write weights and description to one safetensors file."""
    parts = [name for name in ("head", "source_head", "critic") if getattr(predictor, name) is not None]
    description = {"model": dataclasses.asdict(model), "classes": list(classes), "parts": parts}
    storage.write(path, predictor.state_dict(), {"predictor": json.dumps(description)})


def load(path: Path) -> tuple[Classifier, tuple[str, ...]]:
    """The predictor saved at ``path`` and its class names. Raises :class:`UserError` for a damaged file."""
    tensors, metadata = storage.read(path)
    description: dict[str, Any] = json.loads(metadata["predictor"])
    model, classes = build(ModelConfig, description["model"], "model"), tuple(description["classes"])
    net = ConvNet(model, len(classes), mean=tensors.get("net.preprocess.mean", torch.empty(0)).flatten() if
                  model.normalisation == "mean" else None)  # fmt: skip
    heads = {
        part: nn.Linear(net.hidden_size, len(classes)) if part != "critic" else DomainCritic(net, model)
        for part in description["parts"]
    }
    predictor = Classifier(net, **heads)  # type: ignore[arg-type]
    predictor.load_state_dict(tensors)
    return predictor.eval(), classes
