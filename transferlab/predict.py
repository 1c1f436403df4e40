"""The verb predict: what a trained model says of each picture in a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferlab import trained
from transferlab.errors import printable, require, some
from transferlab.files import csv_text, expanded, json_text, write_text
from transferlab.reports import layouts
from transferlab.trained import Predictions, TrainedModel, pictures_in, place_for

DEFAULTS = {"run": "", "root": "", "out": "", "top": "5", "batch": "64", "device": "auto", "domain": "target"}


def run(given: Mapping[str, str]) -> int:
    """Print, or write to ``out``, the likeliest classes of all pictures; 1 where none could be read."""
    options = {**DEFAULTS, **given}
    require(options["run"] != "", "predict: say which run's folder, with run=…")
    require(options["root"] != "", "predict: say which pictures, with root=<folder or file>")
    top, batch = (_count(key, options[key]) for key in ("top", "batch"))
    out = expanded(options["out"]) if options["out"] else None
    known = out is None or out.suffix in (".csv", ".json")
    require(known, f"out={options['out']}: allowed are names that end in .csv or .json")
    place_for(out)
    root = expanded(options["root"])
    paths, passed = pictures_in(root)
    model = trained.load(options["run"], options["device"], options["domain"])
    require(model.size is not None, f"run={options['run']}: it learned from {_kind(model)}, not from pictures")
    changed = getattr(model.config, model.domain).transform
    if changed != "none":
        print(f"the run's {model.domain} was {changed}; the pictures are taken as they are", file=sys.stderr)
    rows, skipped = _rows(model, root, paths, top, batch)
    _say(skipped, [printable(str(path)) for path in passed])
    if out is None:
        print(layouts.text([{key: _short(value) for key, value in row.items()} for row in _flat(rows)]))
    else:
        record = {"run": str(expanded(options["run"])), "classes": model.classes, "pictures": rows, "skipped": skipped}
        write_text(out, json_text(record) if out.suffix == ".json" else csv_text(_flat(rows)))
        print(f"{out}: {len(rows)} pictures" + (f", {len(skipped)} not readable" if skipped else ""))
    return 0 if rows else 1


def _count(key: str, text: str) -> int:
    require(text.isdecimal() and int(text) > 0, f"{key}={text}: a whole number of at least 1 is needed")
    return int(text)


def _kind(model: TrainedModel) -> str:
    shapes = {tuple(split["shape"]) for split in model.data.values()}
    return " and ".join(f"inputs {list(shape)}" for shape in sorted(shapes))


def _rows(
    model: TrainedModel, root: Path, paths: list[Path], top: int, batch: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Of each picture that can be read its name and likeliest classes; and what is wrong with the others."""
    from tqdm import tqdm

    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    with tqdm(total=len(paths), desc="predicting", unit="pictures", disable=None) as bar:
        for there, answers, wrong in model.predict_files(paths, batch):
            rows += [_row(root, path, best, answers) for path, best in zip(there, answers.top(top))]
            skipped += wrong
            bar.update(len(there) + len(wrong))
    return rows, skipped


def _row(root: Path, path: Path, best: list[tuple[str, float]], answers: Predictions) -> dict[str, Any]:
    name = path.relative_to(root).as_posix() if path != root else path.name
    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")  # bytes that are no text
    what = "score" if answers.probabilities is None else "probability"
    return {"file": name, "classes": [{"class": label, what: round(value, 6)} for label, value in best]}


def _flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row with columns file, class, probability, class_2, probability_2, …"""
    flat = []
    for row in rows:
        numbered = [(place, key, value) for place, one in enumerate(row["classes"], 1) for key, value in one.items()]
        flat.append({"file": row["file"]} | {key if n == 1 else f"{key}_{n}": value for n, key, value in numbered})
    return flat


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else printable(str(value))


def _say(skipped: list[str], passed: list[str]) -> None:
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if passed:
        print(f"{len(passed)} files that are no pictures passed over: {some(passed)}", file=sys.stderr)
