"""How far apart two domains are, for a classifier that tries to tell them apart."""

from __future__ import annotations

import warnings

import numpy as np

COSTS = (1e-4, 1e-3, 1e-2, 1e-1)
LIMIT = 1000


def proxy_a_distance(source: np.ndarray, target: np.ndarray, seed: int = 0) -> float:
    """2 (1 - 2 eps) for features [N, D] and [M, D] (Ben-David et al. 2007; Ganin et al. 2016, section 5.1.4).

    eps is the lowest held-out error of linear SVMs over a range of C, trained on one half and tested on the other,
    at most one half. From 0 (inseparable) to 2 (separable); at most 1,000 rows of each domain are looked at.
    """
    from sklearn.svm import LinearSVC

    count = min(len(source), len(target), LIMIT)
    rng = np.random.default_rng(seed)
    features = np.concatenate([x[rng.permutation(len(x))[:count]] for x in (source, target)])
    domains = np.repeat([0, 1], count)
    order = rng.permutation(2 * count)
    train, test = order[:count], order[count:]
    mean, scale = features[train].mean(0), features[train].std(0) + 1e-6
    features = (features - mean) / scale
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged counts as it is: held-out data judges it
        for cost in COSTS:
            svm = LinearSVC(C=cost, random_state=0, max_iter=300).fit(features[train], domains[train])
            errors.append(float((svm.predict(features[test]) != domains[test]).mean()))
    return 2 * (1 - 2 * min(*errors, 0.5))
