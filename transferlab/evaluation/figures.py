"""Pictures of a run: a PNG, whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transferlab.files import write_bytes, write_text

matplotlib.rcParams["text.parse_math"] = False  # a class may be called a$_$
matplotlib.rcParams["svg.hashsalt"] = "transferlab"  # the same picture is the same file


SOURCE, TARGET, CRITIC = "#0072B2", "#D55E00", "#555555"  # Okabe & Ito's colours, distinct for everybody
OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
CLASSES = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#000000")
"""Tol's muted scheme, distinct for everybody, and black."""
Placed = tuple[int, Mapping[str, Any]]
"""A place on an axis of steps, and the row of metrics.csv that stands there."""


def save(figure: Figure, path: Path) -> None:
    """The PNG ``path``; without the date, so that the same picture is the same file."""
    save_as(figure, path, "png")


def save_chart(figure: Figure, path: Path) -> None:
    """The PNG ``path``, and beside it a PDF and an SVG."""
    save(figure, path)
    for kind, date in (("pdf", "CreationDate"), ("svg", "Date")):
        save_as(figure, path.with_suffix(f".{kind}"), kind, metadata={date: None})


def save_as(figure: Figure, path: Path, kind: str, **options: Any) -> None:
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=120, **options)
    write_bytes(path, content.getvalue())


