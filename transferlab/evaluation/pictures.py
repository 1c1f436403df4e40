"""The pictures that a run leaves: what to put into which figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transferlab.config import Config
from transferlab.evaluation import figures
from transferlab.evaluation.evaluator import Evaluator
from transferlab.models.clusters import Clusters
from transferlab.models.coded import Coded
from transferlab.models.predictor import Predictor
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, View

Panel = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Pictures:
    """Draws one run's figures into the folder ``where``: ``before`` the method, and what ``draw`` is given after it."""

    def __init__(self, where: Path, config: Config, evaluator: Evaluator):
        self.where, self.names = where, config.names
        self.truth, self._evaluator = evaluator.truth, evaluator
        self._panels: list[tuple[str, Panel]] = []

    def before(self, predictor: Predictor) -> None:
        """Keep the features of the predictor as it is before training."""
        self._panels.append(("before training", self._panel(predictor.eval())))

    def draw(self, predictor: Predictor, rows: Sequence[Mapping[str, Any]], confusion: np.ndarray) -> None:
        """Learning curves, confusion [C, C], samples, feature space, and what this kind of predictor alone has."""
        self.where.mkdir(exist_ok=True)
        truth, names = self.truth, self.names
        if rows:
            figures.learning_curves(rows, self.where / "learning_curves.png")
        title = f"{names['method']}: {names['source']} to {names['target']}"
        figures.confusion_matrix(confusion, truth.target_classes, self.where / "confusion.png", title)
        strips = [part.inputs[_some(part, 16)].cpu().numpy() for part in (truth.source_test, truth.target_test)]
        if strips[0].dtype == np.uint8:
            figures.samples(strips[0], strips[1], self.where / "samples.png", names["source"], names["target"])
        self._panels.append(("after training", self._panel(predictor)))
        same = truth.source_classes == truth.target_classes
        classes = truth.target_classes if same else (*truth.source_classes, *truth.target_classes)
        panels = [(title, *panel) for title, panel in self._panels]
        figures.feature_space(panels, self.where / "features.png", classes)
        self._own(predictor)

    @singledispatchmethod
    def _own(self, predictor: Predictor) -> None:
        """The picture that only this kind of predictor has."""

    @_own.register
    def _class_space(self, predictor: ZeroShot) -> None:
        source, _, target, _ = self._panels[-1][1]
        path = self.where / "class_space.png"
        figures.class_space((source, target), predictor.codes.cpu().numpy(), predictor.seen, path, self.names["method"])

    @_own.register
    def _atoms(self, predictor: Coded) -> None:
        """The dictionary, where there is one and its inputs are images or patches of them."""
        encoder, shape = predictor.encoder, tuple(self.truth.target_test.inputs.shape[1:])
        if len(shape) == 3 and len(encoder.dictionary):
            size = (encoder.patch, encoder.patch) if encoder.patch else shape[1:]
            figures.atoms(encoder.dictionary.cpu().numpy(), (shape[0], *size), self.where / "atoms.png")

    @_own.register
    @torch.no_grad()
    def _clusters(self, predictor: Clusters) -> None:
        """Members of each cluster, which is called by its most frequent class, where inputs are images."""
        test, classes = self.truth.target_test, self.truth.target_classes
        if test.inputs.dtype != torch.uint8:
            return
        rows = _some(test, 2000)
        images, labels = test.inputs[rows], test.labels[rows].cpu().numpy()
        members = predictor(images)[1].argmax(1).cpu().numpy()
        names = []
        for cluster in range(predictor.head.out_features):
            counts = np.bincount(labels[members == cluster], minlength=len(classes))
            share = counts.max() / max(counts.sum(), 1)
            names.append(f"{classes[int(counts.argmax())]} ({100 * share:.0f} %)" if counts.any() else "empty")
        figures.clusters(images.cpu().numpy(), members, names, self.where / "clusters.png")

    def _panel(self, predictor: Predictor) -> Panel:
        """Features and labels of at most 500 test inputs of the source, then of the target.

        Where the label sets differ, the target's classes are numbered after the source's.
        """
        truth = self.truth
        differ = truth.source_classes != truth.target_classes
        panel = []
        for domain, test, first in (
            ("source", truth.source_test, 0),
            ("target", truth.target_test, len(truth.source_classes) * differ),
        ):
            rows = _some(test, 500)
            labels = test.labels[rows].cpu().numpy() if isinstance(test, Labelled) else np.full(len(rows), -1)
            panel += [self._evaluator.outputs(predictor, test.inputs[rows], domain).features, labels + first]
        return panel[0], panel[1], panel[2], panel[3]


def _some(test: View, most: int) -> torch.Tensor:
    """Row numbers int64 [n] of at most so many inputs: a fair sample of data that may be sorted by class."""
    rows = np.random.default_rng(0).permutation(len(test.inputs))[:most]
    return torch.from_numpy(rows).to(test.inputs.device)
