"""Charts of many runs together: a table's bars, curves over few labels, matrices of pairs of domains."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from transferlab.evaluation.figures import CRITIC, OTHERS, SOURCE, TARGET, save_chart
from transferlab.naming import metric_words

PALETTE = (SOURCE, TARGET, *OTHERS, CRITIC, "#F0E442")
METHODS = {
    "source_only": SOURCE, "target_only": TARGET, "dann": "#009E73", "deep_coral": "#CC79A7",
    "subspace_alignment": "#E69F00", "mcd": "#56B4E9", "mean_teacher": "#F0E442",
    "prototypes": "#555555",
    "finetune": SOURCE, "conservative": "#009E73", "layer_transfer": "#CC79A7", "multitask": "#E69F00",
    "progressive": TARGET, "dap": "#555555", "semantic_output_codes": SOURCE, "eszsl": TARGET, "ale": "#009E73",
    "devise": "#CC79A7", "conse": "#E69F00", "zero_shot": "#56B4E9", "self_taught": SOURCE,
    "self_taught_clustering": TARGET,
}  # fmt: skip
"""A method has one colour in every picture; within a cell of the map each has its own."""


def method_colour(method: str) -> str:
    """Of the palette; that of a method which is not listed follows from its name."""
    return METHODS.get(method) or PALETTE[zlib.crc32(method.encode()) % len(PALETTE)]


def bars(
    columns: Sequence[str],
    values: Mapping[str, Sequence[Sequence[float]]],
    methods: Mapping[str, str],
    marks: Mapping[str, Mapping[str, Sequence[float | None]]],
    path: Path,
    title: str,
    unit: str,
) -> None:
    """A group of bars for each of ``columns``: mean ± std of ``values``, by row and column.

    methods: of each row, for its colour. marks: published figures by paper, row and column; a paper has its own sign.
    """
    figure = Figure(
        figsize=(min(30.0, max(6.0, 0.35 * len(columns) * (len(values) + 1) + 2.5)), 4.2), layout="constrained"
    )
    axes = figure.subplots()
    width = 0.8 / len(values)
    styles = row_styles(methods)
    for i, (row, of_row) in enumerate(values.items()):
        places = np.arange(len(columns)) + (i - (len(values) - 1) / 2) * width
        means = [float(np.mean(v)) if v else math.nan for v in of_row]
        spreads = [float(np.std(v, ddof=1)) if len(v) > 1 else math.nan for v in of_row]
        axes.bar(places, means, 0.9 * width, yerr=spreads, capsize=2, label=row, edgecolor="white", lw=0, **styles[row])
        for (paper, of_paper), sign in zip(marks.items(), itertools.cycle("_x+1"), strict=False):
            points = [(x, y) for x, y in zip(places, of_paper[row], strict=True) if y is not None]
            if points:
                size = 45 * width if sign == "_" else 5
                axes.plot(*zip(*points, strict=True), sign, color="black", ms=size, label=paper)
    names = [name.replace(" (", "\n(") for name in columns]
    axes.set_xticks(range(len(columns)), names, rotation=20 if len(columns) > 4 else 0)
    axes.set_title(fill(title, 50), fontsize=10)
    axes.set_ylabel(unit)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    labelled = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(labelled.values(), labelled, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save_chart(figure, path)


def row_styles(methods: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The colour of each row: its method's, with a hatch from the method's second row on.

    Where all rows are of one method the colours say nothing of it, and go by place.
    """
    rows = list(methods)
    if len(set(methods.values())) == 1:
        return {row: {"color": PALETTE[i % len(PALETTE)]} for i, row in enumerate(rows)}
    styles = {}
    for i, row in enumerate(rows):
        earlier = sum(methods[other] == methods[row] for other in rows[:i])
        styles[row] = {"color": method_colour(methods[row]), "hatch": ["", "///", "...", "xxx", "\\\\\\"][earlier % 5]}
    return styles


