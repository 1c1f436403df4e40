"""What a method returns: scores and features of inputs, saved and loaded without running any code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transferlab.config import ModelConfig, build
from transferlab.models.convnet import ConvNet, DomainCritic, Preprocess
from transferlab.training import storage


class Predictor(nn.Module):
    """The common face of everything that a method may return.

    ``forward(inputs, domain)`` gives (features [B, F], scores [B, classes]); ``domains`` says of which domains'
    classes the scores are; ``critic`` is the domain critic, so that its accuracy can be measured.
    ``description`` is plain values, from which ``rebuild`` makes the module that the saved tensors fit.
    """

    domains: tuple[str, ...]
    critic: DomainCritic | None

    def __init__(self, domains: Sequence[str] = ("source", "target"), critic: DomainCritic | None = None):
        super().__init__()
        self.domains, self.critic = tuple(domains), critic

    def description(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Predictor:
        raise NotImplementedError


class Classifier(Predictor):
    """A trained :class:`ConvNet`, with what a method may put beside it.

    head: an affine map of the net's last hidden layer that replaces its own (an SVM, an aligned subspace).
    source_head: the same for inputs of the source domain, where a method treats the domains differently.
    critic: the domain critic.
    """

    def __init__(
        self,
        net: ConvNet,
        head: nn.Linear | None = None,
        source_head: nn.Linear | None = None,
        critic: DomainCritic | None = None,
        domains: Sequence[str] = ("source", "target"),
    ):
        super().__init__(domains, critic)
        self.net, self.head, self.source_head = net, head, source_head

    def forward(self, inputs: Tensor, domain: str = "target") -> tuple[Tensor, Tensor]:
        features = self.net.of(domain).features(inputs)
        hidden = self.net.hidden(features)
        head = self.source_head if domain == "source" and self.source_head is not None else self.head
        return features, (head or self.net.head)(hidden)

    def description(self) -> dict[str, Any]:
        heads = {name: getattr(self, name).out_features for name in ("head", "source_head") if getattr(self, name)}
        return {
            "model": dataclasses.asdict(self.net.config), "shape": list(self.net.shape),
            "classes": self.net.head.out_features, "normalised": self.net.domains, "heads": heads,
            "critic": self.critic is not None, "domains": list(self.domains),
        }  # fmt: skip

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Classifier:
        model = build(ModelConfig, description["model"], "model")
        preprocess = Preprocess.rebuild(model, tensors, "net.preprocess")
        net = ConvNet(model, description["classes"], description["shape"], preprocess, description["normalised"])
        heads = {name: nn.Linear(net.hidden_size, classes) for name, classes in description["heads"].items()}
        critic = DomainCritic(net, model) if description["critic"] else None
        return cls(net, critic=critic, domains=description["domains"], **heads)


def save(path: Path, predictor: Predictor, classes: Sequence[str]) -> None:
    """Write weights and description to one safetensors file."""
    description = {"kind": type(predictor).__name__, "classes": list(classes), **{"parts": predictor.description()}}
    storage.write(path, predictor.state_dict(), {"predictor": json.dumps(description)})


def load(path: Path) -> tuple[Predictor, tuple[str, ...]]:
    """The predictor saved at ``path`` and its class names.

    Raises :class:`~transferlab.errors.UserError` for a damaged file, and for weights that its description does not fit.
    """
    tensors, metadata = storage.read(path)
    description: dict[str, Any] = json.loads(metadata["predictor"])
    kinds = {kind.__name__: kind for kind in _kinds(Predictor)}
    predictor = kinds[description["kind"]].rebuild(description["parts"], tensors)
    storage.fill(predictor, tensors, path)
    return predictor.eval(), tuple(description["classes"])


def _kinds(base: type[Predictor]) -> list[type[Predictor]]:
    return [base, *(kind for sub in base.__subclasses__() for kind in _kinds(sub))]
