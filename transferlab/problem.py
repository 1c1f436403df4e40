"""The label firewall: what a method may see of each domain, and nothing else.

An :class:`Unlabelled` view owns no labels. There is no attribute, index or cache through which a method
could reach them, and test images never come here at all: they live in the evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from transferlab.data.contract import IMAGES, Dataset, Kind
from transferlab.inputs import Inputs, Mapped, held
from transferlab.map import LABELLED, NOTHING, Role
from transferlab.randomness import Order, key


@dataclass(frozen=True)
class Unlabelled:
    """Training inputs of a domain: uint8 images [N, C, H, W], or float32 as :class:`Dataset` has it.

    They may lie in a file; in a batch they are a tensor on the device. rows: in a batch, int64 [N], which of the
    problem's inputs of the domain they are.
    """

    inputs: Inputs
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Labelled:
    """Training inputs of a domain and ``rows`` as above, with their labels int64 [N]."""

    inputs: Inputs
    labels: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)


View = Unlabelled | Labelled
Source = TypeVar("Source", bound=View | None, covariant=True)
Target = TypeVar("Target", bound=View | None, covariant=True)


Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Inputs [N, ...] of a batch to inputs that are changed at random, by what the generator on their device draws."""


@dataclass(frozen=True)
class Batch:
    """One step's inputs. ``source`` and ``target`` are views of the batch, as the method sees the domains.

    step: (seed, stage, step), of which all that is random in it is a function.
    """

    source: View | None
    target: View | None
    step: tuple[int, str, int] = (0, "", 0)

    def view(self, name: str, augment: Augment) -> Batch:
        """The same batch with its inputs changed at random: by the same draws for the same ``name``, and no other's."""

        def changed(domain: str, view: View | None) -> View | None:
            if view is None:
                return None
            generator = torch.Generator(view.inputs.device).manual_seed(key(*self.step, name, domain))
            return replace(view, inputs=augment(view.inputs[:], generator))

        return replace(self, source=changed("source", self.source), target=changed("target", self.target))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    @property
    def _parts(self) -> list[View]:
        return [view for view in (self.source, self.target) if view is not None]

    @property
    def domains(self) -> list[tuple[str, int]]:
        """Of which domain ``inputs`` are, one domain after the other, and how many of each."""
        views = (("source", self.source), ("target", self.target))
        return [(name, len(view)) for name, view in views if view is not None]

    @property
    def is_target(self) -> Tensor:
        """float32 [B]: 0 for each input of the source, 1 for each of the target, in the order of ``inputs``."""
        domains = torch.ones(len(self), device=self._parts[0].inputs.device)
        self.split(domains)[0].zero_()
        return domains

    def split(self, of_inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The source's part and the target's of something [B, ...] that was made of ``inputs``."""
        count = 0 if self.source is None else len(self.source)
        return of_inputs[:count], of_inputs[count:]

    @property
    def inputs(self) -> Tensor:
        """Source inputs, then target inputs, [B_s + B_t, ...]; grey images are replicated where needed."""
        parts = [view.inputs[:] for view in self._parts]
        shape = max(part.shape[1:] for part in parts)
        return torch.cat([part.expand(-1, *shape) for part in parts])


@dataclass(frozen=True)
class Problem(Generic[Source, Target]):
    """What a method is given. A domain that it does not see is None.

    The type says the map: ``Problem[Labelled, Unlabelled]`` is unsupervised adaptation's, ``Problem[Labelled, None]``
    zero-shot learning's.

    classes are the target's, source_classes the source's; kind: of both domains' inputs. signatures: float32
    [C_s + C_t, M], a row for each source class, then for each target class, where the data describes its classes.
    """

    source: Source
    target: Target
    classes: tuple[str, ...]
    source_classes: tuple[str, ...]
    seed: int
    kind: Kind
    signatures: Tensor | None = None

    @property
    def labelled(self) -> Labelled:
        """The domain whose labels the method learns from: the source, or else the target."""
        for view in (self.source, self.target):
            if isinstance(view, Labelled):
                return view
        raise RuntimeError("this method sees no labels")

    def seen(self, *domains: str) -> list[View]:
        """The views of ``domains``, of all that are seen by default."""
        views = (getattr(self, domain) for domain in domains or ("source", "target"))
        return [view for view in views if view is not None]

    def batches(self, source: int = 0, target: int = 0) -> Callable[[str, int], Batch]:
        """Batches of so many images of each domain, as a function of (stage, step): no state, no workers.

        A domain is drawn without replacement, in a new order in each epoch. Of inputs that lie in a file the next batch
        is read while a step goes on with the last one.
        """
        orders: dict[tuple[str, str], Order] = {}

        def rows(name: str, view: View, stage: str, step: int, size: int) -> View:
            order = orders.setdefault((stage, name), Order(len(view.inputs), self.seed, stage, name))
            picked = order.take(step * size, size).to(view.inputs.device)
            inputs = view.inputs.index_select(0, picked)
            if isinstance(view, Labelled):
                return Labelled(inputs, view.labels.index_select(0, picked), picked)
            return Unlabelled(inputs, picked)

        def draw(stage: str, step: int) -> Batch:
            return Batch(
                rows("source", self.source, stage, step, source) if source and self.source is not None else None,
                rows("target", self.target, stage, step, target) if target and self.target is not None else None,
                (self.seed, stage, step),
            )

        return ahead(draw) if any(isinstance(view.inputs, Mapped) for view in self.seen()) else draw


def ahead(draw: Callable[[str, int], Batch]) -> Callable[[str, int], Batch]:
    """``draw``, of which the batch of the next step is drawn in another thread while the last one is used."""
    thread = ThreadPoolExecutor(1)
    coming: dict[tuple[str, int], Future[Batch]] = {}

    def drawn(stage: str, step: int) -> Batch:
        batch = coming.pop((stage, step), None) or thread.submit(draw, stage, step)
        coming.clear()
        coming[stage, step + 1] = thread.submit(draw, stage, step + 1)
        return batch.result()

    return drawn


def view(
    data: Dataset, rows: np.ndarray, role: Role, kind: Kind, size: int, device: torch.device, resident: float
) -> View | None:
    """What ``role`` allows to see of the given rows of ``data``; images are brought to ``size`` pixels.

    resident: GiB that are held on the device; of more, what lies in a file stays there.
    """
    if role == NOTHING:
        return None
    inputs = held(data.inputs, rows, size if kind == IMAGES else None, device, resident)
    if role == LABELLED:
        assert data.labels is not None
        return Labelled(inputs, torch.from_numpy(data.labels[rows]).to(device))
    return Unlabelled(inputs)
