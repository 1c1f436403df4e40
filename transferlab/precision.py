"""What ``device.precision=auto`` stands for: bf16 where this machine trains faster with it, else float32.

It is part of what a run is, so it is known before torch is imported: measured once in a process of its own, and kept in
the user's cache. Where nothing can be kept it is float32, so that all processes of a sweep agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transferlab.build import build
from transferlab.config import Config, ModelConfig
from transferlab.data.contract import IMAGES, VECTORS
from transferlab.errors import UserError
from transferlab.files import cache_dir, make_folder, read_json, write_json
from transferlab.map import method_schema
from transferlab.runs import processor

log = logging.getLogger(__name__)

MARGIN = 1.1
"""How many times as fast bf16 must be: what it costs in precision should buy something."""
SECONDS = 2.0
"""For the measurement, without the start of its process."""


def resolved(config: Config) -> Config:
    """``config`` with the precision that auto stands for on this machine."""
    if config.device.precision != "auto":
        return config
    faster = method_schema(config.names["method"]).sees.net and _speedup(config) >= MARGIN
    return replace(config, device=replace(config.device, precision="bf16" if faster else "float32"))


def _speedup(config: Config) -> float:
    """How many times as fast as float32 bf16 trains the net here: kept, or else measured."""
    asked = {"device": config.device.name, "batch_size": config.train.batch_size, "model": vars(config.model)}
    gpus = sorted(path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
    here = {"processor": processor(), "torch": version("torch"), "gpus": gpus,
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}  # fmt: skip
    name = hashlib.sha256(json.dumps([asked, here], sort_keys=True).encode()).hexdigest()[:16]
    try:
        path = cache_dir() / "precision" / f"{name}.json"
        make_folder(path.parent)
        if not path.exists():
            log.info("measuring once whether bf16 is faster than float32 here")
            write_json(path, {**asked, **here, "seconds": _measured(asked)})
        seconds = read_json(path)["seconds"]
        return float(seconds["float32"] / seconds["bf16"])
    except (UserError, OSError, ValueError, LookupError, TypeError) as error:
        log.warning("device.precision=auto: float32, since nothing could be measured and kept (%s)", error)
        return 0.0


def _measured(asked: dict[str, Any]) -> dict[str, float]:
    """:func:`measure` in a process of its own. Raises ValueError where it ends without an answer."""
    words = [sys.executable, "-m", "transferlab.precision", json.dumps(asked)]
    answer = subprocess.run(words, capture_output=True, text=True).stdout
    seconds: dict[str, float] = json.loads(answer)
    return seconds


def measure(device: str, batch_size: int, model: ModelConfig) -> dict[str, float]:
    """Seconds of a step forward and back in each precision on made-up inputs, the fastest of several in turn."""
    import torch

    from transferlab.devices import pick_device
    from transferlab.models.convnet import ConvNet
    from transferlab.models.normalisation import normalisation
    from transferlab.training.run import autocast

    torch.set_num_threads(1)  # other work on the machine then counts for less
    place, size = pick_device(device), model.input_size
    vectors, images = (2 * batch_size, 1000), (2 * batch_size, 3, size, size)
    kind = VECTORS if model.name == "mlp" else IMAGES
    inputs = torch.randn(vectors) if kind == VECTORS else torch.randint(256, images, dtype=torch.uint8)
    net = ConvNet(model, 10, inputs.shape[1:], normalisation(model, kind, [inputs])).to(place)
    inputs = inputs.to(place)

    def step(precision: str) -> float:
        clock = time.perf_counter()
        with autocast(place, precision):
            loss = net(inputs).float().logsumexp(1).sum()
        loss.backward()
        torch.stack([parameter.grad.sum() for parameter in net.parameters() if parameter.grad is not None]).sum().item()
        return time.perf_counter() - clock

    first = {precision: step(precision) for precision in ("float32", "bf16")}  # float32's with whatever is set up
    if first["bf16"] > 3 * first["float32"]:
        return first
    best, begun, pairs = dict.fromkeys(first, float("inf")), time.perf_counter(), 0
    while pairs < 2 or time.perf_counter() - begun < SECONDS:
        best, pairs = {precision: min(fastest, step(precision)) for precision, fastest in best.items()}, pairs + 1
    return best


if __name__ == "__main__":
    words = json.loads(sys.argv[1])
    seconds = measure(words["device"], words["batch_size"], build(ModelConfig, words["model"], "model"))
    print(json.dumps(seconds))
