"""Data sets as a frozen backbone sees them: its features of all images, computed once and kept."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import nn

from transferlab.config import ModelConfig
from transferlab.data.contract import VECTORS, Dataset, Found
from transferlab.data.stored import Samples, Stored, kept
from transferlab.devices import pick_device
from transferlab.inputs import resize
from transferlab.models.backbones import backbone
from transferlab.models.normalisation import of_weights
from transferlab.weights import digest, file

log = logging.getLogger(__name__)


def as_features(found: Found, model: ModelConfig, device: str, download: str) -> Found:
    """``found``, a set of images, as vectors: what the frozen backbone of ``model`` makes of them, float32 [N, F].

    They are kept in the cache under the images' content, the weights', and how the one is shown to the other.
    """
    known, place = digest(model.name, model.weights, download), pick_device(device)
    shown = f"{model.name} {known} {model.input_size} {place.type}"

    def load(split: str) -> Dataset:
        data = found.load(split)
        key = [_content(data.inputs), shown]
        inputs = kept(f"{found.name}-{model.name}", key, len(data), partial(pieces, found.name, data, model, place))
        made = {"features_of": model.name, "weights_sha256": known, "pixels": model.input_size}
        return dataclasses.replace(data, inputs=inputs, provenance={**data.provenance, **made})

    size = _size(model.name, of_weights(model).side(model.input_size))
    content = hashlib.sha256(f"{found.digest} {shown}".encode()).hexdigest()
    remark = ", ".join(filter(None, (found.remark, f"seen as {size} features of {model.name}")))
    return dataclasses.replace(found, kind=VECTORS, shape=(size,), load=load, digest=content, remark=remark)


def frozen(model: ModelConfig) -> nn.Sequential:
    """The backbone of ``model`` with its trained weights, from uint8 images [B, 3, S, S] to features float32 [B, F]."""
    preprocess = of_weights(model)
    net = backbone(model.name, preprocess.side(model.input_size), 1, file(model.name, model.weights))
    return nn.Sequential(preprocess, net.to(memory_format=torch.channels_last)).eval()


@cache
def _size(name: str, side: int) -> int:
    """How many features the model gives."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return backbone(name, side, 1).eval()(torch.zeros(1, 3, side, side)).shape[1]


def _content(inputs: Samples) -> str:
    """What images are known by, if need be by their bytes in memory."""
    return inputs.content if isinstance(inputs, Stored) else hashlib.sha256(inputs.tobytes()).hexdigest()


def at_a_time(device: torch.device) -> int:
    """Images of a backbone's size that are fastest at a time: on a CPU as many as its cache holds the maps of."""
    return 8 if device.type == "cpu" else 64


@torch.no_grad()
def pieces(name: str, data: Dataset, model: ModelConfig, device: torch.device) -> Iterator[np.ndarray]:
    """The features of all images of a data set, float32 [n, F] of some at a time."""
    from tqdm import tqdm

    net = frozen(model).to(device)
    size = at_a_time(device)
    with tqdm(total=len(data), desc=f"{name} through {model.name}", unit="images", disable=None) as bar:
        for start in range(0, len(data), size):
            images = resize(torch.from_numpy(np.array(data.inputs[start : start + size])), model.input_size)
            yield net(images.to(device)).float().cpu().numpy()
            bar.update(len(images))
