"""Self-taught learning: features from unlabelled data of any kind, a classifier from a few labels.

Raina, Battle, Lee, Packer, Ng, ICML 2007. (1) Sparse coding of the unlabelled source: min over b, a of
sum_i ||x_i - sum_j a_ij b_j||^2 + beta ||a_i||_1 with ||b_j|| <= 1. (2) Codes of the labelled target with b as it is.
(3) A linear classifier on them, its regularisation by cross-validation on the few labels.

Its rows of comparison are settings: raw values, principal components of the source, values and codes together, and
dictionaries that are random or learned from noise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from transferlab.config import LABELLED, UNLABELLED, Sees, require
from transferlab.methods.heads import linear
from transferlab.models.coded import Coded, centred, featurise, flat
from transferlab.numerics.sparse_coding import learn
from transferlab.problem import Labelled, Problem
from transferlab.training.engine import Run

sees = Sees(source=UNLABELLED, target=LABELLED, classes="any", net=False)


@dataclass
class Config:
    """Options of self_taught."""

    features: Literal["codes", "raw", "raw_codes", "pca"] = "codes"
    """codes: sparse codes; raw: values as they are; raw_codes: both; pca: as many principal components as atoms."""
    dictionary: Literal["source", "random", "noise"] = "source"
    """source: learned from it; random directions or a dictionary learned from noise are the controls."""
    atoms: int = 256
    """Number of bases; may exceed the number of values."""
    beta: float = 0.3
    """Sparsity, for inputs of mean square length 1."""
    samples: int = 5000
    """Source samples that the dictionary is learned from, at most."""
    iterations: int = 15
    """Passes over them."""
    classifier: Literal["svm", "logistic"] = "svm"
    """Linear SVM or logistic regression."""
    strengths: list[float] | None = None
    """Values of C to choose from by cross-validation on the labelled samples; null: 0.001 to 100 in powers of ten."""

    def __post_init__(self) -> None:
        for name in ("atoms", "samples", "iterations"):
            require(getattr(self, name) >= 1, f"method.{name}={getattr(self, name)}: must be at least 1")
        require(self.beta > 0, f"method.beta={self.beta}: must be greater than 0")


def fit(config: Config, problem: Problem, run: Run) -> Coded:
    assert problem.source is not None and isinstance(problem.target, Labelled)
    rows = _some(len(problem.source.inputs), config.samples, run)
    unlabelled = flat(problem.source.inputs[rows])
    require(
        flat(problem.target.inputs[:1]).shape[1] == unlabelled.shape[1],
        f"self_taught: source inputs have {unlabelled.shape[1]} values, target inputs "
        f"{flat(problem.target.inputs[:1]).shape[1]}: must be the same",
    )
    mean = unlabelled.mean(0)
    scale = (unlabelled - mean).square().sum(1).mean().sqrt().clamp_min(1e-9)

    def make_dictionary() -> dict[str, Tensor]:
        x = (unlabelled - mean) / scale
        if config.features == "pca":
            return {"dictionary": torch.pca_lowrank(x, min(config.atoms, *x.shape), center=False)[2].T}
        if config.dictionary == "random":
            atoms = torch.randn(config.atoms, x.shape[1]).to(x)
            return {"dictionary": atoms / atoms.norm(dim=1, keepdim=True)}
        if config.dictionary == "noise":
            x = (torch.randn(x.shape) / x.shape[1] ** 0.5).to(x)
        dictionary, objective = learn(x, config.atoms, config.beta, config.iterations, problem.seed)
        return {"dictionary": dictionary, "objective": torch.tensor(objective)}

    made = run.once("dictionary", make_dictionary)
    if "objective" in made:
        run.report({"objective_first": float(made["objective"][0]), "objective_last": float(made["objective"][-1])})
    dictionary, target = made["dictionary"], problem.target

    def train_head() -> dict[str, Tensor]:
        features = featurise(centred(target.inputs, mean, scale), dictionary, config.beta, config.features)
        return few_label_classifier(features, target.labels, config.classifier, config.strengths, problem.seed)

    return Coded(mean, scale, dictionary, config.beta, config.features, linear(run.once("head", train_head)))


def _some(count: int, wanted: int, run: Run) -> Tensor:
    """At random, because data may be sorted by class."""
    with run.seeded("source samples"):
        return torch.randperm(count)[:wanted].to(run.device)


def few_label_classifier(
    features: Tensor, labels: Tensor, kind: str, strengths: list[float] | None, seed: int
) -> dict[str, Tensor]:
    """A linear classifier of float32 [N, D], int64 [N]: weight [C, D], bias [C], with C by stratified cross-validation.

    Features are divided by their root mean square. With one sample of a class there is nothing to validate on: C = 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import LinearSVC

    scale = float(features.square().mean().sqrt()) or 1.0
    x, y = (features / scale).cpu().numpy(), labels.cpu().numpy()
    model = LinearSVC() if kind == "svm" else LogisticRegression(max_iter=1000)
    folds = min(5, int(np.bincount(y)[np.unique(y)].min()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at large C; cross-validation decides whether it is good
        if folds > 1:
            grid = {"C": strengths or [10.0**power for power in range(-3, 3)]}
            search = GridSearchCV(model, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=seed))
            model = search.fit(x, y).best_estimator_
        else:
            model.fit(x, y)
    weight, bias = model.coef_ / scale, model.intercept_
    if len(model.classes_) == 2:  # one hyperplane for two classes
        weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
    to = {"dtype": torch.float32, "device": features.device}
    return {"weight": torch.tensor(weight, **to), "bias": torch.tensor(bias, **to)}  # type: ignore[arg-type]
