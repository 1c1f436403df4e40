"""The rooms of the package stand on floors: what a module imports lies below its room, and nothing goes round."""

import ast
from pathlib import Path

import transferlab

PACKAGE = Path(transferlab.__file__).parent
FLOORS = [
    {"errors", "options", "intervals", "randomness", "validators"},
    {"build", "devices", "files", "locks", "map", "numerics"},
    {"data", "storage"},
    {"weights"},
    {"config", "inputs"},
    {"augmentation", "problem"},
    {"hydra_adapter", "models", "naming", "runs"},
    {"evaluation", "idle", "records", "training"},
    {"compatibility", "methods", "photographs", "trained"},
    {"dispatch"},
    {"precision"},
    {"plan"},
    {"reports"},
    {"evaluate", "export", "manual", "predict"},
    {"jobs"},
    {"cli"},
    {"api", "testing"},
    {"__main__"},
]
"""Lowest first; what the package's own ``__init__`` says is for all."""


def imports(body):
    """The modules of the package that are imported, in functions too; not what is for the type checker alone."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "transferlab":
            below = (node.module or "").split(".")[1:]
            yield from [below[0]] if below else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports within the package say its name"
        elif isinstance(node, ast.Import):
            yield from [parts[1] for alias in node.names if (parts := alias.name.split("."))[0] == "transferlab"]
        for part in ("body", "orelse", "handlers", "finalbody"):
            yield from imports(getattr(node, part, []))


def test_every_import_goes_down():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    up = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for other in imports(ast.parse(path.read_text(encoding="utf-8")).body):
            if room not in ("__init__", other) and not other.startswith("__") and floor[other] >= floor[room]:
                up.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert up == []


def test_no_file_is_too_long_to_read():
    """Except drawings, which are one long list of shapes."""
    long = {path.name: count for path in PACKAGE.rglob("*.py")
            if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400}  # fmt: skip
    assert set(long) <= {"_sign_drawings.py"}


def test_no_function_is_too_long_to_read():
    """Except the training loop and two numerical ones, which would be harder to follow in pieces."""
    allowed = {"engine.train", "self_taught_clustering.cluster", "sparse_coding.learn"}
    long = {f"{path.stem}.{node.name}" for path in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 40}  # fmt: skip
    assert long <= allowed
