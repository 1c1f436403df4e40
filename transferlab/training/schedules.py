"""Schedules over the progress p of training, which goes from 0 to 1."""

from __future__ import annotations

import math


def annealed(progress: float, alpha: float = 10.0, beta: float = 0.75) -> float:
    """Factor on the initial learning rate: 1 / (1 + alpha p)^beta (Ganin et al. 2016, section 5.2.2)."""
    return (1 + alpha * progress) ** -beta


def domain_adaptation(progress: float, gamma: float = 10.0) -> float:
    """lambda_p = 2 / (1 + exp(-gamma p)) - 1, from 0 to almost 1 (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-gamma * progress)) - 1
