"""A table's figures: the lines of one row and column, their mean, intervals and differences, as plain numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transferlab import intervals
from transferlab.reports.table_lines import Line
from transferlab.reports.tables import Table
from transferlab.runs import COLLAPSED, FINISHED

LOWER_IS_BETTER = ("target_ece", "cluster_entropy", "proxy_a_distance", "forgetting", "seconds")


@dataclass(frozen=True)
class Entry:
    """A figure of the table: a cell over its seeds, in one edition of the data."""

    lines: Sequence[Line]
    """At least one."""
    published: Mapping[str, float]
    """By paper."""

    @property
    def row(self) -> str:
        return self.lines[0].row

    @property
    def column(self) -> str:
        return self.lines[0].column

    @property
    def metric(self) -> str:
        return self.lines[0].metric

    @property
    def heading(self) -> str:
        edition = self.lines[0].edition
        return f"{self.column} ({edition})" if edition else self.column

    @property
    def finished(self) -> list[Line]:
        return [line for line in self.lines if line.status == FINISHED]

    @property
    def collapsed(self) -> int:
        return sum(line.status == COLLAPSED for line in self.lines)

    @property
    def values(self) -> dict[int, float]:
        """The metric of each finished seed."""
        return {line.seed: line.value for line in self.finished if line.value is not None}

    def mean(self, field: str) -> float | None:
        """The mean of one of the lines' numbers over the finished runs that have it."""
        numbers = [number for line in self.finished if (number := getattr(line, field)) is not None]
        return statistics.fmean(numbers) if numbers else None

    @property
    def half(self) -> float | None:
        """Half of the interval by the test samples, on average over the runs."""
        low, high = self.mean("low"), self.mean("high")
        return None if low is None or high is None else (high - low) / 2

    @property
    def test_count(self) -> int | None:
        return min((line.test_count for line in self.finished if line.test_count is not None), default=None)

    @property
    def notes(self) -> list[str]:
        """What is not finished and why: 'failed (seeds 0, 1): Diverged: …'."""
        states: dict[tuple[str, str], list[int]] = {}
        for line in self.lines:
            if line.status != FINISHED:
                states.setdefault((line.status, line.reason), []).append(line.seed)
        return [
            f"{state} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})" + (f": {reason}" if reason else "")
            for (state, reason), seeds in states.items()
        ]


def entries(table: Table, of: Sequence[Line]) -> list[Entry]:
    """The figures of a table. A column is split where its runs have more than one edition of the data."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line in of:
        groups.setdefault((line.column, line.edition, line.row), []).append(line)
    return [
        Entry(members, {name: paper.figures[row][column] for name, paper in table.published.items()
                        if column in paper.figures.get(row, {})})
        for (column, _, row), members in groups.items()
    ]  # fmt: skip


def gap_closed(value: float | None, lower: float | None, upper: float | None) -> float | None:
    """(value - lower) / (upper - lower), where all three are there and there is a gap."""
    if value is None or lower is None or upper is None or upper <= lower:
        return None
    return (value - lower) / (upper - lower) + 0.0  # no minus zero


def is_gap(lower: Entry | None, upper: Entry | None) -> bool:
    """Whether ``upper`` is above ``lower`` beyond the noise: over their seeds, or of one seed by its test samples.

    Where lower is better there is none.
    """
    if lower is None or upper is None or not _comparable(lower, upper) or lower.metric in LOWER_IS_BETTER:
        return False
    paired = intervals.differences(upper.values, lower.values)
    if len(paired) > 1:
        return statistics.fmean(paired) > 0 and intervals.is_difference(paired, upper.test_count)
    below, above = lower.mean("value"), upper.mean("value")
    if below is None or above is None or lower.half is None or upper.half is None:
        return False
    return above - below > math.hypot(lower.half, upper.half)


def _comparable(one: Entry, other: Entry) -> bool:
    """Whether both are of one metric, accuracies over samples or classes alike; and chosen by test labels, or not."""
    metrics = [entry.metric for entry in (one, other)]
    kinds = [("mean_class" in m if "accuracy" in m else m, m.startswith("oracle")) for m in metrics]
    return kinds[0] == kinds[1]


def flat(table: Table, found: Sequence[Entry]) -> list[dict[str, Any]]:
    """A record for each figure, with plain numbers: the lines of table.csv."""
    return [_flat(table, entry, {e.row: e for e in found if e.heading == entry.heading}) for entry in found]


def _flat(table: Table, entry: Entry, column: Mapping[str, Entry]) -> dict[str, Any]:
    values = list(entry.values.values())
    mean = statistics.fmean(values) if values else None
    low, high = intervals.of_metric(values, entry.metric) or (None, None)
    paired = paired_differences(table, entry, column)
    paired_low, paired_high = intervals.over_seeds(paired) or (None, None)
    lower, upper = (column.get(row) for row in table.gap or ("", ""))
    ends = [end.mean("value") for end in (lower, upper) if end] if is_gap(lower, upper) else [None, None]
    line: dict[str, Any] = {
        "column": entry.column, "edition": entry.lines[0].edition, "row": entry.row, "metric": entry.metric,
        "n": len(values), "seeds": len(entry.lines), "collapsed": entry.collapsed, "mean": mean,
        "std": statistics.stdev(values) if len(values) > 1 else None, "low": low, "high": high,
        "test_count": entry.test_count, "test_half_interval": entry.half,
        "source_accuracy": entry.mean("source_accuracy"),
        "difference": statistics.fmean(paired) if paired else None, "difference_low": paired_low,
        "difference_high": paired_high,
        "verdict": intervals.verdict(paired, entry.test_count, entry.metric in LOWER_IS_BETTER),
        "gap_closed": gap_closed(mean, *ends),
    }  # fmt: skip
    for name, paper in table.published.items():
        figure = entry.published.get(name)
        theirs = [paper.figures.get(row, {}).get(entry.column) for row in table.gap or ("", "")]
        line[name] = figure
        line[f"{name}_difference"] = None if mean is None or figure is None else mean - figure
        line[f"{name}_gap_closed"] = gap_closed(figure, *theirs)
    return {**line, "seconds": entry.mean("seconds"), "note": "; ".join(entry.notes)}


def paired_differences(table: Table, entry: Entry, column: Mapping[str, Entry]) -> list[float]:
    """The differences, seed by seed, from the reference row of the same column."""
    reference = column.get(table.reference_row)
    if reference is None or reference.row == entry.row or not _comparable(entry, reference):
        return []
    return intervals.differences(entry.values, reference.values)
