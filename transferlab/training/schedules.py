"""Schedules over the progress p of training, which goes from 0 to 1."""

from __future__ import annotations

import math


def annealed(progress: float, alpha: float = 10.0, beta: float = 0.75) -> float:
    """Factor on the initial learning rate: 1 / (1 + alpha p)^beta (Ganin et al. 2016, section 5.2.2)."""
    return (1 + alpha * progress) ** -beta


def rate(schedule: str, warm_up: float, step: int, steps: int) -> float:
    """Factor on the learning rate in ``step`` of ``steps``, counted from 0.

    In the first share ``warm_up`` of the steps it rises in equal parts to 1. The ``schedule`` takes the others: anneal,
    constant, or cosine, (1 + cos(pi p)) / 2 (Loshchilov & Hutter, SGDR, ICLR 2017, without restarts).
    """
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / (steps - rising)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return annealed(progress) if schedule == "anneal" else 1.0


def domain_adaptation(progress: float, gamma: float = 10.0) -> float:
    """lambda_p = 2 / (1 + exp(-gamma p)) - 1, from 0 to almost 1 (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-gamma * progress)) - 1
