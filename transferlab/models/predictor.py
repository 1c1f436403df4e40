"""What a method returns: scores and features of inputs, saved and loaded without running any code."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from transferlab import models, storage
from transferlab.build import build
from transferlab.config import ModelConfig
from transferlab.errors import UserError, nearest, require
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.models.normalisation import Preprocess


class Predictor(nn.Module):
    """The common face of everything that a method may return.

    Called with (inputs, domain) it gives (features [B, F], scores [B, classes]); ``domains`` says of which domains'
    classes the scores are; ``critic`` is the domain critic, so that its accuracy can be measured.
    ``scores_are_logits``: whether a softmax of the scores is the predictor's probabilities, which margins of an SVM,
    similarities and distances are not.
    A kind has ``answer``, which computes what a call gives, and ``check``, which refuses inputs of another shape.
    ``description`` is plain values, from which ``rebuild`` makes the module that the saved tensors fit.
    """

    domains: tuple[str, ...]
    critic: DomainCritic | None
    scores_are_logits: bool

    def __init__(
        self,
        domains: Sequence[str] = ("source", "target"),
        critic: DomainCritic | None = None,
        scores_are_logits: bool = False,
    ):
        super().__init__()
        self.domains, self.critic, self.scores_are_logits = tuple(domains), critic, scores_are_logits

    def forward(self, inputs: Tensor, domain: str = "target") -> tuple[Tensor, Tensor]:
        """Raises :class:`~transferlab.errors.UserError` for inputs of another shape than those it learned from."""
        self.check(inputs)
        return self.answer(inputs, domain)

    def check(self, inputs: Tensor) -> None:
        raise NotImplementedError

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

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
    scores_are_logits: not so where ``head`` is an SVM.
    features_at: which layer's outputs its features are, where the method brings the domains together: what the critic
    looks at, the last hidden layer, or the logits.
    """

    def __init__(
        self,
        net: ConvNet,
        head: nn.Linear | None = None,
        source_head: nn.Linear | None = None,
        critic: DomainCritic | None = None,
        domains: Sequence[str] = ("source", "target"),
        scores_are_logits: bool = True,
        features_at: Literal["critic", "hidden", "logits"] = "critic",
    ):
        super().__init__(domains, critic, scores_are_logits)
        self.net, self.head, self.source_head, self.features_at = net, head, source_head, features_at

    def check(self, inputs: Tensor) -> None:
        self.net.check(inputs)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        features = self.net.features(inputs, domain)
        hidden = self.net.hidden(features, domain)
        head = self.source_head if domain == "source" and self.source_head is not None else self.head
        scores = (head or self.net.head)(hidden)
        return {"critic": features, "hidden": hidden, "logits": scores}[self.features_at], scores

    def description(self) -> dict[str, Any]:
        heads = {name: getattr(self, name).out_features for name in ("head", "source_head") if getattr(self, name)}
        return {
            "model": dataclasses.asdict(self.net.config), "shape": list(self.net.shape),
            "classes": self.net.head.out_features, "domains_of_net": self.net.domains, "heads": heads,
            "normalisation": self.net.preprocess.how, "crop": self.net.preprocess.crop,
            "critic": self.critic is not None, "domains": list(self.domains),
            "scores_are_logits": self.scores_are_logits, "features_at": self.features_at,
        }  # fmt: skip

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Classifier:
        model = build(ModelConfig, description["model"], "model")
        crop = description.get("crop")
        preprocess = Preprocess.rebuild(description["normalisation"], tensors, "net.preprocess", crop)
        domains = description["domains_of_net"]
        net = ConvNet(model, description["classes"], description["shape"], preprocess, domains, begun=False)
        heads = {name: nn.Linear(net.hidden_size, classes) for name, classes in description["heads"].items()}
        critic = DomainCritic(net, model) if description["critic"] else None
        own: dict[str, Any] = {name: description[name] for name in ("domains", "scores_are_logits", "features_at")}
        return cls(net, critic=critic, **own | heads)


def save(path: Path, predictor: Predictor, classes: Sequence[str], source_classes: Sequence[str] = ()) -> None:
    """Write weights, description and the names of both domains' classes to one safetensors file."""
    names = {"classes": list(classes), "source_classes": list(source_classes)}
    description = {"kind": type(predictor).__name__, **names, "parts": predictor.description()}
    storage.write(path, predictor.state_dict(), {"predictor": json.dumps(description)})


def load(path: Path, domain: str = "target") -> tuple[Predictor, tuple[str, ...]]:
    """The predictor saved at ``path`` and the names of the classes that its scores for inputs of ``domain`` are of.

    Raises :class:`~transferlab.errors.UserError` for a damaged file, for a kind that this version does not know, and
    for weights that its description does not fit.
    """
    tensors, metadata = storage.read(path)
    require("predictor" in metadata, f"{path}: not a predictor; it is in the run's checkpoints/predictor.safetensors")
    known = kinds()
    try:
        description: Any = json.loads(metadata["predictor"])
        kind, parts = str(description["kind"]), description["parts"]
        classes = tuple(map(str, description["classes" if domain == "target" else "source_classes"]))
        hint = f"known are {', '.join(known)}{nearest(kind, known)}"
        require(kind in known, f"{path}: a predictor of unknown kind {kind}; {hint}")
        predictor = known[kind].rebuild(parts, tensors)
    except (TypeError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: does not describe a predictor ({type(error).__name__}: {reason})") from None
    storage.fill(predictor, tensors, path)
    return predictor.eval(), classes


def kinds() -> dict[str, type[Predictor]]:
    """Every kind of predictor in this package, whether or not its module has been imported."""
    for module in pkgutil.iter_modules(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    every = {kind.__name__: kind for kind in Predictor.__subclasses__()}
    return {name: kind for name, kind in every.items() if kind.__module__.startswith(f"{models.__name__}.")}
