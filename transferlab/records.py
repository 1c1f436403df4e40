"""What runs have left in their folders, read once, for sweeps, tables and pictures of many runs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab.config import Config, edition_name, to_plain
from transferlab.files import read_json
from transferlab.map import method_schema
from transferlab.runs import DONE, RunFolder, runs_in
from transferlab.weights import NONE


@dataclass(frozen=True)
class Record:
    """What a run's folder says."""

    path: Path
    config: Config
    current: bool
    """Whether this version of the code would give the same results."""
    status: dict[str, Any]
    results: dict[str, Any]
    """Empty where the run has no result; so are data and environment."""
    data: dict[str, Any]
    environment: dict[str, Any]

    @property
    def state(self) -> str:
        """The word in status.json."""
        return str(self.status.get("status", "missing"))

    @property
    def code(self) -> str:
        """Which version of the code it is of: current, older (any other), or "" where that is not known."""
        return "" if "fingerprint" not in self.status else "current" if self.current else "older"

    @property
    def edition(self) -> str:
        editions = self.status.get("editions")
        return edition_name(editions) if editions else ""

    @property
    def digests(self) -> dict[str, str]:
        return self.status.get("digests") or {}

    @property
    def kind_of_data(self) -> str:
        """What is asked for as data, in which edition; and through which trained weights it is seen, if through any."""
        domains = [to_plain(self.config)[role] for role in ("source", "target")]
        asked = [{k: v for k, v in domain.items() if k not in ("per_class", "transform")} for domain in domains]
        model, net = self.config.model, method_schema(self.config.names["method"]).sees.net
        seen = [model.name, model.weights, model.frozen, model.input_size] if net and model.weights != NONE else []
        return json.dumps([asked, self.status["editions"], seen], sort_keys=True)

    @property
    def headline(self) -> str:
        return str(self.results.get("headline") or headline(self.config))

    @property
    def numbers(self) -> list[str]:
        """The results that a table can show."""
        return [key for key, value in self.results.items() if type(value) in (int, float)]


def headline(config: Config) -> str:
    """The key of results.json that is the result of the config's method."""
    return method_schema(config.names["method"]).sees.headline


def read(folder: RunFolder, config: Config) -> Record:
    """The record of one run."""
    status = folder.status
    done = status.get("status") in DONE
    parts = [read_json(folder.path / f"{name}.json") if done else {} for name in ("results", "data", "environment")]
    current = status.get("fingerprint") == config.fingerprint(status.get("digests") or {})
    return Record(folder.path, config, current, status, *parts)


def read_all(folder: Path) -> list[Record]:
    """The record of every run in ``folder``; says which it cannot read."""
    found, unread = runs_in(folder)
    say_passed_over(folder, unread)
    return [read(run, config) for run, config in found]


def say_passed_over(folder: Path, reasons: Iterable[str]) -> None:
    """A line on stderr for each of the ``reasons`` for which runs in ``folder`` are left out, and for how many."""
    for reason, count in Counter(reasons).items():
        print(f"{folder}: passed over, {reason}: {count}", file=sys.stderr)