def _short(name: str, most: int = 24) -> str:
    """A class's name on one line, cut where it is long."""
    line = " ".join(name.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def learning_curves(rows: Sequence[Mapping[str, Any]], path: Path, selected: str = "") -> None:
    """Losses and accuracies over the steps of all stages, from the rows of metrics.csv.

    selected: the stage and step that a validator has chosen, such as "adapt step 1200"; a line marks it.

    The stages lie one after the other, with a line and a name where each begins. The source's own model stands where
    its training has ended; candidates have no place among the steps and are left out.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    placed, starts = _along_steps(rows)
    for x, row in placed:
        if row["kind"] == "step" and selected == f"{row['stage']} step {row['step']}":
            right.axvline(x, color="0.2", lw=1, ls="--", label="selected")
    losses = dict.fromkeys(k for row in rows for k in row if k.startswith("loss/"))
    colours = [SOURCE, CRITIC, *OTHERS]
    for i, name in enumerate(losses):
        label: str | None = name.removeprefix("loss/")
        for stage in starts:
            if of_stage := _points(placed, name, stage):
                marker = "o" if len(of_stage) == 1 else ""  # a line of one point is not to be seen
                colour = colours[i % len(colours)]
                left.plot(*zip(*of_stage, strict=True), color=colour, lw=1.2, marker=marker, ms=3.5, label=label)
                label = None
    for name, colour in (("source_accuracy", SOURCE), ("target_accuracy", TARGET), ("critic_accuracy", CRITIC)):
        if seen := _points(placed, name):
            right.plot(*zip(*seen, strict=True), "o-", color=colour, ms=3.5, label=name.replace("_", " "))
    if any("critic_accuracy" in row for row in rows):
        right.axhline(0.5, color=CRITIC, lw=0.8, ls=":", label="critic at chance")
    left.set(title="losses", xlabel="step")
    right.set(title="accuracy on test inputs", xlabel="step", ylim=(0, 1.02))
    for axes in (left, right):
        _name_stages(axes, starts if len(starts) > 1 else {})
    save_chart(figure, path)


def _along_steps(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Placed], dict[str, int]]:
    """The rows that have a place on an axis of all stages' steps, each with its place, and where each stage begins."""
    placed: list[Placed] = []
    starts: dict[str, int] = {}
    end = 0
    for row in rows:
        if row["kind"] == "step":
            x = starts.setdefault(row["stage"], end) + int(row["step"])
            end = max(end, x)
            placed.append((x, row))
        elif row["kind"] == "source model":
            placed.append((end, row))
    return placed, starts


def _points(placed: Sequence[Placed], name: str, stage: str | None = None) -> list[tuple[int, float]]:
    """Where the rows, of one stage if it is given, have a number called ``name``."""
    of_stage = [(x, row[name]) for x, row in placed if name in row and stage in (None, row["stage"])]
    return [(x, float(y)) for x, y in of_stage if math.isfinite(y)]


def _name_stages(axes: Any, starts: Mapping[str, int]) -> None:
    """A line and a name where each stage begins, and what all curves over steps have."""
    for place, (stage, start) in enumerate(starts.items()):
        axes.axvline(start, color="0.7", lw=0.8)
        # At three heights, because a short stage leaves no room beside the next one's name.
        style = {"rotation": 90, "va": "top", "fontsize": 7, "color": "0.4", "clip_on": True}
        axes.text(start, 0.98 - 0.3 * (place % 3), f" {stage}", transform=axes.get_xaxis_transform(), **style)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Shares of each true class (row) by prediction (column), from int64 [C, C] of the first C classes.

    Of more than 30 classes some alone are named, so that the picture's size has a bound.
    """
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    if len(matrix) < len(classes):
        title = f"{title}\nthe first {len(matrix)} of {len(classes)} classes"
    shown = min(len(matrix), 30)
    size = max(4.0, 0.36 * shown + 1.5)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    places = range(0, len(matrix), math.ceil(len(matrix) / shown))
    names = [_short(classes[place]) for place in places]
    axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(places, names)
    if len(matrix) <= 15:
        for i, j in np.ndindex(*shares.shape):
            if shares[i, j] >= 0.005:
                colour = "white" if shares[i, j] > 0.5 else "0.2"
                axes.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, shrink=0.8, label="share of the true class")
    save_chart(figure, path)


def samples(source: np.ndarray, target: np.ndarray, path: Path, source_name: str, target_name: str) -> None:
    """A strip of images of each domain: uint8 [n, C, H, W]."""
    count = max(len(source), len(target))
    figure = Figure(figsize=(0.62 * count + 1.2, 1.7), layout="constrained")
    for axes, images, name in zip(figure.subplots(2, 1), (source, target), (source_name, target_name), strict=True):
        pixels = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
        gap = np.full((pixels.shape[1], 2, 3), 255, np.uint8)
        axes.imshow(np.concatenate([part for image in pixels for part in (image, gap)], axis=1))
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    save(figure, path)


def predictions(images: np.ndarray, names: Sequence[tuple[str, str]], path: Path) -> None:
    """Images uint8 [N, C, H, W], each under its predicted class; where that is wrong, in red and with the true one.

    names: of each image the predicted and the true class.
    """
    columns = min(8, len(images))
    lines = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.25 * columns, 1.55 * lines), layout="constrained")
    every = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in every:
        axes.set_axis_off()
    for axes, image, (said, true) in zip(every, images, names):
        axes.imshow(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
        wrong = said != true
        title = f"{_short(said, 18)}\nnot {_short(true, 14)}" if wrong else f"{_short(said, 18)}\n"
        axes.set_title(title, fontsize=7, color="tab:red" if wrong else "black")
    save(figure, path)


@dataclass(frozen=True)
class Panel:
    """Test inputs of both domains in the plane: points [n, 2], whether each is of the target [n], its class [n].

    labels: places in ``classes``; -1 where they are not known.
    """

    title: str
    points: np.ndarray
    is_target: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def write_panel(panel: Panel, path: Path) -> None:
    """The points of a panel as a table domain, label, class, x, y; :func:`read_panel` reads it."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(("domain", "label", "class", "x", "y"))
    for (x, y), is_target, label in zip(panel.points, panel.is_target, panel.labels, strict=True):
        name = panel.classes[label] if label >= 0 else ""
        writer.writerow(("target" if is_target else "source", label, name, f"{x:.5g}", f"{y:.5g}"))
    write_text(path, content.getvalue())


def read_panel(path: Path, title: str) -> Panel:
    """What :func:`write_panel` wrote; a class without points has its number for a name."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([int(row["label"]) for row in rows])
    names = {int(row["label"]): row["class"] for row in rows}
    classes = tuple(names.get(label, str(label)) for label in range(labels.max() + 1))
    points = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    return Panel(title, points, np.array([row["domain"] == "target" for row in rows]), labels, classes)


def feature_space(panels: Sequence[Panel], path: Path) -> None:
    """Panels beside each other, coloured by domain above and by class below; the classes are the last panel's."""
    classes = panels[-1].classes
    figure = Figure(figsize=(4.4 * len(panels) + 0.9, 8.4), layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False)
    few = len(classes) <= 20
    own = ListedColormap(CLASSES) if len(classes) <= len(CLASSES) else "viridis"  # in order, where there are many
    most = len(CLASSES) if len(classes) <= len(CLASSES) else len(classes)
    colours: dict[str, Any] = {"cmap": own, "vmin": -0.5, "vmax": most - 0.5}
    size = min(40.0, max(7.0, 4000 / max(len(panel.points) for panel in panels)))
    for (top, bottom), panel in zip(grid.T, panels, strict=True):
        for name, rows, colour in (("source", ~panel.is_target, SOURCE), ("target", panel.is_target, TARGET)):
            top.scatter(*panel.points[rows].T, s=size, color=colour, alpha=0.6, linewidths=0, label=name)
        for rows, marker in ((~panel.is_target, "o"), (panel.is_target, "^")):
            shown = {"c": panel.labels[rows], "marker": marker, **colours}
            dots = bottom.scatter(*panel.points[rows].T, s=1.3 * size, linewidths=0, **shown)
        top.set_title(panel.title)
        for axes in (top, bottom):
            axes.set(xticks=[], yticks=[])
    grid[0, 0].set_ylabel("by domain")
    grid[1, 0].set_ylabel("by class (circle: source, triangle: target)")
    grid[0, -1].legend(frameon=False, markerscale=2, loc="upper left", bbox_to_anchor=(1, 1))
    if few:
        bar = figure.colorbar(dots, ax=grid[1, -1], shrink=0.8, boundaries=np.arange(len(classes) + 1) - 0.5)
        bar.set_ticks(range(len(classes)), labels=[_short(name) for name in classes])
    figure.suptitle("feature space (t-SNE of test inputs)")
    save_chart(figure, path)


def class_space(embedded: Sequence[np.ndarray], codes: np.ndarray, seen: int, path: Path, title: str) -> None:
    """Inputs of each domain [n, E] and the codes [C, E] of all classes, the ``seen`` first, on two principal axes.

    Both are in units of their own root mean square length, so that a space that has collapsed is one point.
    """
    inputs = np.concatenate(embedded)
    inputs, points = (part / max(np.sqrt(np.square(part).sum(1).mean()), 1e-12) for part in (inputs, codes))
    together = np.concatenate([inputs, points])
    centre = together.mean(0)
    axes_of = np.linalg.svd(together - centre, full_matrices=False)[2][:2]
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    parts = np.split((inputs - centre) @ axes_of.T, [len(embedded[0])]), np.split((points - centre) @ axes_of.T, [seen])
    for name, colour, dots, stars in zip(("seen", "unseen"), (SOURCE, TARGET), *parts, strict=True):
        axes.scatter(
            dots[:, 0], dots[:, 1], s=6, color=colour, alpha=0.4, linewidths=0, label=f"inputs, {name} classes"
        )
        axes.scatter(stars[:, 0], stars[:, 1], s=90, marker="*", color=colour, ec="white", label=f"codes, {name}")
    axes.set(title=title, xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xlabel="first principal axis", ylabel="second")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    save_chart(figure, path)


def answers(photographs: np.ndarray, columns: Mapping[str, Sequence[Sequence[str]]], path: Path) -> None:
    """Photographs uint8 [N, 3, H, W], a row each, and beside them lines of text in titled columns."""
    figure = Figure(figsize=(1.4 + 1.9 * len(columns), 0.95 * len(photographs)), layout="constrained")
    ratios = [1.0, *[1.9] * len(columns)]
    for row, axes in enumerate(figure.subplots(len(photographs), 1 + len(columns), squeeze=False, width_ratios=ratios)):
        axes[0].imshow(photographs[row].transpose(1, 2, 0))
        for place, (title, lines) in zip(axes[1:], columns.items(), strict=True):
            place.text(0, 0.5, "\n".join(lines[row]), va="center", fontsize=7)
            if row == 0:
                place.set_title(title, loc="left", fontsize=9)
        for place in axes:
            place.axis("off")
    save(figure, path)


def atoms(dictionary: np.ndarray, shape: Sequence[int], path: Path) -> None:
    """The first 100 rows of a dictionary [K, D] as pictures of ``shape`` (C, H, W), each on its own scale."""
    pictures = dictionary[:100].reshape(-1, *shape)
    lowest, highest = (extreme(pictures, axis=(1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    pixels = np.round(255 * (pictures - lowest) / np.maximum(highest - lowest, 1e-12)).astype(np.uint8)
    columns = math.ceil(math.sqrt(len(pixels)))
    figure = Figure(figsize=(5, 5.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet([pixels[i : i + columns] for i in range(0, len(pixels), columns)], columns))
    axes.set_axis_off()
    axes.set_title(f"{len(pixels)} of {len(dictionary)} atoms" if len(pixels) < len(dictionary) else "atoms")
    save(figure, path)


def clusters(images: np.ndarray, members: np.ndarray, names: Sequence[str], path: Path) -> None:
    """A row of images uint8 [n, C, H, W] for each cluster, of those that ``members`` int64 [n] puts into it.

    names: what each cluster is called beside its row. The first 40 are shown.
    """
    names = [_short(name, 32) for name in names[:40]]
    rows = [images[members == cluster][:16] for cluster in range(len(names))]
    pixels = sheet(rows, 16)
    figure = Figure(figsize=(8, 0.4 + 7.3 * pixels.shape[0] / pixels.shape[1]), layout="constrained")
    axes = figure.subplots()
    axes.imshow(pixels)
    side = pixels.shape[0] / len(rows)
    axes.set_yticks([(i + 0.5) * side for i in range(len(rows))], names)
    axes.set(xticks=[], title="members of each cluster")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save(figure, path)


def sheet(rows: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Rows of images uint8 [n, C, H, W] on white, uint8 [height, width, 3], with a gap of a pixel or more between."""
    height, width = rows[0].shape[2:]
    gap = max(1, width // 14)
    canvas = np.full((len(rows), height + gap, columns, width + gap, 3), 255, np.uint8)
    for i, images in enumerate(rows):
        for j, image in enumerate(images):
            canvas[i, :height, j, :width] = np.broadcast_to(image, (3, height, width)).transpose(1, 2, 0)
    return canvas.reshape(len(rows) * (height + gap), columns * (width + gap), 3)


def embed(features: np.ndarray) -> np.ndarray:
    """t-SNE of [n, D] after PCA to 50 dimensions: [n, 2] (van der Maaten & Hinton 2008), with a fixed seed."""
    from sklearn.manifold import TSNE

    centred = features.astype(np.float64) - features.mean(0)
    if centred.shape[1] > len(centred):  # long vectors: their products say as much
        squares, vectors = np.linalg.eigh(centred @ centred.T)
        left, values = vectors[:, ::-1], np.sqrt(np.maximum(squares[::-1], 0))
    else:
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
    reduced = left[:, :50] * values[:50]
    scale = reduced[:, 0].std()
    if not np.isfinite(scale) or scale < 1e-12 or len(features) < 5:
        return np.zeros((len(features), 2))
    start = reduced[:, :2] if reduced.shape[1] > 1 else np.stack([reduced[:, 0], np.zeros(len(reduced))], 1)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(init=1e-4 * start / scale, perplexity=perplexity, random_state=0, max_iter=500).fit_transform(reduced)
