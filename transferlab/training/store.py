"""Trained parts that several runs share, named by the content of everything that determines them.

A file is written once and never changed; the whole store may be deleted at any time, for the price of training again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferlab import locks, storage
from transferlab.config import RESULTS_VERSION
from transferlab.errors import UserError
from transferlab.files import remove_partials
from transferlab.inputs import Inputs, Mapped

log = logging.getLogger(__name__)


def content_key(contents: Mapping[str, Tensor | Inputs], settings: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that are a function of names, types, shapes and values of both.

    Inputs that lie in a file are known by its digest, and not read.
    """
    on_cpu = {name: tensor.detach().cpu() for name, tensor in contents.items() if isinstance(tensor, Tensor)}
    in_files = {f"file of {name}": mapped.digest() for name, mapped in contents.items() if isinstance(mapped, Mapped)}
    texts = {"version": RESULTS_VERSION, "torch": torch.__version__, **settings, **in_files}
    content = storage.checksum(on_cpu, {key: json.dumps(value, sort_keys=True) for key, value in texts.items()})
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """The place of one content key, which may be empty."""

    path: Path
    key: str

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and counters that were stored; None where there is nothing, or nothing whole of this key."""
        if not self.path.exists():
            return None
        try:
            tensors, texts = storage.read(self.path)
        except UserError as damaged:
            log.warning("%s; making it again", damaged)
            return None
        if texts.get("key") != self.key:
            log.warning("%s: holds another entry; making it again", self.path)
            return None
        return tensors, json.loads(texts["counters"])

    def write(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Store for others; where there is no room for it they do their own work."""
        try:
            storage.write(self.path, tensors, {"key": self.key, "counters": json.dumps(counters)})
        except OSError as error:
            log.warning("%s: cannot be stored for other runs (%s)", self.path, error.strerror)


class Store:
    """A folder of safetensors files, one for each content key."""

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def claim(self, key: str) -> Iterator[Entry]:
        """The entry of ``key``; nobody else has it while the block runs.

        The claim ends with the process, however that ends, so the next in line takes over.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        place = self.path / f"{key}.lock"
        lock = locks.acquire(place)
        if lock is None:
            log.info("another run is making the same source model; waiting for it")
            lock = locks.acquire(place, wait=True)
        assert lock is not None
        try:
            remove_partials(self.path, f"{key}.safetensors")
            yield Entry(self.path / f"{key}.safetensors", key)
        finally:
            lock.release()
