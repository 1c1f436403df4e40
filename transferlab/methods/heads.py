"""The classifier that a trained network ends in: its own last layer, a linear SVM or a logistic regression."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from transferlab.inputs import Inputs, at_once
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.models.predictor import Classifier
from transferlab.options import Options
from transferlab.problem import Labelled, Problem
from transferlab.randomness import fair_sample
from transferlab.training.run import Run


@dataclass
class Headed(Options):
    """Options of methods whose net may end in another classifier."""

    head: Literal["softmax", "svm"] = "softmax"
    """softmax: the net's own last layer; svm: a linear SVM in its place, as in the papers' tables."""


def classifier(
    head: str, problem: Problem[Any, Any], run: Run, net: ConvNet, critic: DomainCritic | None = None
) -> Classifier:
    """``net`` with its own last layer (softmax), or with a linear SVM on its last hidden layer (svm).

    Ganin & Lempitsky (2015) and Ganin et al. (2016) retrain the last layer with a linear SVM for all methods
    of their tables, with target accuracy "approximately the same" afterwards.
    """
    if head == "softmax":
        return Classifier(net, critic=critic)
    data, seen = problem.labelled, "source" if isinstance(problem.source, Labelled) else "target"
    tensors = run.once(
        "svm", lambda: linear_svm(hidden(run, net, data.inputs, seen), data.labels, len(problem.classes))
    )
    return Classifier(net, head=linear(tensors), critic=critic, scores_are_logits=False)


@torch.no_grad()
def hidden(run: Run, net: ConvNet, inputs: Inputs, domain: str) -> Tensor:
    """The last hidden layer on inputs [N, ...] of ``domain``: float32 [N, D]."""
    net.eval()
    with run.autocast():
        parts = inputs.split(at_once(inputs.shape))
        return torch.cat([net.hidden(net.features(part, domain), domain).float() for part in parts])


def solved(run: Run, net: ConvNet, data: Labelled, domain: str) -> dict[str, Tensor]:
    """The head that :func:`few_label_classifier` finds on a domain's last hidden layer as it is."""
    return few_label_classifier(hidden(run, net, data.inputs, domain), data.labels, "logistic", None, run.seed)


def linear_svm(features: Tensor, labels: Tensor, classes: int, cost: float = 1.0) -> dict[str, Tensor]:
    """One-against-rest linear SVM (liblinear, squared hinge, C = ``cost``) on float32 [N, D], int64 [N].

    Features are divided by their root mean square, so that C means the same for every net; the weight
    [classes, D] and bias [classes] that come back apply to the features as they are.
    """
    from sklearn.svm import LinearSVC

    scale = float(features.pow(2).mean().sqrt()) or 1.0
    svm = LinearSVC(C=cost, dual=False).fit((features / scale).cpu().numpy(), labels.cpu().numpy())
    weight = np.zeros((classes, features.shape[1]))
    bias = np.full(classes, -np.inf)  # a class without samples is never predicted
    # With two classes liblinear keeps only the second one's hyperplane.
    two = len(svm.classes_) == 2
    weight[svm.classes_] = np.concatenate([-svm.coef_, svm.coef_]) if two else svm.coef_
    bias[svm.classes_] = np.concatenate([-svm.intercept_, svm.intercept_]) if two else svm.intercept_
    return _affine(weight / scale, bias, features)


def _affine(weight: np.ndarray, bias: np.ndarray, like: Tensor) -> dict[str, Tensor]:
    """As float32 tensors, where ``like`` is."""
    return {name: torch.tensor(values, dtype=torch.float32, device=like.device)
            for name, values in (("weight", weight), ("bias", bias))}  # fmt: skip


def best_cost(features: Tensor, labels: Tensor, costs: Sequence[float], seed: int) -> float:
    """The C of :func:`linear_svm` with the best accuracy in cross-validation, the smallest of equals.

    Three stratified folds of a fair sample of at most 2,000 rows; 1 where a class has too few rows for that.
    """
    from sklearn.svm import LinearSVC

    rows = fair_sample(len(labels), 2000)
    scale = float(features.pow(2).mean().sqrt()) or 1.0
    x, y = (features / scale).cpu().numpy()[rows], labels.cpu().numpy()[rows]
    if len(costs) == 1 or np.bincount(y)[np.unique(y)].min() < 3:
        return costs[0] if len(costs) == 1 else 1.0
    return float(_search(LinearSVC(dual=False), sorted(costs), 3, x, y, seed).best_params_["C"])


def _search(model: Any, costs: Sequence[float], folds: int, x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """GridSearchCV of ``model`` over its C by stratified folds, the first of equals; nothing is fitted to all rows."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    by_class = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return _fitted(GridSearchCV(model, {"C": costs}, cv=by_class, refit=False), x, y)


def _fitted(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """``model``, fitted without a word of what has not converged: at large C, and held-out accuracy judges that.

    On one thread: the matrices are small, and on a busy machine two that wait for each other took twenty times as long.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def linear(tensors: dict[str, Tensor]) -> nn.Linear:
    """An affine layer with the given weight [out, in] and bias [out]."""
    weight = tensors["weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    layer.load_state_dict({"weight": weight, "bias": tensors["bias"]})
    return layer.requires_grad_(False)


def few_label_classifier(
    features: Tensor, labels: Tensor, kind: str, strengths: list[float] | None, seed: int
) -> dict[str, Tensor]:
    """A linear classifier of float32 [N, D], int64 [N]: weight [C, D], bias [C], with C by stratified cross-validation.

    Features are centred and brought to a mean square length of 1, so that C means the same for all. ``validation``
    is the accuracy in cross-validation at the best C; with one sample of a class there is none, and C = 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    mean = features.mean(0)
    scale = float((features - mean).square().sum(1).mean().sqrt()) or 1.0
    x, y = ((features - mean) / scale).cpu().numpy(), labels.cpu().numpy()
    validation = {}
    model = LinearSVC(random_state=seed) if kind == "svm" else LogisticRegression(max_iter=1000)
    folds = min(5, int(np.bincount(y)[np.unique(y)].min()))
    if folds > 1:
        search = _search(model, strengths or [10.0**power for power in range(-1, 4)], folds, x, y, seed)
        model.set_params(**search.best_params_)
        validation = {"validation": torch.tensor(search.best_score_)}
    _fitted(model, x, y)
    weight = model.coef_ / scale
    bias = model.intercept_ - weight @ mean.cpu().numpy()
    if len(model.classes_) == 2:  # one hyperplane; in halves, so that a softmax gives its logistic function
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return {**_affine(weight, bias, features), **validation}
