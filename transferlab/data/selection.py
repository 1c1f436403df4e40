"""Options that every data set shares: which classes, how many labelled samples, which transformation."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from transferlab.data.contract import IMAGES, Dataset, Found, Labels
from transferlab.data.stored import Samples, Stored, filled, kept, of_rows
from transferlab.errors import nearest, require, some

TRANSFORMS = 1
"""Version of what :func:`transformed` gives; to be raised with every change of that."""


@dataclass
class Selection:
    """What of a data set makes a domain. Each data set's ``Config`` begins with these."""

    classes: list[str] | None = None
    """Only these classes, in this order; null: all."""
    per_class: int | None = None
    """Labelled training samples of each class, of those left by test and validation, drawn by the seed; null: all."""
    transform: Literal["none", "inverted", "permuted", "noise"] = "none"
    """Another domain of the same images: negative, pixels in one fixed random order, Gaussian noise."""

    def check(self, found: Found) -> None:
        """Raise :class:`~transferlab.errors.UserError` for what ``found`` does not have."""
        where = found.name
        if self.classes is not None:
            require(bool(found.classes), f"{where}.classes={self.classes}: the data has no labels")
            require(len(self.classes) >= 1, f"{where}.classes=[]: at least one class is needed")
            for name in self.classes:
                allowed = ", ".join(found.classes)
                hint = f"{where}.classes: no class {name}; allowed are {allowed}{_meant(name, found.classes)}"
                require(name in found.classes, hint)
            require(
                len(set(self.classes)) == len(self.classes), f"{where}.classes={self.classes}: a class is listed twice"
            )
        if self.per_class is not None:
            require(self.per_class >= 1, f"{where}.per_class={self.per_class}: must be at least 1")
            require(bool(found.classes), f"{where}.per_class={self.per_class}: the data has no labels")
        if self.transform != "none":
            require(found.kind == IMAGES, f"{where}.transform={self.transform}: is for images, these are {found.kind}")


def _meant(name: str, classes: tuple[str, ...]) -> str:
    """Which class may be meant by a wrong name: without quotes, 1.10 is read as the number 1.1."""
    alike = [other for other in classes if (value := _number(other)) is not None and value == _number(name)]
    return f"; write classes=['{alike[0]}'], with quotes around the name" if alike else nearest(name, classes)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def select(found: Found, selection: Selection) -> Found:
    """``found`` with the classes and the transformation that ``selection`` asks for."""
    selection.check(found)
    if selection.classes is None and selection.transform == "none":
        return found
    classes = tuple(selection.classes) if selection.classes is not None else found.classes

    found = with_classes(found, classes)

    def load(split: str) -> Dataset:
        data = found.load(split)
        if selection.transform != "none":
            data = dataclasses.replace(data, inputs=transformed(data.inputs, selection.transform, split))
        asked = {k: v for k, v in vars(selection).items() if k in ("classes", "transform")}
        return dataclasses.replace(data, provenance={**data.provenance, "count": len(data), **asked})

    return dataclasses.replace(found, load=load)


def with_classes(found: Found, classes: tuple[str, ...]) -> Found:
    """``found`` with ``classes`` alone, in their order."""
    if classes == found.classes:
        return found

    def load(split: str) -> Dataset:
        data = of_classes(found.load(split), classes)
        return dataclasses.replace(data, provenance={**data.provenance, "count": len(data), "classes": list(classes)})

    def labels(split: str) -> Labels:
        assert found.labels is not None
        every = found.labels(split)
        rows, kept = _relabelled(every.labels, found.classes, classes)
        return Labels(kept, None if every.groups is None else every.groups[rows])

    return dataclasses.replace(found, classes=classes, load=load, labels=labels if found.labels else None)


