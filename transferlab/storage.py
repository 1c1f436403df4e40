"""Named tensors in checksummed safetensors files, which hold no code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from transferlab.errors import UserError, require
from transferlab.files import write_bytes


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Save named tensors and texts as safetensors, with a checksum of both."""
    plain: dict[str, Tensor] = {}
    for name, tensor in sorted(tensors.items()):
        part = tensor.detach().cpu().contiguous()
        # A tensor that two modules share goes in twice: safetensors has no aliases.
        shared = any(part.data_ptr() == other.data_ptr() for other in plain.values() if part.numel())
        plain[name] = part.clone() if shared else part
    texts = dict(sorted(metadata.items()))
    write_bytes(path, save(plain, {**texts, "checksum": checksum(plain, texts)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts at ``path``. Raises :class:`UserError` where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            # Copies: what is read lies in the file itself, at any address, which other bits may come out of.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except Exception as error:  # a damaged header makes safetensors and torch raise many kinds
        raise UserError(f"{path}: not a readable checkpoint ({' '.join(str(error).split())})") from None
    expected = metadata.pop("checksum", "")
    if checksum(tensors, metadata) != expected:
        raise UserError(f"{path}: damaged, its checksum does not match")
    return tensors, metadata


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load what was read at ``path``. Raises :class:`UserError` naming a tensor of another architecture."""
    ours = module.state_dict()
    for name in sorted(ours.keys() | tensors.keys()):
        here, there = (tuple(part[name].shape) if name in part else "missing" for part in (ours, tensors))
        require(here == there, f"{path}: a checkpoint of another architecture: {name} is {there}, the net's {here}")
    module.load_state_dict(tensors)


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and values of tensors, and the texts."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    for key, text in sorted(metadata.items()):
        digest.update(f"{key}={text}".encode())
    return digest.hexdigest()
