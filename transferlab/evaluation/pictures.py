"""The pictures that a run leaves: what to put into which figure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transferlab import naming
from transferlab.config import Config
from transferlab.data.contract import IMAGES, VECTORS
from transferlab.data.stored import Samples, Stored
from transferlab.evaluation import figures
from transferlab.evaluation.evaluator import Evaluator
from transferlab.inputs import Inputs
from transferlab.models.clusters import Clusters
from transferlab.models.coded import Coded
from transferlab.models.predictor import Predictor
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, View
from transferlab.randomness import fair_sample

log = logging.getLogger(__name__)

DOMAINS = ("source", "target")
Images = Inputs | Samples
Features = tuple[np.ndarray, np.ndarray]
"""Of the source's test inputs [n, D], and of the target's [m, D]."""


class Pictures:
    """Draws one run's figures into the folder ``where``: ``before`` the method, and what ``draw`` is given after it."""

    def __init__(self, where: Path, config: Config, evaluator: Evaluator):
        self.where, self.names = where, naming.words(config)
        self.truth, self._evaluator = evaluator.truth, evaluator
        same = self.truth.source_classes == self.truth.target_classes
        self._classes = self.truth.target_classes if same else (*self.truth.source_classes, *self.truth.target_classes)
        self._before: Features | None = None

    def before(self, predictor: Predictor) -> None:
        """Keep the features of the predictor as it is before training."""
        self._before = self._features(predictor.eval())

    def draw(
        self,
        predictor: Predictor,
        rows: Sequence[Mapping[str, Any]],
        confusion: np.ndarray,
        selected: str = "",
        behind: Mapping[str, Samples] | None = None,
    ) -> None:
        """Learning curves, confusion [C, C], samples, answers, feature space, and what this predictor alone has.

        behind: the test images of each domain that features were computed of. What cannot be drawn costs a line in the
        log, and no other picture.
        """
        self.where.mkdir(exist_ok=True)
        if rows:
            with _a_picture("learning curves"):
                figures.learning_curves(rows, self.where / "learning_curves.png", selected)
        with _a_picture("confusion matrix"):
            title = f"{self.names['method']}: {self.names['source']} to {self.names['target']}"
            figures.confusion_matrix(confusion, self.truth.target_classes, self.where / "confusion.png", title)
        images = {d: getattr(self.truth, f"{d}_test").inputs for d in DOMAINS} if self.truth.kind == IMAGES else behind
        if images:
            with _a_picture("samples"):
                self._samples(images)
            with _a_picture("answers"):
                self._answers(predictor, images["target"])
        features = self._features(predictor)
        with _a_picture("feature space"):
            self._feature_space(features)
        with _a_picture("picture of the predictor"):
            self._own(predictor, features)

    def _samples(self, images: Mapping[str, Images]) -> None:
        strips = [_rows(images[domain], fair_sample(len(images[domain]), 16)) for domain in DOMAINS]
        figures.samples(strips[0], strips[1], self.where / "samples.png", self.names["source"], self.names["target"])

    def _answers(self, predictor: Predictor, images: Images) -> None:
        """Some of the target's test images, with what the predictor takes them for and, if it is wrong, the truth."""
        test, classes = self.truth.target_test, self.truth.target_classes
        if isinstance(predictor, Clusters):  # whose members have a picture of their own
            return
        rows = fair_sample(len(test), 24)
        said = self._evaluator.outputs(predictor, test.inputs[torch.from_numpy(rows).to(test.inputs.device)], "target")
        labels = test.labels.cpu().numpy()[rows]
        names = [(classes[one], classes[label]) for one, label in zip(said.scores.argmax(1), labels, strict=True)]
        figures.predictions(_rows(images, rows), names, self.where / "predictions.png")

    def _feature_space(self, features: Features) -> None:
        panels = [self._panel("before training", self._before)] if self._before else []
        panels.append(self._panel("after training", features))
        figures.write_panel(panels[-1], self.where / "features.csv")
        figures.feature_space(panels, self.where / "features.png")

    @singledispatchmethod
    def _own(self, predictor: Predictor, features: Features) -> None:
        """The picture that only this kind of predictor has."""

    @_own.register
    def _class_space(self, predictor: ZeroShot, features: Features) -> None:
        path = self.where / "class_space.png"
        figures.class_space(features, predictor.codes.cpu().numpy(), predictor.seen, path, self.names["method"])

    @_own.register
    def _atoms(self, predictor: Coded, features: Features) -> None:
        """The dictionary, where there is one and its inputs are images or patches of them."""
        encoder, shape = predictor.encoder, tuple(self.truth.target_test.inputs.shape[1:])
        if self.truth.kind != VECTORS and len(encoder.dictionary):
            size = (encoder.patch, encoder.patch) if encoder.patch else shape[1:]
            figures.atoms(encoder.dictionary.cpu().numpy(), (shape[0], *size), self.where / "atoms.png")

    @_own.register
    @torch.no_grad()
    def _clusters(self, predictor: Clusters, features: Features) -> None:
        """Members of each cluster, which is called by its most frequent class, where inputs are images."""
        test, classes = self.truth.target_test, self.truth.target_classes
        if self.truth.kind != IMAGES:
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

    def _features(self, predictor: Predictor) -> Features:
        """Features of at most 500 test inputs of the source, and of the target."""
        tests = {"source": self.truth.source_test, "target": self.truth.target_test}
        of_domain = [self._evaluator.outputs(predictor, test.inputs[_some(test, 500)], domain).features
                     for domain, test in tests.items()]  # fmt: skip
        return of_domain[0], of_domain[1]

    def _panel(self, title: str, features: Features) -> figures.Panel:
        """t-SNE of ``features``. Where the label sets differ, the target's classes are numbered after the source's."""
        truth, labels = self.truth, []
        for test, first in (
            (truth.source_test, 0),
            (truth.target_test, len(self._classes) - len(truth.target_classes)),
        ):
            rows = _some(test, 500)
            known = test.labels[rows].cpu().numpy() + first if isinstance(test, Labelled) else None
            labels.append(np.full(len(rows), -1) if known is None else known)
        is_target = np.repeat([False, True], [len(part) for part in labels])
        points = figures.embed(np.concatenate(features))
        return figures.Panel(title, points, is_target, np.concatenate(labels), self._classes)


@contextmanager
def _a_picture(name: str) -> Iterator[None]:
    """Inside, whatever goes wrong is a warning: matplotlib and a full memory or disk raise many kinds."""
    try:
        yield
    except Exception as error:
        log.warning("no %s drawn (%s: %s)", name, type(error).__name__, " ".join(str(error).split()))


def _rows(images: Images, rows: np.ndarray) -> np.ndarray:
    """uint8 [n, C, H, W] of these rows, int64, of images on a device or in a file."""
    if isinstance(images, np.ndarray | Stored):
        return images[rows]
    return images[torch.from_numpy(rows).to(images.device)].cpu().numpy()


def _some(test: View, most: int) -> torch.Tensor:
    """Row numbers int64 [n] of a fair sample of at most so many inputs."""
    return torch.from_numpy(fair_sample(len(test.inputs), most)).to(test.inputs.device)
