"""The map of transfer learning: what a method sees of each domain, and which methods there are."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal

from transferlab.errors import UserError, nearest, require
from transferlab.randomness import key

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
    module: ModuleType
    sees: Sees
    config: type


ROOMS = {"methods": ("method",), "data": ("data", "source", "target")}
"""Where in a user's folder modules of each kind lie, beside the YAML files that choose them."""
_folder: list[Path] = []


def look_in(folder: str | Path | None) -> None:
    """Take methods and data sets also from the user's ``folder``, as --config-dir names it; None: from none."""
    _folder[:] = [] if folder is None else [Path(folder).resolve()]


@cache
def _installed() -> tuple[Path, ...]:
    """The folders of installed packages that have an entry point in the group transferlab, laid out as a user's own."""
    found = []
    for point in importlib.metadata.entry_points(group="transferlab"):
        spec = importlib.util.find_spec(point.value)
        found += [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    return tuple(found)


def own_folder() -> str | None:
    """The user's folder, where there is one."""
    return str(_folder[0]) if _folder else None


def folders() -> list[Path]:
    """Where more than the package's own choices come from: installed packages, then the user's folder."""
    return [*_installed(), *_folder]


def modules(kind: str) -> dict[str, Path]:
    """Name and file of every public module of a ``kind``, methods or data, in the order of names."""
    return dict(_modules(kind, tuple(folders())))


@cache
def _modules(kind: str, more: tuple[Path, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    paths = [*(PACKAGE / kind).glob("*/[!_]*.py")]
    paths += [path for folder in more for room in ROOMS[kind] for path in (folder / room).glob("[!_]*.py")]
    for path in paths:
        other = files.setdefault(path.stem, path)
        require(other == path, f"{path}: there is a module of this name already, {other}; call it otherwise")
    return dict(sorted(files.items()))


def imported(file: Path) -> ModuleType:
    """The module in ``file``: of this package, or of a user's folder, where it is imported under a name of its own."""
    if file.is_relative_to(PACKAGE):
        return importlib.import_module(".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts)))
    name = f"_transferlab_own_{key(file):x}_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UserError(
                f"{file}: cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
            ) from error
    return sys.modules[name]


def own_code(kind: str, name: str) -> str | None:
    """SHA-256 of the module ``name`` of a ``kind``, in hexadecimal; None where it is this package's."""
    file = modules(kind)[name]
    return None if file.is_relative_to(PACKAGE) else hashlib.sha256(file.read_bytes()).hexdigest()


def method_files() -> dict[str, Path]:
    """Every method's name and file."""
    return modules("methods")


def method_schema(name: str) -> MethodSchema:
    """What method ``name`` sees and its options. Its module is imported, and torch with it, so ask late."""
    files = method_files()
    require(name in files, f"method={name}: allowed are {', '.join(files)}{nearest(name, files)}")
    module = imported(files[name])
    for part in ("sees", "Config", "fit"):
        require(hasattr(module, part), f"{files[name]}: a method needs sees, Config and fit; there is no {part}")
    return MethodSchema(name, module, module.sees, module.Config)
