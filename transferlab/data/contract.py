"""What every data set looks like to the rest of the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from transferlab.data.stored import Samples
from transferlab.errors import require

Kind = Literal["images", "spectrograms", "vectors"]
"""What an input is: uint8 [C, H, W], float32 [1, T, F] or float32 [D]. A data set says it, and nothing else guesses."""
IMAGES: Kind = "images"
SPECTROGRAMS: Kind = "spectrograms"
VECTORS: Kind = "vectors"


@dataclass(frozen=True)
class Labels:
    """What is known of one split before its inputs are read: labels int64 [N], and groups as in :class:`Dataset`."""

    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """One split of one domain, read-only.

    inputs: uint8 images [N, C, H, W], float32 spectrograms [N, 1, T, F] or float32 vectors [N, D], in memory or in a
    file.
    labels: int64 [N], indices into ``classes``; None where the data has none.
    provenance: name, edition, split, count, sha256 of the files, and what else made the data.
    signatures: float32 [C, M], a description of each class, where the data has them.
    groups: int64 [N], where rows of one value, such as frames of one video, must not be parted.
    """

    inputs: Samples
    labels: np.ndarray | None
    classes: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    signatures: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for array in (self.inputs, self.labels, self.signatures, self.groups):
            if isinstance(array, np.ndarray):  # of a user's own it may be anything until it is checked
                array.setflags(write=False)
        if self.labels is not None and _are(np.int64, self.labels) and len(self.labels):
            low, high, count = int(self.labels.min()), int(self.labels.max()), len(self.classes)
            wrong = low if low < 0 else high
            where = f"{self.provenance.get('name', 'data')}: label {wrong}"
            require(0 <= wrong < count, f"{where} is out of range; {count} classes allow 0 to {count - 1}")

    def __len__(self) -> int:
        return len(self.inputs)


class Settings(Protocol):
    """Where data may come from; see ``config.DataConfig``."""

    @property
    def root(self) -> str | None: ...
    @property
    def edition(self) -> str: ...
    @property
    def download(self) -> str: ...


@dataclass(frozen=True)
class Found:
    """A data set that is available; load("train" | "test") reads a split.

    classes is empty where the data has no labels. kind and shape: of one sample, (C, H, W), (1, T, F) or (D,). digest:
    of all that determines the samples but the options, files by their content; see
    :func:`~transferlab.data.content.digest`. signature_size: how many numbers describe each class, 0 where nothing
    does. remark: what was met on the way that is not in the data. labels: those of a split, in its order, where they
    are known without reading the inputs: then what they do not allow is refused before a run begins. idle: options of
    the data set that change nothing here, each with what makes it so. classes_in: a folder in which each folder is a
    class. shared: whether its classes are other ones, or in another order, for the sake of the other domain.
    """

    name: str
    edition: str
    classes: tuple[str, ...]
    kind: Kind
    shape: tuple[int, ...]
    load: Callable[[str], Dataset]
    digest: str
    signature_size: int = 0
    remark: str = ""
    labels: Callable[[str], Labels] | None = None
    idle: Mapping[str, str] = field(default_factory=dict)
    classes_in: Path | None = None
    shared: bool = False


_FORMS = {IMAGES: ("uint8", "[N, C, H, W]"), SPECTROGRAMS: ("float32", "[N, 1, T, F]"), VECTORS: ("float32", "[N, D]")}
"""Of the inputs of each kind, as :class:`Dataset` says."""


def check_found(where: str, found: Any) -> None:
    """Raise :class:`UserError` where what a module's ``find`` gives is not as :class:`Found` says."""
    require(isinstance(found, Found), f"{where}: find must return a Found, not {type(found).__name__}")
    require(found.kind in _FORMS, f"{where}: kind={found.kind!r}: allowed are {', '.join(_FORMS)}")
    form = _FORMS[found.kind][1].replace("N, ", "")
    sides = isinstance(found.shape, tuple) and all(isinstance(side, int) for side in found.shape)
    fits = sides and len(found.shape) == form.count(",") + 1
    require(fits, f"{where}: shape={found.shape!r}: of {found.kind} it is the shape of one, a tuple {form} of numbers")
    names = isinstance(found.classes, tuple) and all(isinstance(name, str) for name in found.classes)
    alone = names and len(set(found.classes)) == len(found.classes)
    require(alone, f"{where}: classes={found.classes!r}: must be a tuple of different names")
    known = isinstance(found.digest, str) and found.digest != ""
    require(known, f"{where}: digest={found.digest!r}: must be a text that changes whenever the samples do")


def check_loaded(where: str, found: Found, data: Any) -> None:
    """Raise :class:`UserError` where what ``found.load`` gives is not as :class:`Dataset` and ``found`` say."""
    require(isinstance(data, Dataset), f"{where}: must return a Dataset, not {type(data).__name__}")
    check_inputs(where, found, getattr(data.inputs, "shape", None), getattr(data.inputs, "dtype", None))
    starts = range(0, len(data) if data.inputs.dtype == np.float32 else 0, 1000)
    finite = all(np.isfinite(data.inputs[start : start + 1000]).all() for start in starts)
    require(finite, f"{where}: inputs hold values that are no finite number; leave them out, or fill them in")
    same = data.classes == found.classes
    require(same, f"{where}: classes are {data.classes!r}, and not those that find gives, {found.classes!r}")
    check_labels(where, found, data, len(data))
    size = found.signature_size
    described = data.signatures is None if not size else _are(np.float32, data.signatures, (len(found.classes), size))
    require(described, f"{where}: signatures must be float32 [C, M] with M = Found.signature_size = {size}, 0 for None")


def check_inputs(where: str, found: Found, shape: tuple[int, ...] | None, dtype: Any) -> None:
    """Raise :class:`UserError` where ``shape`` and ``dtype`` are not those of the inputs that ``found`` tells of."""
    needed, form = _FORMS[found.kind]
    told = f"inputs are {dtype} {list(shape)}" if shape is not None else "inputs are no array"
    fits = shape is not None and str(dtype) == needed and tuple(shape[1:]) == found.shape
    expected = f"{needed} {form} with {form[4:-1]} = {', '.join(map(str, found.shape))}"
    require(fits, f"{where}: {told}; {found.kind} of the shape that find gives are {expected}")


def check_labels(where: str, found: Found, data: Dataset | Labels, count: int | None = None) -> None:
    """Raise :class:`UserError` where labels and groups are not int64, one for each of ``count`` samples."""
    labelled = data.labels is not None or not found.classes
    require(labelled, f"{where}: labels are None; find gives {len(found.classes)} classes")
    for name, values in (("labels", data.labels), ("groups", data.groups)):
        if values is not None:
            length = len(data) if count is None else count
            told = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
            fits = _are(np.int64, values, (length,))
            require(fits, f"{where}: {name} are {told}; they must be int64 [N], one for each of {length} inputs")


def _are(dtype: type, values: Any, shape: tuple[int, ...] | None = None) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == dtype and shape in (None, values.shape)
