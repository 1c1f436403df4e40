"""Measures predictors on what methods never see: test inputs and their labels.

What is measured on the way goes into metrics.csv under the run's eyes only; a method gets nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transferlab.data.contract import Kind
from transferlab.errors import Diverged
from transferlab.evaluation import metrics
from transferlab.evaluation.collapse import collapse, label_losses
from transferlab.evaluation.distances import proxy_a_distance
from transferlab.inputs import Inputs, at_once
from transferlab.models.clusters import Clusters
from transferlab.models.predictor import Predictor
from transferlab.models.zero_shot import ZeroShot
from transferlab.problem import Labelled, Unlabelled, View
from transferlab.randomness import fair_sample
from transferlab.validators import PROBABILISTIC, VALIDATORS, Evidence, best_row

SAMPLE = 1000
"""Inputs per domain that label-free validators, distances and the training accuracy look at."""


@dataclass(frozen=True)
class Truth:
    """Everything that is kept from the method; ``kind`` is of all inputs.

    source_train and target_train are inputs that the method learns from, with their labels where it sees them. Without
    labels the source has no classes, and source_test no labels.
    """

    kind: Kind
    source_classes: tuple[str, ...]
    target_classes: tuple[str, ...]
    source_train: View
    source_validation: View
    target_train: View
    target_validation: Unlabelled
    source_test: View
    target_test: Labelled


@dataclass(frozen=True)
class Outputs:
    """A predictor's answers: scores float32 [N, classes] of all inputs, features [n, F] of a fair sample of them."""

    features: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What is measured of a predictor on a domain's test samples, once, at the end."""

    record: dict[str, Any]
    """For results.json."""
    class_rows: list[dict[str, Any]]
    """Of the file classes.csv; none of clusters, which only the labels make answers."""
    confusion: np.ndarray
    """int64 [C, C]."""


def measured(
    predictor: Predictor, domain: str, scores: np.ndarray, labels: np.ndarray, names: Sequence[str]
) -> Measured:
    """Every metric of a predictor's scores float32 [N, K] of a domain's samples; ``names`` are those of the classes."""
    classes = len(names)
    if isinstance(predictor, Clusters):
        record: dict[str, Any] = metrics.clustering(scores.argmax(1), labels)
        scores = metrics.match_clusters(scores, labels, classes)
        record |= metrics.accuracies(domain, scores, labels, classes)
        return Measured(record, [], metrics.confusion(scores, labels, classes))
    record = metrics.classification(domain, scores, labels, classes, predictor.scores_are_logits)
    return Measured(record, metrics.class_rows(scores, labels, names), metrics.confusion(scores, labels, classes))


