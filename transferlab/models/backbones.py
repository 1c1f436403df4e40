"""torchvision's classification models as feature extractors: without the layer of their classes, cut into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
import torchvision
from torch import Tensor, nn

from transferlab.errors import UserError, require
from transferlab.models.normalisation import NORMS, BatchNorm

WITH_MORE_OUTPUTS = ("googlenet", "inception_v3")
"""They give auxiliary classifiers' outputs too, which no method here would train."""

ROWS = ("features", "layers", "trunk_output")
"""What models call the row of their blocks, where it is one child."""


def names() -> list[str]:
    """Every model that there is, by torchvision's name."""
    every = torchvision.models.list_models(module=torchvision.models)
    return [name for name in every if name not in WITH_MORE_OUTPUTS]


def backbone(name: str, side: int, domains: int) -> nn.Sequential:
    """A freshly initialised model for float32 images [B, 3, side, side], from the input to features [B, F].

    Its elements follow each other as in the model's own forward pass, which is tried; a model that is no row of blocks
    is one block. Its batch normalisation keeps so many ``domains`` apart. Raises
    :class:`~transferlab.errors.UserError` for images that are too small for it.
    """
    own = {"image_size": side} if name.startswith("vit") else {"input_size": (side, side)} if name == "maxvit_t" else {}
    try:
        model = torchvision.models.get_model(name, weights=None, **own)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            blocks = _in_a_row(model.eval(), torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side)).train()
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"model={name}: cannot take images of {side} x {side} pixels ({reason})") from None
    return _parted(blocks, domains) if domains > 1 else blocks


@cache
def depth(name: str, side: int) -> int:
    """How many blocks learn in the model ``name``, for images of so many pixels."""
    with torch.random.fork_rng(devices=[]):
        row = backbone(name, side, 1)
    return sum(bool(list(block.parameters())) and not isinstance(block, NORMS) for block in row)


def _in_a_row(model: nn.Module, probe: Tensor) -> nn.Sequential:
    """The model without the layer of its classes as a row of blocks that computes the same of ``probe``."""
    *before, (place, classifier) = model.named_children()
    stages: list[nn.Module] = []
    for name, child in before:
        stages += child.children() if name in ROWS else [child]
    rest = _without_class_layer(classifier)
    setattr(model, place, nn.Sequential(*rest))
    expected = model(probe)
    for part in rest:
        if isinstance(part, nn.Dropout):  # in another place it would overwrite what its neighbour's gradient needs
            part.inplace = False
    pool = nn.AdaptiveAvgPool2d(1)
    for ending in _endings(rest, pool):
        row = nn.Sequential(*stages, *ending).eval()
        try:
            features = row(probe)
        except (RuntimeError, ValueError, AssertionError):  # shapes that do not fit
            continue
        if features.shape == expected.shape and torch.allclose(features, expected, atol=1e-5):
            return row
    return nn.Sequential(model, nn.Flatten())


def _endings(rest: list[nn.Module], pool: nn.Module) -> Iterator[list[nn.Module]]:
    """What models do between their last block and their classifier, in their code or as modules."""
    yield [nn.Flatten(), *rest]
    yield [*rest, nn.Flatten()]
    yield [pool, nn.Flatten(), *rest]
    yield [nn.ReLU(), pool, nn.Flatten(), *rest]


def _without_class_layer(classifier: nn.Module) -> list[nn.Module]:
    """What a classifier does before and after its last layer with weights, which has an output for each class."""
    parts = list(classifier) if isinstance(classifier, nn.Sequential) else [classifier]
    *_, last = (place for place, part in enumerate(parts) if isinstance(part, nn.Linear | nn.Conv2d))
    return parts[:last] + parts[last + 1 :]


def _parted(module: nn.Sequential, domains: int) -> nn.Sequential:
    """``module`` with statistics for each of so many domains in every batch normalisation."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                require(child.affine, "batch normalisation without scale and shift is not known here")
                setattr(parent, name, BatchNorm(child.num_features, domains, child.eps, child.momentum or 0.1))
    return module
