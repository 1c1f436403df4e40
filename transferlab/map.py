"""The map of transfer learning: what a method sees of each domain, and which methods there are."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from transferlab.errors import UserError, nearest, require
from transferlab.options import Options
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
    def needs_layers(self) -> bool:
        """Whether its net must have layers before the head: to bring two domains together in, or to hand on."""
        return self.joint or (self.source, self.target) == (LABELLED, LABELLED)

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
_folder: ContextVar[Path | None] = ContextVar("_folder", default=None)
"""Of each thread by itself: one may read a run's record while another runs."""


def look_in(folder: str | Path | None) -> None:
    """Take methods and data sets also from the user's ``folder``, as --config-dir names it; None: from none.

    Raises :class:`UserError` where there is no such folder.
    """
    require(folder is None or Path(folder).is_dir(), f"--config-dir {folder}: no such folder")
    _folder.set(None if folder is None else Path(folder).resolve())


@contextmanager
def looking_in(folder: str | None) -> Iterator[None]:
    """Inside, modules are taken from a run's folder of choices, where it has one that is still there; else nothing."""
    before = own_folder()
    if folder is not None and Path(folder).is_dir():
        look_in(folder)
        try:
            yield
        finally:
            look_in(before)
    else:
        yield


def own_folder() -> str | None:
    """The user's folder, where there is one."""
    return None if (folder := _folder.get()) is None else str(folder)


@cache
def installed() -> tuple[Path, ...]:
    """The folders of installed packages that have an entry point in the group transferlab, laid out as a user's own."""
    found = []
    for point in importlib.metadata.entry_points(group="transferlab"):
        try:
            spec = importlib.util.find_spec(point.value)
        except ImportError:
            spec = None
        places = (spec and spec.submodule_search_locations) or ()
        require(bool(places), f"entry point {point.name} = {point.value} of group transferlab: no such package")
        found += [Path(place) for place in places]
    return tuple(found)


def folders() -> list[Path]:
    """Where more than the package's own choices come from: installed packages, then the user's folder."""
    return [*installed(), *filter(None, [_folder.get()])]


def modules(kind: str) -> dict[str, Path]:
    """Name and file of every public module of a ``kind``, methods or data, in the order of names."""
    files = dict(_shipped(kind))
    for path in (path for folder in folders() for room in ROOMS[kind] for path in (folder / room).glob("[!_]*.py")):
        other = files.setdefault(path.stem, path)
        require(other == path, f"{path}: there is a module of this name already, {other}; call it otherwise")
    return dict(sorted(files.items()))


@cache
def _shipped(kind: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in (PACKAGE / kind).glob("*/[!_]*.py"):
        if files.setdefault(path.stem, path) != path:
            raise RuntimeError(f"two {kind} are called {path.stem}: {files[path.stem]} and {path}")
    return files


def imported(file: Path) -> ModuleType:
    """The module in ``file``: of this package, or of a user's folder.

    A user's folder is a package of its own, known by the content of all its modules: what has changed is imported
    again, and modules may import their neighbours with ``from . import``. Raises :class:`UserError` naming the file.
    """
    if file.is_relative_to(PACKAGE):
        return importlib.import_module(".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts)))
    folder = _folder_of(file)
    package = f"_transferlab_own_{key(folder, _code(folder)):x}"
    for name, place in ((package, folder), (f"{package}.{file.parent.name}", file.parent)):
        if name not in sys.modules:
            module = sys.modules[name] = ModuleType(name)
            module.__path__ = [str(place)]
    try:
        return importlib.import_module(f"{package}.{file.parent.name}.{file.stem}")
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{file}: cannot be imported ({reason})") from error


def _folder_of(file: Path) -> Path:
    return next(folder for folder in folders() if file.is_relative_to(folder))


def _code(folder: Path) -> str:
    """SHA-256, in hexadecimal, of the Python files that an import statement can reach below a folder."""
    files: list[Path] = []
    for place, inside, names in os.walk(folder):
        # No statement imports from .venv, .git or lib/python3.12, and they can hold thousands of files.
        inside[:] = [name for name in inside if name.isidentifier()]
        files += [Path(place, name) for name in names if name.endswith(".py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def own_code(kind: str, name: str) -> str | None:
    """What the code of module ``name`` of a ``kind`` is known by: its whole folder; None where it is this package's."""
    file = modules(kind).get(name)
    return None if file is None or file.is_relative_to(PACKAGE) else _code(_folder_of(file))


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
    require(isinstance(module.sees, Sees), f"{files[name]}: sees must be a Sees(source=…, target=…)")
    check_config(files[name], module.Config, Options)
    return MethodSchema(name, module, module.sees, module.Config)


def check_config(file: Path, cls: Any, base: type) -> None:
    """Refuse a ``Config`` that is no dataclass derived from ``base``, or whose fields' types are not known."""
    fits = isinstance(cls, type) and issubclass(cls, base) and dataclasses.is_dataclass(cls)
    require(fits, f"{file}: Config must be a dataclass that inherits {base.__name__}")
    try:
        typing.get_type_hints(cls)
    except NameError as error:
        raise UserError(f"{file}: Config has a field of unknown type ({error})") from None
