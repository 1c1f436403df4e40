"""Measures predictors on what methods never see: test images and their labels.

What is measured on the way goes into metrics.csv under the run's eyes only; a method gets nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferlab.evaluation import metrics
from transferlab.evaluation.distances import proxy_a_distance
from transferlab.evaluation.validators import VALIDATORS, Evidence
from transferlab.models.predictor import Classifier
from transferlab.problem import Labelled, Unlabelled

SAMPLE = 1000
"""Images per domain that label-free validators and distances look at."""


@dataclass(frozen=True)
class Truth:
    """Everything that is kept from the method. Target training images come without labels even here."""

    source_train: Unlabelled
    source_validation: Labelled
    target_validation: Unlabelled
    source_test: Labelled
    target_test: Labelled


@dataclass(frozen=True)
class Outputs:
    """A predictor's answers: features float32 [N, F] of the first images, scores float32 [N, classes] of all."""

    features: np.ndarray
    scores: np.ndarray


class Evaluator:
    """Measures a :class:`Classifier` against the truth."""

    def __init__(self, truth: Truth, classes: tuple[str, ...], autocast: Callable[[], AbstractContextManager[Any]]):
        self.truth, self.classes, self._autocast = truth, classes, autocast

    def __call__(self, predictor: Classifier) -> dict[str, float]:
        """Accuracies on the test images, the critic's if there is one, and every label-free validator."""
        truth = self.truth
        source, target = self._tests(predictor)
        values = {
            "source_accuracy": metrics.accuracy(source.scores, _numpy(truth.source_test.labels)),
            "target_accuracy": metrics.accuracy(target.scores, _numpy(truth.target_test.labels)),
        }
        if predictor.critic is not None:
            values["critic_accuracy"] = self._critic_accuracy(predictor, source.features, target.features)
        validation = self.outputs(predictor, truth.source_validation.inputs[:SAMPLE], "source")
        unlabelled = self.outputs(predictor, truth.target_validation.inputs[:SAMPLE], "target")
        evidence = Evidence(
            source_train_features=self.outputs(predictor, truth.source_train.inputs, "source").features,
            source_features=validation.features,
            source_logits=validation.scores,
            source_labels=_numpy(truth.source_validation.labels[:SAMPLE]),
            target_features=unlabelled.features,
            target_logits=unlabelled.scores,
        )
        return values | {f"validator/{name}": rule(evidence) for name, rule in VALIDATORS.items()}

    def final(self, predictor: Classifier) -> tuple[dict[str, Any], np.ndarray]:
        """What is measured once, at the end, for results.json; and the target's confusion matrix [C, C]."""
        source, target = self._tests(predictor)
        labels = _numpy(self.truth.target_test.labels)
        count = len(self.classes)
        per_class = metrics.per_class_accuracy(target.scores, labels, count)
        record = {
            "source_accuracy": metrics.accuracy(source.scores, _numpy(self.truth.source_test.labels)),
            "target_accuracy": metrics.accuracy(target.scores, labels),
            "target_mean_class_accuracy": metrics.mean_class_accuracy(target.scores, labels, count),
            "target_class_accuracies": [None if np.isnan(a) else round(float(a), 4) for a in per_class],
            "proxy_a_distance": proxy_a_distance(source.features, target.features),
        }
        if predictor.critic is not None:
            record["critic_accuracy"] = self._critic_accuracy(predictor, source.features, target.features)
            record["critic_chance"] = 0.5
        return record, metrics.confusion(target.scores, labels, count)

    @torch.no_grad()
    def outputs(self, predictor: Classifier, inputs: Tensor, domain: str) -> Outputs:
        """Answers for uint8 images [N, C, H, W]; features of the first :data:`SAMPLE` alone."""
        features: list[Tensor] = []
        scores: list[Tensor] = []
        with self._autocast():
            for part in inputs.split(500):
                f, s = predictor(part, domain)
                if sum(len(part) for part in features) < SAMPLE:
                    features.append(f.float().cpu())
                scores.append(s.float().cpu())
        return Outputs(torch.cat(features).numpy(), torch.cat(scores).numpy())

    def _tests(self, predictor: Classifier) -> tuple[Outputs, Outputs]:
        truth = self.truth
        return (
            self.outputs(predictor, truth.source_test.inputs, "source"),
            self.outputs(predictor, truth.target_test.inputs, "target"),
        )

    @torch.no_grad()
    def _critic_accuracy(self, predictor: Classifier, source: np.ndarray, target: np.ndarray) -> float:
        """Share of held-out images whose domain the critic tells, each domain weighing the same; chance is 0.5."""
        assert predictor.critic is not None
        device = next(predictor.parameters()).device
        says_target = [predictor.critic(torch.from_numpy(f).to(device)).cpu() > 0 for f in (source, target)]
        return float((~says_target[0]).float().mean() + says_target[1].float().mean()) / 2


def selections(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """From metrics.csv: the candidate that each validator would choose, and the oracle's, by name apart.

    The oracle looks at the target's test labels. It is here to show what selection loses, never to select.
    """
    measured = [row for row in rows if "target_accuracy" in row]
    if not measured:
        return {}
    record: dict[str, Any] = {}
    for name in VALIDATORS:
        scored = [row for row in measured if np.isfinite(row.get(f"validator/{name}", np.nan))]
        if scored:
            chosen = max(scored, key=lambda row: row[f"validator/{name}"])
            record[f"chosen_by_{name}"] = _place(chosen)
            record[f"chosen_by_{name}_target_accuracy"] = chosen["target_accuracy"]
    best = max(measured, key=lambda row: row["target_accuracy"])
    return {**record, "oracle": _place(best), "oracle_target_accuracy": best["target_accuracy"]}


def _place(row: Mapping[str, Any]) -> str:
    return row["stage"] if "=" in row["stage"] else f"{row['stage']} step {row['step']}"


def _numpy(labels: Tensor) -> np.ndarray:
    return labels.cpu().numpy()