class Evaluator:
    """Measures a :class:`Predictor` against the truth."""

    def __init__(self, truth: Truth, autocast: Callable[[], AbstractContextManager[Any]]):
        self.truth, self._autocast = truth, autocast
        adapts = (
            isinstance(truth.source_train, Labelled)
            and truth.source_classes == truth.target_classes
            and not isinstance(truth.target_train, Labelled)
        )
        # A handful of images may leave nothing to hold out, and one image has no spread.
        held_out = min(len(truth.source_validation.inputs), len(truth.target_validation.inputs))
        self.validates = adapts and held_out >= 2

    def __call__(self, predictor: Predictor) -> dict[str, float]:
        """Accuracies on the test inputs, the critic's if there is one; without target labels every validator."""
        tests = {domain: self._test(predictor, domain) for domain in ("source", "target")}
        values = {f"{domain}_accuracy": accuracy for domain, (_, accuracy) in tests.items() if accuracy is not None}
        if predictor.critic is not None:
            values["critic_accuracy"] = self._critic_accuracy(predictor, *(o.features for o, _ in tests.values()))
        return values | (self._validators(predictor) if self.validates else {})

    def final(self, predictor: Predictor) -> Measured:
        """What is measured once, at the end, of both domains; classes and confusion are the target's."""
        truth = self.truth
        (source, source_accuracy), (target, _) = (self._test(predictor, domain) for domain in ("source", "target"))
        counts = {
            f"{domain}_test_count": len(getattr(truth, f"{domain}_test").inputs) for domain in ("source", "target")
        }
        record: dict[str, Any] = counts
        if source_accuracy is not None:
            record |= metrics.share("source_accuracy", source_accuracy, counts["source_test_count"])
        labels = _numpy(truth.target_test.labels)
        of_target = measured(predictor, "target", target.scores, labels, truth.target_classes)
        record |= of_target.record
        if isinstance(truth.target_train, Labelled):
            seen = Labelled(truth.target_train.inputs[:SAMPLE], truth.target_train.labels[:SAMPLE])
            scores = self.outputs(predictor, seen.inputs, "target").scores
            record["target_train_accuracy"] = metrics.accuracy(scores, _numpy(seen.labels))
        enough = min(len(source.features), len(target.features)) >= 10
        if enough and source.features.shape[1:] == target.features.shape[1:]:
            record["proxy_a_distance"] = proxy_a_distance(source.features, target.features)
            record["feature_size"] = source.features.shape[1]
        if predictor.critic is not None:
            record["critic_accuracy"] = self._critic_accuracy(predictor, source.features, target.features)
            record["critic_chance"] = 0.5
        if isinstance(predictor, ZeroShot):
            record |= self._generalised(predictor)
        if self.validates:
            record |= {name.replace("/", "_"): score for name, score in self._validators(predictor).items()}
        return replace(of_target, record=record)

    def collapse(self, predictor: Predictor, rows: Sequence[Mapping[str, Any]], steps: int) -> str:
        """Why the run counts as collapsed, nothing where it does not; rows: of metrics.csv, steps: of the optimiser."""
        for domain in ("target", "source"):
            seen: View = getattr(self.truth, f"{domain}_train")
            if domain in predictor.domains and isinstance(seen, Labelled) and not isinstance(predictor, Clusters):
                answers = self.outputs(predictor, seen.inputs[:SAMPLE], domain).scores.argmax(1)
                return collapse(answers, _numpy(seen.labels[:SAMPLE]), label_losses(rows), steps)
        return ""

    @torch.no_grad()
    def outputs(self, predictor: Predictor, inputs: Inputs, domain: str) -> Outputs:
        """Answers for inputs [N, ...]; features of the :func:`fair_sample` of :data:`SAMPLE` alone.

        Raises :class:`Diverged` where a score is not a number.
        """
        features: list[Tensor] = []
        scores: list[Tensor] = []
        sampled = torch.zeros(len(inputs), dtype=torch.bool)
        sampled[torch.from_numpy(fair_sample(len(inputs), SAMPLE))] = True
        with self._autocast():
            size = at_once(inputs.shape)
            for part, chosen in zip(inputs.split(size), sampled.split(size), strict=True):
                f, s = predictor(part, domain)
                features.append(f[chosen.to(f.device)].float().cpu())
                scores.append(s.float().cpu())
        answers = torch.cat(scores).numpy()
        if np.isnan(answers).any():
            raise Diverged("the predictor's scores are not numbers; try a smaller train.lr")
        return Outputs(torch.cat(features).numpy(), answers)

    @torch.no_grad()
    def _generalised(self, predictor: ZeroShot) -> dict[str, Any]:
        """With the classes of both domains as candidates: the source's are the seen ones, the target's the unseen."""
        truth, seen = self.truth, len(self.truth.source_classes)
        assert isinstance(truth.source_test, Labelled)

        def answers(test: Labelled, first: int) -> tuple[np.ndarray, np.ndarray]:
            scores = torch.cat([predictor.joint(part) for part in test.inputs.split(2000)])
            return scores.cpu().numpy(), _numpy(test.labels) + first

        of_seen, of_unseen = answers(truth.source_test, 0), answers(truth.target_test, seen)
        return metrics.generalised(of_seen, of_unseen, seen + len(truth.target_classes))

    def _test(self, predictor: Predictor, domain: str) -> tuple[Outputs, float | None]:
        """Answers for a domain's test inputs; their accuracy where the scores are of its classes and it has labels."""
        test: View = getattr(self.truth, f"{domain}_test")
        if domain not in predictor.domains or not isinstance(test, Labelled):
            rows = torch.from_numpy(fair_sample(len(test.inputs), SAMPLE)).to(test.inputs.device)
            return self.outputs(predictor, test.inputs[rows], domain), None
        outputs = self.outputs(predictor, test.inputs, domain)
        return outputs, metrics.accuracy(outputs.scores, _numpy(test.labels))

    def _validators(self, predictor: Predictor) -> dict[str, float]:
        truth = self.truth
        assert isinstance(truth.source_validation, Labelled)
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
        possible = VALIDATORS if predictor.scores_are_logits else set(VALIDATORS) - set(PROBABILISTIC)
        return {f"validator/{name}": rule(evidence) for name, rule in VALIDATORS.items() if name in possible}

    @torch.no_grad()
    def _critic_accuracy(self, predictor: Predictor, source: np.ndarray, target: np.ndarray) -> float:
        """Share of held-out images whose domain the critic recognises, each domain weighted equally; chance is 0.5."""
        assert predictor.critic is not None
        device = next(predictor.parameters()).device
        says_target = [predictor.critic(torch.from_numpy(f).to(device)).cpu() > 0 for f in (source, target)]
        return float((~says_target[0]).float().mean() + says_target[1].float().mean()) / 2


def selections(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """From metrics.csv: the last step, the step each validator would choose and the oracle's, under separate names.

    Among equals, always the latest.

    The oracle looks at the target's test labels. It is here to show what selection loses, never to select.
    """
    measured = [row for row in rows if "target_accuracy" in row]
    if not measured:
        return {}
    record: dict[str, Any] = {}
    for name in VALIDATORS:
        if chosen := best_row(measured, f"validator/{name}"):
            record[f"chosen_by_{name}"] = _place(chosen)
            record[f"chosen_by_{name}_score"] = chosen[f"validator/{name}"]
            record[f"chosen_by_{name}_target_accuracy"] = chosen["target_accuracy"]
    steps = [row for row in measured if row["kind"] == "step"]
    if steps:
        record |= {"last": _place(steps[-1]), "last_target_accuracy": steps[-1]["target_accuracy"]}
    best = best_row(measured, "target_accuracy")
    assert best is not None
    return {**record, "oracle": _place(best), "oracle_target_accuracy": best["target_accuracy"]}


def forgetting(rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> dict[str, float]:
    """What the source task has lost since its own model was trained, in accuracy, where both are known."""
    before = [row["source_accuracy"] for row in rows if row["kind"] == "source model" and "source_accuracy" in row]
    if not before or "source_accuracy" not in record:
        return {}
    return {"source_accuracy_before": before[0], "forgetting": before[0] - record["source_accuracy"]}


def _place(row: Mapping[str, Any]) -> str:
    return row["stage"] if row["kind"] == "candidate" else f"{row['stage']} step {row['step']}"


def _numpy(labels: Tensor) -> np.ndarray:
    return labels.cpu().numpy()
