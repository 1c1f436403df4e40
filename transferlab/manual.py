"""What ``--help`` prints and what the TAB key offers: read from the schema and its doc strings, without torch."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import os
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from transferlab import hydra_adapter, plan
from transferlab.config import Config, schemas, typed_sections
from transferlab.errors import UserError
from transferlab.map import PACKAGE, method_files
from transferlab.reports import tables

Verbs = Mapping[str, Callable[[Sequence[str]], int]]
GROUPS = ("method", "source", "target", "model", "train", "device", "experiment")
EXAMPLES = {
    "transferlab method=dann source=mnist target=mnistm": "one run",
    "transferlab -m method=source_only,dann seed=0,1,2": "a sweep; hydra/launcher=joblib: in parallel",
    "transferlab resume=<folder>": "continue a run that was stopped",
    "transferlab table dann": "what is missing of a table, and the table",
    "transferlab --help method=finetune": "the keys of these choices",
}
END = """--config-dir <folder> adds choices of your own; --cfg job shows the config, --hydra-help Hydra's own flags.
TAB completes verbs, groups and keys after: eval "$(transferlab -sc install=bash)", for zsh too;
for fish: transferlab -sc install=fish | source"""
OPTIONS = {
    "doctor": ["data.root=", "data.edition="],
    "list": ["best=", "--csv", "--config-dir"],
    "compare": ["metric=", "--config-dir"],
    "predict": ["run=", "root=", "out=", "top=", "batch=", "device=", "domain="],
    "evaluate": ["run=", "split=", "out=", "device="],
    "export": ["run=", "out=", "root=", "data.root=", "domain="],
    "photographs": ["root=", "data.root=", "out=", "devise="],
}
"""What may follow the verbs that take no words of a run."""
OF_TABLE = ["rows=", "columns=", "seeds=", "metric=", "--dry-run", "--render"]


def page(verbs: Verbs, composed: DictConfig, config_dir: str | None) -> str:
    """All verbs, groups and keys, with what they mean, for the choices in ``composed``."""
    plain = plan.plain(composed)
    names, typed, options = typed_sections(plain)
    sections = {"method": options, **{section: vars(values) for section, values in typed.items()}}
    lines = ["transferlab: the map of transfer learning, run from the command line.", ""]
    lines += [f"  {words:50} {meaning}" for words, meaning in EXAMPLES.items()]
    lines += ["", "Verbs (transferlab <verb> --help says more)"]
    lines += [f"  {name:12} {summary(verb)}" for name, verb in verbs.items()]
    lines += ["", "Groups: choose with group=choice"]
    with hydra_adapter.session(config_dir):
        for group in GROUPS:
            lines += _wrapped(f"  {group:12} ", ", ".join(hydra_adapter.choices(group)))
    lines += ["", "Keys: change with key=value"]
    choices = composed.hydra.runtime.choices
    for section, values in sections.items():
        if values:
            lines.append(f"{section}={choices[section]}" if section in choices else section)
            lines += _keys(values, f"{section}.", _meanings(section, names))
    lines.append("the run")
    of_run = {f.name: plain[f.name] for f in dataclasses.fields(Config) if f.name in plain and f.name not in sections}
    lines += _keys(of_run, "", documented(Path(inspect.getfile(Config)), "Config"))
    return "\n".join([*lines, "", END])


def summary(verb: Callable[..., int]) -> str:
    """The first line of a verb's doc string."""
    return (verb.__doc__ or "").partition("\n")[0]


def usage(verb: Callable[..., int]) -> str:
    """A verb's doc string."""
    return inspect.getdoc(verb) or ""


def _meanings(section: str, names: Mapping[str, str]) -> dict[str, str]:
    """What stands under the fields of a section's dataclass, and of those that it inherits from."""
    if section == "method":  # not imported, which would load torch
        return documented(method_files()[names["method"]], "Config")
    cls = schemas(names)[section]
    return documented(Path(inspect.getfile(cls)), cls.__name__)


def _keys(values: Mapping[str, Any], prefix: str, meanings: Mapping[str, str]) -> list[str]:
    lines = []
    for name, value in values.items():
        if name in meanings:
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            lines += _wrapped(f"  {prefix}{name}={shown.replace(' ', '')} ".ljust(32), meanings[name])
    return lines


def _wrapped(start: str, text: str) -> list[str]:
    width = max(shutil.get_terminal_size((120, 24)).columns, 80)
    return textwrap.wrap(f"{start}{text}", width, subsequent_indent=" " * min(len(start), 32), break_on_hyphens=False)


def documented(path: Path, name: str) -> dict[str, str]:
    """What stands under each field of class ``name`` in the file ``path``, and of the classes it inherits from.

    Fields in a row may share a text, and one that only has another default keeps that of its base.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from None
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not found:  # made otherwise than by a class statement, which nothing forbids
        return {}
    cls = found[0]
    meanings: dict[str, str] = {}
    for base in cls.bases:
        if isinstance(base, ast.Name) and (place := _defined(base.id, path, tree)):
            meanings |= documented(place, base.id)
    waiting: list[str] = []
    for node in cls.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            waiting.append(node.target.id)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            meanings |= dict.fromkeys(waiting, " ".join(node.value.value.split()))
            waiting = []
    return meanings


def _defined(name: str, path: Path, tree: ast.Module) -> Path | None:
    """The file in which the class that a module calls ``name`` is written, where it is of this package."""
    if any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body):
        return path
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            package, *parts = (node.module or "").split(".")
            return PACKAGE.joinpath(*parts).with_suffix(".py") if package == PACKAGE.name else None
    return None


def complete(args: argparse.Namespace, verbs: Sequence[str]) -> None:
    """Answer the shell: verbs and their own words here, groups and keys by Hydra."""
    if any(word.startswith("query=") for word in args.overrides):
        line = os.environ.get("COMP_LINE", "")
        program, *words = line.split() or [""]
        # The shell's function says nothing of it.
        given = [place for place, word in enumerate(words) if word.startswith("--config-dir")]
        if given:
            value = words[given[0]].partition("=")[2] or "".join(words[given[0] + 1 : given[0] + 2])
            args.config_dir = args.config_dir or (value if Path(value).is_dir() else None)
            del words[given[0] : given[0] + 1 + ("=" not in words[given[0]])]
        last = "" if line.endswith(" ") or not words else words.pop()
        verb = words[0] if words and words[0] in verbs else None
        which = verb == "table" and len(words) == 1
        offered = list(verbs) if not words else list(tables.table_files(args.config_dir)) if which else []
        offered += OPTIONS.get(verb or "", OF_TABLE if verb == "table" and not which else [])
        print(*(word for word in offered if word.startswith(last)), sep="\n")
        if verb in OPTIONS or which:
            return
        own = {"table": 2, None: 0}.get(verb, 1)
        os.environ["COMP_LINE"] = " ".join([program, *words[own:], last])
    try:
        with hydra_adapter.session(args.config_dir):
            hydra_adapter.show(args, args.overrides)
    except (ValueError, RuntimeError) as error:  # another shell, or no line to complete
        raise UserError(f"--shell-completion: {' '.join(str(error).split())}") from None
