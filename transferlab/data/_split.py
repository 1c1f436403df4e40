"""Training and test part of data that has no official ones."""

from __future__ import annotations

import numpy as np


def held_out(count: int, fraction: float, label: int) -> np.ndarray:
    """bool [count]: which samples of class ``label`` are for testing, the same in every run.

    A random share, but at least one sample is in each part; count must be at least 2.
    """
    test = np.zeros(count, bool)
    share = min(max(1, round(count * fraction)), count - 1)
    test[np.random.default_rng([0, label]).permutation(count)[:share]] = True
    return test
