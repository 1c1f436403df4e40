"""Building blocks of the options of methods and data sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transferlab.config import ModelConfig


@dataclass(frozen=True)
class Case:
    """What is known, before any data is read, of the run that a method's options are for.

    layers: how many the net has, the head included. same_classes: in both domains; None where the data is missing.
    kind and shapes: of one input of source and target, as the method gets it; empty where the data is missing.
    """

    model: ModelConfig
    layers: int
    same_classes: bool | None
    kind: str = ""
    shapes: Sequence[tuple[int, ...]] = ()


Idle = Iterator[tuple[str, Sequence[str]]]
"""A choice, as words of a command line, and what has no effect with it: keys, or the sections model and train."""


class Options:
    """What the ``Config`` of every method inherits: how its options depend on each other."""

    @property
    def probabilities(self) -> bool:
        """Whether the predictor's scores give probabilities, which many validators need."""
        return True

    def idle(self, case: Case) -> Idle:
        """Which options have no effect beside which others; :mod:`transferlab.idle` adds what holds for all methods."""
        yield from ()

    def check(self, case: Case) -> None:
        """Raise :class:`UserError` for options with which the method cannot run."""


def added(default: Any) -> Any:
    """An option added later; its default leaves earlier runs unchanged."""
    return dataclasses.field(default=default, metadata={"added": True})


def place() -> Any:
    """A field of a data set's options that says where its files lie: no part of what determines the result."""
    return dataclasses.field(default="", metadata={"place": True})


def places(options: Any) -> list[str]:
    """The names of such fields."""
    return [field.name for field in dataclasses.fields(options) if field.metadata.get("place")]