def few_shot_curve(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy over the number of labelled target samples: mean and standard deviation of each row's records.

    A record has ``row``, ``per_class``, ``target_accuracy`` (test images, solid) and ``target_train_accuracy``
    (the samples learned from, dotted): what lies between them is overfitting.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = list(dict.fromkeys(record["row"] for record in records))
    colours = [TARGET, SOURCE, *OTHERS, CRITIC]
    for place, row in enumerate(rows):
        of_row = [record for record in records if record["row"] == row]
        sizes = sorted({record["per_class"] for record in of_row})
        for key, style in (("target_accuracy", "o-"), ("target_train_accuracy", ":")):
            values = [[record[key] for record in of_row if record["per_class"] == size] for size in sizes]
            mean, deviation = [np.array([statistic(v) for v in values]) for statistic in (np.mean, np.std)]
            colour, label = colours[place % len(colours)], row if style == "o-" else None
            axes.plot(sizes, mean, style, color=colour, ms=4, lw=1.4, label=label)
            if style == "o-":
                axes.fill_between(sizes, mean - deviation, mean + deviation, color=colour, alpha=0.12, lw=0)
    axes.plot([], [], ":", color=CRITIC, label="the same on its training samples")
    ticks = sorted({record["per_class"] for record in records})
    axes.set(xscale="log", xlabel="labelled target samples of each class", ylabel="accuracy", ylim=(None, 1.02))
    axes.set_xticks(ticks, [str(size) for size in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    save_chart(figure, path)


def transfer_matrix(records: Sequence[Mapping[str, Any]], path: Path, baseline: str | None = None) -> None:
    """The mean ``value`` for each source (row) and target (column), a panel for each ``row`` of the records.

    ``metric`` says what the value is; where the records have several, each panel says its own. With ``baseline``, one
    of the rows, it is the difference from that row's mean on the same target, in points, where both have one metric.
    """
    rows = [row for row in dict.fromkeys(record["row"] for record in records) if row != baseline]
    sources, targets = (list(dict.fromkeys(record[role] for record in records)) for role in ("source", "target"))
    metrics = {record["row"]: record["metric"] for record in records}
    width = 1.4 * len(targets) * len(rows) + 3
    figure = Figure(figsize=(width, 1.1 * len(sources) + 1.4), layout="constrained")
    grid = figure.subplots(1, len(rows), squeeze=False)[0]
    shown = np.array([[[_mean(records, row=r, source=s, target=t) for t in targets] for s in sources] for r in rows])
    if baseline:
        of_baseline = np.array([_mean(records, row=baseline, target=target) for target in targets])
        same = np.array([metrics[row] == metrics[baseline] for row in rows])
        shown = np.where(same[:, None, None], shown - of_baseline, math.nan)
    most = float(np.nanmax(np.abs(shown)))
    for axes, row, values in zip(grid, rows, shown, strict=True):
        image = axes.imshow(values, cmap="RdBu" if baseline else "Blues", vmin=-most if baseline else 0, vmax=most)
        axes.set_title(
            fill(row if len(set(metrics.values())) == 1 else f"{row}: {metric_words(metrics[row])}", 18), fontsize=8
        )
        axes.set_xticks(range(len(targets)), [fill(name, 20, break_long_words=False) for name in targets], fontsize=7)
        names = [fill(name, 20, break_long_words=False) for name in sources] if axes is grid[0] else [""] * len(sources)
        axes.set_yticks(range(len(sources)), names, fontsize=7)
        for i, j in np.ndindex(*values.shape):
            if np.isfinite(values[i, j]):
                dark = values[i, j] > 0.6 * most or (baseline and values[i, j] < -0.6 * most)
                text = f"{values[i, j]:+.1f}" if baseline else f"{values[i, j]:.1f}"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "0.2")
    one = metric_words(shared.pop()) if len(shared := set(metrics.values())) == 1 else "target"
    what = f"{one}, less that of {baseline}, points" if baseline else f"{one}, per cent"
    figure.colorbar(image, ax=grid.tolist()).set_label(fill(what, 32), fontsize=8)
    save_chart(figure, path)


def _mean(records: Sequence[Mapping[str, Any]], **wanted: str) -> float:
    """The mean value, in per cent, of the records that are as ``wanted``; not a number where none is."""
    values = [r["value"] for r in records if all(r[key] == value for key, value in wanted.items())]
    return 100 * float(np.mean(values)) if values else math.nan
