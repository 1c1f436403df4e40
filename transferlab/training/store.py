"""Trained parts that several runs share, named by the content of everything that determines them.

A file is written once and never changed; the whole store may be deleted at any time, for the price of training again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferlab.config import RESULTS_VERSION
from transferlab.errors import UserError
from transferlab.training import storage

log = logging.getLogger(__name__)


def content_key(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that are a function of names, types, shapes and values of both."""
    on_cpu = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    texts = {"version": RESULTS_VERSION, "torch": torch.__version__, **settings}
    content = storage.checksum(on_cpu, {key: json.dumps(value, sort_keys=True) for key, value in texts.items()})
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class Store:
    """A folder of safetensors files, one for each content key."""

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        """The file for ``key``, which may not exist yet; nobody else has it while the block runs.

        The system ends the claim with the process, however that ends, so the next in line takes over.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / f"{key}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another run is making the same source model; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.path / f"{key}.safetensors"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """What is stored at ``path``; None where there is nothing, or nothing whole."""
    if not path.exists():
        return None
    try:
        return storage.read(path)
    except UserError as damaged:
        log.warning("%s; making it again", damaged)
        return None
