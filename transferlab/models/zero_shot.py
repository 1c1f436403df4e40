"""Predictors for classes without samples: an embedding of inputs is compared with a code of each class."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.data.contract import IMAGES, Kind
from transferlab.models.convnet import check_inputs, of_kind
from transferlab.models.predictor import Predictor

COMPARISONS = ("dot", "cosine", "euclidean", "attributes")


class Lift(nn.Module):
    """Inputs of a ``kind`` as :func:`vectors` [B, D], centred, of mean square length 10.

    With ``landmarks`` [R, D] they become Nystrom features [B, R], whose dot products approximate a Gaussian kernel of
    the given ``width`` (Williams & Seeger, NIPS 2000), again centred and of that length.
    """

    def __init__(self, kind: Kind, tensors: dict[str, Tensor]):
        super().__init__()
        self.kind = kind
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    @classmethod
    def fitted(cls, inputs: Tensor, kind: Kind, rows: Tensor | None = None) -> Lift:
        """Centred and scaled by ``inputs`` [N, ...], whose ``rows`` are the landmarks, if there are to be any.

        The kernel's width is the median distance of landmarks.
        """
        x = vectors(inputs, kind)
        own = {"mean": x.mean(0), "scale": _scale(x)}
        if rows is None:
            return cls(kind, own)
        landmarks = cls(kind, own)(inputs[rows])
        own |= {"landmarks": landmarks, "width": torch.pdist(landmarks[:500].cpu()).median().to(x.device)}
        values, directions = torch.linalg.eigh(gaussian(landmarks, landmarks, own["width"]).double())
        whitening = (directions / values.clamp_min(1e-6).sqrt()).float()
        features = cls(kind, {**own, "whitening": whitening, "shift": whitening.new_zeros(len(whitening))})(inputs)
        scale = _scale(features)
        return cls(kind, {**own, "whitening": whitening / scale, "shift": features.mean(0) / scale})

    def forward(self, inputs: Tensor) -> Tensor:
        own = dict(self.named_buffers())
        x = (vectors(inputs, self.kind) - own["mean"]) / own["scale"]
        if "landmarks" not in own:
            return x
        parts = [gaussian(part, own["landmarks"], own["width"]) @ own["whitening"] for part in x.split(5000)]
        return torch.cat(parts) - own["shift"]


def _scale(x: Tensor) -> Tensor:
    return ((x - x.mean(0)).square().sum(1).mean() / 10).sqrt()


def vectors(inputs: Tensor, kind: Kind) -> Tensor:
    """Inputs [N, ...] as float32 [N, D]: images the mean of their channels, 0 to 1, all others as they are."""
    return inputs.float().mean(1).flatten(1) / 255 if kind == IMAGES else inputs.flatten(1)


def check_vectors(inputs: Tensor, kind: Kind, size: int) -> None:
    """Refuse inputs that :func:`vectors` would not make [B, size] of."""
    each = inputs.shape[2:] if kind == IMAGES else inputs.shape[1:]
    wanted = f"images [B, C, H, W] of {size} pixels" if kind == IMAGES else f"{kind} [B, …] of {size} values"
    check_inputs(of_kind(inputs, kind) and each.numel() == size, wanted, inputs)


def gaussian(a: Tensor, b: Tensor, width: Tensor) -> Tensor:
    """exp(-||a_i - b_j||^2 / (2 width^2)): [N, M] for [N, D] and [M, D]."""
    return torch.exp(-torch.cdist(a, b).square() / (2 * width**2))


class ZeroShot(Predictor):
    """Scores [B, C] of an embedding x W + b [B, E] against class codes [C_s + C_t, E].

    comparison: dot products, cosines, minus squared distances, or, for attributes, the log of direct attribute
    prediction: embeddings are logits of independent attributes, codes are 0 or 1, ``prior`` [E] their frequency.
    ``joint`` scores all classes, the source's first; ``penalty`` is taken from the source's (calibrated stacking:
    Chao et al., ECCV 2016).
    """

    weight: Tensor
    bias: Tensor
    codes: Tensor
    prior: Tensor | None

    def __init__(
        self,
        lift: Lift,
        weight: Tensor,
        bias: Tensor,
        codes: Tensor,
        seen: int,
        comparison: str,
        prior: Tensor | None = None,
        penalty: float = 0.0,
        top: int = 0,
    ):
        super().__init__()
        assert comparison in COMPARISONS
        self.lift, self.seen, self.comparison, self.penalty, self.top = lift, seen, comparison, penalty, top
        for name, tensor in (("weight", weight), ("bias", bias), ("codes", codes), ("prior", prior)):
            self.register_buffer(name, tensor)

    def embed(self, lifted: Tensor) -> Tensor:
        return compose(lifted @ self.weight + self.bias, self.codes[: self.seen], self.top)

    def scores_of_lifted(self, lifted: Tensor) -> Tensor:
        """Scores of lifted inputs over all classes, without the penalty: [B, C_s + C_t]."""
        return compare(self.embed(lifted), self.codes, self.comparison, self.prior)

    def joint(self, inputs: Tensor) -> Tensor:
        """Scores over the source's classes, less the penalty, and then the target's: [B, C_s + C_t]."""
        self.check(inputs)
        scores = self.scores_of_lifted(self.lift(inputs))
        return scores - self.penalty * (torch.arange(len(self.codes), device=scores.device) < self.seen)

    def check(self, inputs: Tensor) -> None:
        values = len(dict(self.lift.named_buffers())["mean"])
        check_vectors(inputs, self.lift.kind, values)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        lifted = self.lift(inputs)
        scores = self.scores_of_lifted(lifted)
        return self.embed(lifted), scores[:, : self.seen] if domain == "source" else scores[:, self.seen :]

    def description(self) -> dict[str, Any]:
        return {
            "kind": self.lift.kind,
            "seen": self.seen,
            "comparison": self.comparison,
            "penalty": self.penalty,
            "top": self.top,
        }

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> ZeroShot:
        own = dict(description)
        of_lift = {name.removeprefix("lift."): t for name, t in tensors.items() if name.startswith("lift.")}
        lift = Lift(own.pop("kind"), of_lift)
        weight, bias, codes = (tensors[name] for name in ("weight", "bias", "codes"))
        return cls(lift, weight, bias, codes, prior=tensors.get("prior"), **own)


def compose(outputs: Tensor, codes: Tensor, top: int) -> Tensor:
    """ConSE's embedding (Norouzi et al., ICLR 2014), where ``top`` is not 0: otherwise outputs come back as they are.

    Logits [B, C] become the mean of the ``top`` likeliest classes' codes [C, E], weighed by their probabilities.
    """
    if not top:
        return outputs
    probabilities, classes = outputs.softmax(1).topk(min(top, outputs.shape[1]), 1)
    return torch.einsum("bt,bte->be", probabilities / probabilities.sum(1, keepdim=True), codes[classes])


def compare(embedded: Tensor, codes: Tensor, comparison: str, prior: Tensor | None) -> Tensor:
    """Scores [B, C] of embeddings [B, E] against codes [C, E]."""
    if comparison == "dot":
        return embedded @ codes.T
    if comparison == "cosine":
        return F.normalize(embedded) @ F.normalize(codes).T
    if comparison == "euclidean":
        return -torch.cdist(embedded, codes).square()
    assert prior is not None
    # log prod_m p(a_m | x) / p(a_m), clamped: an attribute that all seen classes share says nothing.
    p = prior.clamp(0.01, 0.99)
    with_it, without = F.logsigmoid(embedded) - p.log(), F.logsigmoid(-embedded) - (1 - p).log()
    return with_it @ codes.T + without @ (1 - codes).T
