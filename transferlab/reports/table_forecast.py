"""What of a table would run, and for how long."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from transferlab.config import Config
from transferlab.records import read_all
from transferlab.reports import layouts
from transferlab.reports.tables import Cell, Request, minutes_a_step, steps, to_run


def forecast_text(asked: Request, wanted: Sequence[Cell]) -> str:
    """What --dry-run prints."""
    shown, needs, sentence = forecast(asked, wanted)
    return "\n\n".join([layouts.text(shown), *["\n".join(needs)] * bool(needs), sentence])


def forecast(asked: Request, wanted: Sequence[Cell]) -> tuple[list[dict[str, str]], list[str], str]:
    """What is finished and what would run; what is missing for it; and in a sentence how long it will take.

    A run is taken to last as long as finished runs of its method and net do for the same number of steps; or else its
    share, by steps, of what the table's file says; or as long as any finished run.
    """
    took: dict[tuple[str, ...], list[float]] = {}
    for record in read_all(wanted[0].sweep):
        if record.results:
            for key in _alike(record.config):
                took.setdefault(key, []).append(record.results["seconds"] / steps(record.config))
    waiting = to_run(wanted)
    rates = [next((statistics.fmean(took[k]) for k in _alike(cell.config)[:2] if k in took), None) for cell in waiting]
    told = minutes_a_step(asked) if None in rates else {}
    any_run = statistics.fmean(took.get((), [math.nan]))
    guesses = [60 * told[cell.column] if cell.column in told else any_run for cell in waiting]
    seconds = sum(steps(cell.config) * (guess if rate is None else rate)
                  for rate, guess, cell in zip(rates, guesses, waiting, strict=True))  # fmt: skip
    folders = {cell.folder for cell in waiting}
    shown, needs = [], dict[str, str]()
    for column in asked.columns:
        for row in asked.rows:
            of_pair = [cell for cell in wanted if (cell.row, cell.column) == (row, column)]
            seeds: dict[str, list[str]] = {"finished": [], "to run": []}
            for cell in (cell for cell in of_pair if cell.digests):
                seeds["to run" if cell.folder in folders else "finished"].append(str(cell.config.seed))
            missing = {cell.missing: f"needs {cell.missing}: {cell.remedy}" for cell in of_pair if cell.missing}
            needs |= missing
            note = ", ".join(f"needs {name}" for name in missing)
            shown.append({"column": column, "row": row, **{k: ",".join(v) for k, v in seeds.items()}, "note": note})
    finished = len({cell.folder for cell in wanted if cell.editions}) - len(waiting)
    by = "the table's own estimate, for one core" if told else "finished runs"
    expected = asked.table.time if math.isnan(seconds) else f"about {_duration(seconds)} one at a time, by {by}"
    sentence = f"{asked.name}: {len(waiting)} runs to go, {finished} finished" + (f"; {expected}" if waiting else "")
    return shown, list(needs.values()), sentence


def _alike(config: Config) -> list[tuple[str, ...]]:
    """What a run's time is guessed from, nearest first: the same method, net and data; the same method and net; any."""
    near = (config.names["method"], config.model.name)
    return [(*near, config.names["source"], config.names["target"]), near, ()]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
