"""The map of transfer learning: what a method sees of each domain, and which methods there are."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from transferlab.errors import nearest, require

PACKAGE = Path(__file__).parent


class Role(str):
    """How much a method may see of one domain."""


LABELLED, UNLABELLED, NOTHING = Role("labelled"), Role("unlabelled"), Role("nothing")


@dataclass(frozen=True)
class Sees:
    """A method's place on the map: what it may see of each domain's training data, and what it needs of them.

    classes: same (one label set for both domains), any, or disjoint (zero-shot: no class in common).
    net: whether it trains the network of ``model``; otherwise it brings its own and takes vectors as they are.
    joint: whether one net takes batches of both domains, and so may keep them apart as it normalises.
    critic: whether it trains the domain critic of ``model``.
    steps: whether anything is trained step by step, as ``train`` says.
    seen: how many classes a labelled source must have; 4 where folds leave two to learn from and two to choose by.
    batch: how many samples of each domain a step needs.
    """

    source: Role
    target: Role
    classes: Literal["same", "any", "disjoint"] = "same"
    net: bool = True
    joint: bool = False
    critic: bool = False
    steps: bool = True
    seen: int = 2
    batch: int = 1

    @property
    def headline(self) -> str:
        """The key of results.json that is the method's result: zero-shot learning is measured per class."""
        return "target_mean_class_accuracy" if self.classes == "disjoint" else "target_accuracy"


@dataclass(frozen=True)
class MethodSchema:
    """What the planner must know of a method."""

    name: str
    module: str
    sees: Sees
    config: type


@cache
def modules(package: str) -> dict[str, Path]:
    """Name and file of every public module in a folder of ``package``, methods or data, in the order of names."""
    files: dict[str, Path] = {}
    for path in (PACKAGE / package).glob("*/[!_]*.py"):
        if path.stem in files:
            raise RuntimeError(f"two {package} are called {path.stem}: {files[path.stem]} and {path}")
        files[path.stem] = path
    return dict(sorted(files.items()))


def module_name(file: Path) -> str:
    """What the module in ``file``, of this package, is imported by."""
    return ".".join(("transferlab", *file.relative_to(PACKAGE).with_suffix("").parts))


def method_files() -> dict[str, Path]:
    """Every method's name and file: a module in a folder of ``transferlab/methods``."""
    return modules("methods")


@cache
def method_schema(name: str) -> MethodSchema:
    """What method ``name`` sees and its options. Its module is imported, and torch with it, so ask late."""
    files = method_files()
    require(name in files, f"method={name}: allowed are {', '.join(files)}{nearest(name, files)}")
    module = importlib.import_module(module_name(files[name]))
    return MethodSchema(name, module.__name__, module.sees, module.Config)
