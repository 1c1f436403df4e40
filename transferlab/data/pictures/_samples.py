"""The small real subsets inside the package."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from transferlab.data.content import digest, remembered
from transferlab.data.contract import IMAGES, Dataset, Found, Labels
from transferlab.data.files import provenance
from transferlab.errors import UserError

FOLDER = Path(__file__).parents[1] / "samples"


@cache
def _index() -> dict[str, str]:
    return json.loads((FOLDER / "sha256.json").read_text(encoding="utf-8"))


def found(
    name: str,
    edition: str,
    classes: tuple[str, ...],
    shape: tuple[int, ...],
    files: Mapping[str, Sequence[Path]] | None,
    read: Callable[..., tuple[np.ndarray, np.ndarray]],
    read_labels: Callable[..., np.ndarray],
) -> Found:
    """A data set of two splits: ``read(*files[split])`` gives inputs and labels; without files it is the sample.

    read_labels: the labels alone, of files that ``read`` accepts.
    """
    if files is None:
        return sample(name, classes, shape, lambda split: load(name, split, classes))

    def whole(split: str) -> Dataset:
        inputs, labels = read(*files[split])
        return Dataset(inputs, labels, classes, provenance(name, edition, split, len(inputs), files[split]))

    paths = [path for of_split in files.values() for path in of_split]
    content = digest(paths, check=lambda: [read(*of_split) for of_split in files.values()])
    return Found(
        name, edition, classes, IMAGES, shape, whole, content, labels=lambda split: Labels(read_labels(*files[split]))
    )


def sample(name: str, classes: tuple[str, ...], shape: tuple[int, ...], load: Callable[[str], Dataset]) -> Found:
    """The packaged sample of ``name``, or a part of it, which is small enough to be read for its labels."""

    def labels(split: str) -> Labels:
        known = load(split).labels
        assert known is not None
        return Labels(known)

    return Found(name, "sample", classes, IMAGES, shape, load, sample_digest(name), labels=labels)


def sample_digest(name: str) -> str:
    """Of the packaged sample of ``name``, as its checksums say, which :func:`load` insists on."""
    return digest([], sorted(line for line in _index().items() if line[0].startswith(f"{name}.")))


def load(name: str, split: str, classes: tuple[str, ...]) -> Dataset:
    """A split of the packaged sample of ``name``. Raises :class:`UserError` where the file is damaged."""
    path = FOLDER / f"{name}.{split}.npz.xz"
    if not path.is_file():
        raise UserError(f"{path}: missing; install transferlab again")
    return _load(path, name, split, classes)


@remembered(maxsize=4)  # the splits of both domains
def _load(path: Path, name: str, split: str, classes: tuple[str, ...]) -> Dataset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _index()[path.name]:
        raise UserError(f"{path}: damaged, its checksum does not match; install transferlab again")
    with np.load(io.BytesIO(lzma.decompress(content)), allow_pickle=False) as arrays:
        inputs, labels = arrays["inputs"], arrays["labels"].astype(np.int64)
    record = {
        "name": name, "edition": "sample", "split": split, "count": len(inputs), "files": {path.name: digest},
    }  # fmt: skip
    return Dataset(inputs, labels, classes, record)


def pack(name: str, split: str, inputs: np.ndarray, labels: np.ndarray) -> Path:
    """Write a sample: uint8 [N, C, H, W] and labels, in bytes that depend on nothing else."""
    plain = io.BytesIO()
    np.savez(plain, inputs=inputs, labels=labels.astype(np.uint8))
    path = FOLDER / f"{name}.{split}.npz.xz"
    path.write_bytes(lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return path
