"""``transferlab list``: the runs below a folder, whatever commands made them; a function of their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferlab import naming
from transferlab.config import to_plain
from transferlab.errors import nearest, require, some
from transferlab.files import csv_text
from transferlab.records import Record, read, read_all
from transferlab.reports import layouts
from transferlab.reports.table_entries import LOWER_IS_BETTER
from transferlab.runs import RunFolder, config_in
from transferlab.validators import VALIDATORS

OTHERS = ("u", "H", "nmi", "ari", "cluster_entropy")
"""Figures that look at target test labels, as every accuracy on the target does: for inspecting runs, not choosing."""


def listed(found: Sequence[Record], conditions: Mapping[str, str], best: str | None) -> list[Record]:
    """The records that meet all ``conditions``, newest first; or, with ``best``, the best of that figure first.

    conditions: values of :func:`flat` by key, compared as words. best: a figure of results.json, or a validator's name.
    Raises :class:`~transferlab.errors.UserError` for a key, or a value of one, that no run has.
    """
    flats = {record.path: flat(record) for record in found}
    known = sorted({key for one in flats.values() for key in one})
    for key in (*conditions, *([] if best is None else [best])):
        name = score(key) if key == best else key
        require(name in known or not found, f"no run has the key {key}{nearest(key, known)}")
    for key, value in conditions.items():
        there = sorted({_said(one[key]) for one in flats.values() if key in one})
        require(
            value in there or not found, f"no run has {key}={value}; there are {some(there)}{nearest(value, there)}"
        )
    kept = [r for r in found if all(_said(flats[r.path].get(key)) == value for key, value in conditions.items())]
    if best is None:
        return sorted(kept, key=lambda record: str(record.status.get("started", "")), reverse=True)
    measured = [record for record in kept if isinstance(flats[record.path].get(score(best)), int | float)]
    higher = score(best) not in LOWER_IS_BETTER
    return sorted(measured, key=lambda record: float(flats[record.path][score(best)]), reverse=higher)


def _said(value: Any) -> str:
    """A value as written on a command line."""
    return naming.spelled({"": value})[1:]


def score(name: str) -> str:
    """The key of results.json that holds a figure, or a validator's score, at the run's end."""
    return f"validator_{name}" if name in VALIDATORS else name


def flat(record: Record) -> dict[str, Any]:
    """All of a run, flat: its config, as ``train.steps``, its names, its status and its figures."""
    plain = to_plain(record.config)
    values: dict[str, Any] = {}
    for section, value in plain.items():
        if isinstance(value, dict):
            values |= {f"{section}.{key}": part for key, part in value.items()}
        else:
            values[section] = value
    values |= {key: value for key, value in record.results.items() if not isinstance(value, list | dict)}
    names = record.config.names
    data = {f"{role}.data": digest[:8] for role, digest in record.digests.items()}
    return {**values, **names, **data, "status": record.state, "code": record.code, "edition": record.edition}


def rows(found: Sequence[Record], best: str | None) -> list[dict[str, str]]:
    """A line for each run."""
    lines = []
    for record, called in zip(found, _called(found), strict=True):
        values = record.results
        state = f"{record.state}, older code" if record.code == "older" else record.state
        figure = {} if best is None else {best: _figure(values.get(score(best)))}
        lines.append({
            "started": str(record.status.get("started", ""))[:16].replace("T", " "),
            "method": called["method"], "source": called["source"], "target": called["target"],
            "options": naming.spelled(naming.differences(record.config)["options"]),
            "seed": str(record.config.seed), "status": state, **figure,
            naming.metric_words("target_accuracy"): _figure(values.get(record.headline) if values else None),
            "source accuracy": _figure(values.get("source_accuracy")), "folder": str(record.path),
        })  # fmt: skip
    return lines


def _called(found: Sequence[Record]) -> list[dict[str, str]]:
    """The names of each run's method and domains; with their digests where domains of one name differ in data."""
    every = [naming.words(record.config) for record in found]
    digests: dict[str, set[str]] = {}
    for record, called in zip(found, every, strict=True):
        for role, digest in record.digests.items():
            digests.setdefault(called[role], set()).add(digest)
    return [
        called | {role: f"{called[role]} data={digest[:8]}" for role, digest in record.digests.items()
                  if len(digests[called[role]]) > 1}
        for record, called in zip(found, every, strict=True)
    ]  # fmt: skip


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def text(found: Sequence[Record], best: str | None) -> str:
    """The lines of :func:`rows`, aligned, and what they may not be used for."""
    shown = layouts.text(rows(found, best))
    looks = best in OTHERS or (best is not None and "target" in best and best not in VALIDATORS)
    return shown + f"\n\n{best} looks at target test labels: use it to inspect runs, never to choose one" * looks


def csv(found: Sequence[Record]) -> str:
    """Everything of each run, a column for each key."""
    return csv_text([{**flat(record), "folder": str(record.path)} for record in found])


def below(folder: Path) -> list[Record]:
    """The records of all runs in ``folder``, at any depth, and of ``folder`` itself where it is one."""
    own = [read(RunFolder(folder), config_in(folder))] if (folder / "config.json").exists() else []
    return own + read_all(folder)
