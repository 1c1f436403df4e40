"""Pictures of a run. Each function writes one PNG, whole or not at all."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transferlab.files import write_bytes

SOURCE, TARGET, CRITIC = "#0072B2", "#D55E00", "#555555"  # Okabe & Ito's colours, distinct for everybody
OTHERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
Panel = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    write_bytes(path, content.getvalue())


def learning_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Losses and accuracies over the steps of all stages, from the rows of metrics.csv."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    positions, borders, offset, previous = [], [], 0, None
    for row in rows:
        stage = row["stage"]
        if previous is not None and stage != previous["stage"] and "=" not in stage:
            offset += int(previous["step"])
            borders.append(offset)
        positions.append(offset + int(row["step"]) if "=" not in stage else math.nan)
        previous = row if "=" not in stage else previous
    x = np.array(positions)
    losses = dict.fromkeys(k for row in rows for k in row if k.startswith("loss/"))
    colours = [SOURCE, CRITIC, *OTHERS]
    for i, name in enumerate(losses):
        y = np.array([row.get(name, math.nan) for row in rows], float)
        left.plot(x, y, color=colours[i % len(colours)], lw=1.2, label=name.removeprefix("loss/"))
    for name, colour in (("source_accuracy", SOURCE), ("target_accuracy", TARGET), ("critic_accuracy", CRITIC)):
        y = np.array([row.get(name, math.nan) for row in rows], float)
        seen = np.isfinite(y) & np.isfinite(x)
        if seen.any():
            right.plot(x[seen], y[seen], "o-", color=colour, ms=3.5, label=name.replace("_", " "))
    if any("critic_accuracy" in row for row in rows):
        right.axhline(0.5, color=CRITIC, lw=0.8, ls=":", label="critic at chance")
    left.set(title="losses", xlabel="step")
    right.set(title="accuracy on test images", xlabel="step", ylim=(0, 1.02))
    for axes in (left, right):
        for border in borders:
            axes.axvline(border, color="0.7", lw=0.8)
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str], path: Path, title: str) -> None:
    """Shares of each true class (row) by prediction (column), from int64 [C, C]."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(4.0, 0.36 * len(classes) + 1.5)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= 15:
        for i, j in np.ndindex(*shares.shape):
            if shares[i, j] >= 0.005:
                colour = "white" if shares[i, j] > 0.5 else "0.2"
                axes.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, shrink=0.8, label="share of the true class")
    _save(figure, path)


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
    _save(figure, path)


def feature_space(panels: Sequence[Panel], path: Path, classes: Sequence[str]) -> None:
    """t-SNE of each panel's features, coloured by domain above and by class below.

    A panel is (title, source features [n, D], source labels [n], target features [m, D], target labels [m]).
    """
    figure = Figure(figsize=(4.4 * len(panels) + 0.9, 8.4), layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False)
    few = len(classes) <= 20
    for column, (title, source, source_labels, target, target_labels) in enumerate(panels):
        points = embed(np.concatenate([source, target]))
        is_target = np.arange(len(points)) >= len(source)
        labels = np.concatenate([source_labels, target_labels])
        top, bottom = grid[:, column]
        for name, rows, colour in (("source", ~is_target, SOURCE), ("target", is_target, TARGET)):
            top.scatter(*points[rows].T, s=7, color=colour, alpha=0.6, linewidths=0, label=name)
        colouring = {
            "cmap": "tab10" if len(classes) <= 10 else "tab20",
            "vmax": (10 if len(classes) <= 10 else 20) - 0.5,
        }
        if not few:
            colouring = {"cmap": "viridis", "vmax": len(classes)}
        for rows, marker in ((~is_target, "o"), (is_target, "^")):
            dots = bottom.scatter(
                *points[rows].T, c=labels[rows], s=9, marker=marker, linewidths=0, vmin=-0.5, **colouring
            )
        top.set_title(title)
        for axes in (top, bottom):
            axes.set(xticks=[], yticks=[])
    grid[0, 0].set_ylabel("by domain")
    grid[1, 0].set_ylabel("by class (circle: source, triangle: target)")
    grid[0, -1].legend(frameon=False, markerscale=2, loc="upper left", bbox_to_anchor=(1, 1))
    if few:
        bar = figure.colorbar(dots, ax=grid[1, -1], shrink=0.8, boundaries=np.arange(len(classes) + 1) - 0.5)
        bar.set_ticks(range(len(classes)), labels=list(classes))
    figure.suptitle("feature space (t-SNE of test images)")
    _save(figure, path)


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
    _save(figure, path)


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
    _save(figure, path)


def atoms(dictionary: np.ndarray, shape: Sequence[int], path: Path) -> None:
    """The first 100 rows of a dictionary [K, D] as pictures of ``shape`` (C, H, W), each on its own grey scale."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    for axes, atom in zip(figure.subplots(10, 10).flat, [*dictionary[:100], *[None] * 100], strict=False):
        axes.axis("off")
        if atom is not None:
            axes.imshow(atom.reshape(shape).mean(0), cmap="gray")
    figure.suptitle("atoms of the dictionary")
    _save(figure, path)


def embed(features: np.ndarray) -> np.ndarray:
    """t-SNE of [n, D] after PCA to 50 dimensions: [n, 2] (van der Maaten & Hinton 2008), with a fixed seed."""
    from sklearn.manifold import TSNE

    centred = features.astype(np.float64) - features.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    reduced = left[:, :50] * values[:50]
    scale = reduced[:, 0].std()
    if not np.isfinite(scale) or scale < 1e-12 or len(features) < 5:
        return np.zeros((len(features), 2))
    start = reduced[:, :2] if reduced.shape[1] > 1 else np.stack([reduced[:, 0], np.zeros(len(reduced))], 1)
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(init=1e-4 * start / scale, perplexity=perplexity, random_state=0, max_iter=500).fit_transform(reduced)