def shared(found: Mapping[str, Found]) -> dict[str, Found]:
    """Source and target with the classes that both have, in the source's order.

    Raises :class:`~transferlab.errors.UserError` for fewer than two.
    """
    ours, theirs = found["source"].classes, found["target"].classes
    if ours == theirs:
        return dict(found)
    both = tuple(name for name in ours if name in theirs)
    require(
        len(both) >= 2, f"data.classes=shared: at least 2 classes in both domains are needed; {compared(ours, theirs)}"
    )
    alike = written_alike(ours, theirs)
    kept = {}
    for role, other in (("source", "target"), ("target", "source")):
        alone = [name for name in found[role].classes if name not in both]
        without = (
            f"of {len(found[role].classes)} those that the {other} has too, without {some(alone)}" if alone else ""
        )
        remark = ", ".join(filter(None, (without, found[role].remark, alike)))
        kept[role] = dataclasses.replace(with_classes(found[role], both), remark=remark, shared=True)
    return kept


def compared(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """How many classes source and target share, which are in one of them alone, and which may be meant to be one."""
    both = set(ours) & set(theirs)
    if len(both) == len(ours) == len(theirs):
        return "they are in another order"
    sides = (("source", ours, theirs), ("target", theirs, ours))
    alone = [(role, [name for name in one if name not in other]) for role, one, other in sides]
    parts = [f"{some(names)} in the {role} alone" for role, names in alone if names and both]
    return ", ".join([f"{len(both) or 'none'} shared", *parts, *filter(None, [written_alike(ours, theirs)])])


def written_alike(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Names that the other domain has in another case, or with other spaces, _ or -; nothing where there is none."""
    bare = {_bare(name): name for name in theirs if name not in ours}
    pairs = [f"{name} and {bare[_bare(name)]}" for name in ours if name not in theirs and _bare(name) in bare]
    return f"{some(pairs)} are likely the same: name them alike" if pairs else ""


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def of_classes(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """``data`` with ``classes`` alone, labelled in their order."""
    assert data.labels is not None
    rows, labels = _relabelled(data.labels, data.classes, classes)
    old_labels = [data.classes.index(name) for name in classes]
    signatures = None if data.signatures is None else data.signatures[old_labels]
    groups = None if data.groups is None else data.groups[rows]
    record = dict(data.provenance)
    if len(files := record.get("files", {})) == len(rows):  # each sample has a file of its own
        record["files"] = {name: known for (name, known), kept in zip(files.items(), rows, strict=True) if kept}
    return Dataset(of_rows(data.inputs, rows), labels, classes, record, signatures, groups)


def _relabelled(labels: np.ndarray, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """bool [N], which rows are of the classes ``new``, and these rows' labels among them."""
    new_label = np.full(len(old), -1)
    new_label[[old.index(name) for name in new]] = np.arange(len(new))
    rows = new_label[labels] >= 0
    return rows, new_label[labels][rows]


def transformed(images: Samples, name: str, split: str = "train") -> Samples:
    """uint8 [N, C, H, W] as another domain; the same permutation for every image, noise of 50 grey levels.

    Training and test images have noise of their own. What lies in a file comes to lie in another.
    """
    if isinstance(images, Stored):
        return kept(name, [TRANSFORMS, images.content, split], len(images), lambda: _pieces(images, name, split))
    return filled(len(images), _pieces(images, name, split))


def _pieces(images: Samples, name: str, split: str) -> Iterator[np.ndarray]:
    """The transformed images, a thousand at a time: noise is drawn in float32."""
    rng = np.random.default_rng([0, 1] if split == "test" and name == "noise" else 0)
    height, width = images.shape[2:]
    order = rng.permutation(height * width) if name == "permuted" else None
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000]
        if name == "inverted":
            yield 255 - part
        elif order is not None:
            yield part.reshape(*part.shape[:2], -1)[:, :, order].reshape(part.shape)
        else:
            noise = rng.standard_normal(part.shape, dtype=np.float32) * 50
            yield np.clip(part + noise, 0, 255).astype(np.uint8)
