"""Classification models as feature extractors: without the layer of their classes, cut into blocks.

torchvision's by name, timm's by name behind timm/, and EfficientNet-Lite0, whose weights come inside a package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from transferlab.errors import UserError, nearest, require
from transferlab.models.normalisation import NORMS, BatchNorm
from transferlab.weights import LITE0, PACKAGES, TIMM, library, load, timm

WITH_MORE_OUTPUTS = ("googlenet", "inception_v3")
"""They give auxiliary classifiers' outputs too, which no method here would train."""

ROWS = ("features", "layers", "trunk_output", "blocks", "stages")
"""What models call the row of their blocks, where it is one child."""


def check_name(name: str, others: Sequence[str]) -> None:
    """Raise :class:`~transferlab.errors.UserError` where no model is called so, nor one of ``others``, no backbones."""
    if name.startswith(TIMM):
        library(name)
        return
    every = [*others, *names()]
    allowed = f"{', '.join(others)}, torchvision's classification models, and timm's with model=timm"
    require(name in every, f"model.name={name}: allowed are {allowed}{nearest(name, every)}")


def names() -> list[str]:
    """The models that need no extra but one; all but that by torchvision's name."""
    every = torchvision.models.list_models(module=torchvision.models)
    return [LITE0, *(name for name in every if name not in WITH_MORE_OUTPUTS)]


def backbone(name: str, side: int, domains: int, weights: Path | None = None) -> nn.Sequential:
    """A model for float32 images [B, 3, side, side], from the input to features [B, F]; fresh without ``weights``.

    Its elements follow each other as in the model's own forward pass, which is tried; a model that is no row of blocks
    is one block. Its batch normalisation keeps so many ``domains`` apart. Raises
    :class:`~transferlab.errors.UserError` for images that are too small for it, and for weights of another model.
    """
    try:
        model = (
            lite0(side) if name == LITE0 else _timm(name, side) if name.startswith(TIMM) else _torchvision(name, side)
        )
        if weights is not None:
            _fill(model, weights, name)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            probe = torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side)
            in_a_row = {LITE0: _lite0_in_a_row}.get(name, _timm_in_a_row if name.startswith(TIMM) else _in_a_row)
            blocks = in_a_row(model.eval(), probe).train()
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"model={name}: cannot take images of {side} x {side} pixels ({reason})") from None
    return _parted(blocks, domains) if domains > 1 else blocks


def _model(name: str, side: int) -> Any:
    if name == LITE0:
        return lite0(side)
    return _timm(name, side) if name.startswith(TIMM) else _torchvision(name, side)


def _torchvision(name: str, side: int) -> nn.Module:
    own = {"image_size": side} if name.startswith("vit") else {"input_size": (side, side)} if name == "maxvit_t" else {}
    return torchvision.models.get_model(name, weights=None, **own)


def _timm(name: str, side: int) -> nn.Module:
    """timm's model without a layer of classes, made for images of so many pixels where it takes one size alone."""
    architecture = name.removeprefix(TIMM)
    try:
        return timm().create_model(architecture, pretrained=False, num_classes=0, img_size=side)
    except TypeError:
        return timm().create_model(architecture, pretrained=False, num_classes=0)


def lite0(side: int) -> Any:
    """EfficientNet-Lite0 for images of so many pixels. Raises :class:`UserError` where its package is missing."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise UserError(PACKAGES) from None
    return EfficientNet.from_name("efficientnet-lite0", image_size=side)


def _lite0_in_a_row(model: Any, probe: Tensor) -> nn.Sequential:
    """What ``extract_features`` and the pooling behind it do, without the random leaving out of blocks in training."""
    stem = nn.Sequential(model._conv_stem, model._bn0, nn.ReLU6())
    top = nn.Sequential(model._conv_head, model._bn1, nn.ReLU6())
    row = nn.Sequential(stem, *model._blocks, top, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert torch.allclose(row(probe), model.extract_features(probe).mean((2, 3)), atol=1e-5)
    return row


def _timm_in_a_row(model: nn.Module, probe: Tensor) -> nn.Sequential:
    """The model as a row of blocks that computes the same of ``probe``; as one block where it is none."""
    stages: list[nn.Module] = []
    for name, child in model.named_children():
        stages += child.children() if name in ROWS else [child]
    row = nn.Sequential(*stages).eval()
    try:
        same = torch.allclose(row(probe), model(probe), atol=1e-5)
    except (RuntimeError, ValueError, TypeError, AssertionError):  # shapes that do not fit
        same = False
    return row if same else nn.Sequential(model)


def _fill(model: nn.Module, weights: Path, name: str) -> None:
    """Load ``weights`` into the model, whatever classes their own last layer is of.

    Raises :class:`~transferlab.errors.UserError` naming a tensor that does not fit.
    """
    tensors, own = load(weights), model.state_dict()
    *_, top = (place for place, part in model.named_modules() if isinstance(part, nn.Linear | nn.Conv2d))
    last = () if name.startswith(TIMM) else (f"{top}.weight", f"{top}.bias")
    for key, tensor in own.items():
        given = tensors.get(key)
        counted = key.endswith("num_batches_tracked") and given is None
        fits = counted or key in last or (given is not None and given.shape == tensor.shape)
        there = "missing" if given is None else list(given.shape)
        require(fits, f"{weights}: not weights of {name}: {key} is {there}, the model's {list(tensor.shape)}")
    model.load_state_dict({key: tensors[key] if key not in last and key in tensors else own[key] for key in own})


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
                setattr(parent, name, _of_domains(child, domains))
    return module


def _of_domains(norm: nn.BatchNorm2d, domains: int) -> BatchNorm:
    """A layer that begins as ``norm`` is, with statistics for each of so many domains."""
    after = nn.Sequential(*norm.children()) or None  # timm's has its activation in it
    parted = BatchNorm(norm.num_features, domains, norm.eps, norm.momentum or 0.1, after)
    assert norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        parted.weight.copy_(norm.weight)
        parted.bias.copy_(norm.bias)
        parted.running_mean.copy_(norm.running_mean.expand(domains, -1))
        parted.running_var.copy_(norm.running_var.expand(domains, -1))
    return parted
