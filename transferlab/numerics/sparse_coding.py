"""Sparse coding: min over B, a of sum_i ||x_i - sum_j a_ij b_j||^2 + beta ||a_i||_1 with every ||b_j||_2 <= 1.

Raina, Battle, Lee, Packer, Ng, Self-taught Learning, ICML 2007, equation 1. There is no 1/2 before the square:
in the usual form, 1/2 ||.||^2 + alpha ||.||_1, the same problem has alpha = beta / 2.

Samples are float32 [N, D], a dictionary is float32 [K, D] with an atom in each row, codes are float32 [N, K].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from transferlab.errors import require

CHUNK = 4096
"""Rows that are encoded at a time: bounds the memory to about ten times this many codes."""
BATCH = 512
"""Rows that are encoded again between two updates of the dictionary."""
CHECK_EVERY = 10
"""FISTA steps between two looks at the optimality conditions."""


def objective(samples: Tensor, dictionary: Tensor, codes: Tensor, beta: float) -> float:
    """sum_i ||x_i - a_i B||^2 + beta ||a_i||_1 over all rows."""
    squares, size = 0.0, 0.0
    for x, a in zip(samples.split(CHUNK), codes.split(CHUNK), strict=True):
        squares += float((x - a @ dictionary).square().sum(dtype=torch.float64))
        size += float(a.abs().sum(dtype=torch.float64))
    return squares + beta * size


def violation(correlation: Tensor, codes: Tensor, beta: float) -> Tensor:
    """How far codes [N, K] are from optimal, as [N]; ``correlation`` [N, K] is 2 (x - a B) B^T.

    The optimality (KKT) conditions are: correlation = beta sign(a) where a is not zero, and |correlation| <= beta
    elsewhere. A row's violation is the largest distance from them.
    """
    at_zero = (correlation.abs() - beta).clamp(min=0)
    elsewhere = (correlation - beta * codes.sign()).abs()
    return torch.where(codes == 0, at_zero, elsewhere).amax(1)


def encode(
    samples: Tensor,
    dictionary: Tensor,
    beta: float,
    start: Tensor | None = None,
    tolerance: float = 1e-3,
    iterations: int = 2000,
) -> Tensor:
    """The codes that minimise the objective for a dictionary that stays as it is: float32 [N, K].

    FISTA (Beck & Teboulle, 2009) on Gram matrices, each row with its own momentum, which restarts where it points
    uphill (O'Donoghue & Candès, 2015). A row is finished when its :func:`violation` is at most ``tolerance * beta``,
    or after ``iterations`` steps.

    start: codes [N, K] to begin with, such as those for a similar dictionary; zeros by default.
    """
    require(beta > 0, f"beta={beta}: the weight of sparsity must be greater than 0")
    gram = 2 * dictionary @ dictionary.T
    step = 1 / float(torch.linalg.eigvalsh(gram)[-1].clamp(min=1e-12))
    codes = samples.new_zeros(len(samples), len(dictionary)) if start is None else start.clone()
    for x, a in zip(samples.split(CHUNK), codes.split(CHUNK), strict=True):
        _fista(2 * x @ dictionary.T, gram, step, beta, tolerance * beta, iterations, a)
    return codes


def learn(
    samples: Tensor,
    atoms: int,
    beta: float,
    iterations: int,
    seed: int,
    batch_size: int = BATCH,
    tolerance: float = 1e-2,
) -> tuple[Tensor, list[float]]:
    """A dictionary float32 [atoms, D] for samples [N, D], and the objective after each pass over them.

    In each of the ``iterations`` passes, batches in random order are encoded again, from their last codes on and to
    ``tolerance`` (see :func:`encode`), and after each the dictionary is updated by block coordinate descent (Mairal,
    Bach, Ponce, Sapiro, Online Dictionary Learning for Sparse Coding, ICML 2009, algorithm 2). A batch's codes replace
    its older ones in the statistics of all samples, and so every step lowers the one objective of all samples, while
    the dictionary has moved many times after the first pass.

    Atoms begin as samples. One that no sample uses becomes a badly represented sample, which changes no objective.

    Raises :class:`~transferlab.errors.UserError` for more atoms than samples with any content.
    """
    generator = torch.Generator().manual_seed(seed)
    usable = samples.square().sum(1).nonzero().flatten()
    require(
        1 <= atoms <= len(usable),
        f"{atoms} atoms of a dictionary: allowed is 1 to {len(usable)}, the number of samples that are not all zero",
    )
    dictionary = _unit(samples[usable[torch.randperm(len(usable), generator=generator)[:atoms].to(usable.device)]])
    codes = samples.new_zeros(len(samples), atoms)
    objectives: list[float] = []
    for i in range(iterations):
        # Anew in each pass: differences of sums would let rounding errors grow.
        second, cross = codes.T @ codes, codes.T @ samples
        for rows in torch.randperm(len(samples), generator=generator).to(samples.device).split(batch_size):
            x, old = samples[rows], codes[rows]
            new = encode(x, dictionary, beta, old, tolerance)
            second += new.T @ new - old.T @ old
            cross += (new - old).T @ x
            codes[rows] = new
            update(dictionary, second, cross)
        objectives.append(objective(samples, dictionary, codes, beta))
        if i < iterations - 1:
            _replace_unused(dictionary, samples, codes, generator)
    return dictionary, objectives


def update(dictionary: Tensor, second: Tensor, cross: Tensor) -> None:
    """One round of block coordinate descent over the atoms of ``dictionary`` [K, D], in place.

    second: a^T a [K, K]; cross: a^T x [K, D], summed over samples. Each atom moves to its best place in the unit
    ball for the others as they are; one without codes stays.
    """
    used = second.diagonal()
    # Not "> 0": sums of differences keep rounding errors where the last code has gone.
    for j in (used > torch.finfo(used.dtype).eps * used.max()).nonzero().flatten().tolist():
        atom = dictionary[j] + (cross[j] - second[j] @ dictionary) / second[j, j]
        dictionary[j] = atom / atom.norm().clamp(min=1)


def _replace_unused(dictionary: Tensor, samples: Tensor, codes: Tensor, generator: torch.Generator) -> None:
    """Make atoms without codes into samples, drawn by their squared error, in place."""
    unused = (codes == 0).all(0).nonzero().flatten()
    errors = (samples - codes @ dictionary).square().sum(1).cpu()
    count = min(len(unused), int(errors.count_nonzero()))
    if count:
        rows = torch.multinomial(errors, count, generator=generator).to(samples.device)
        dictionary[unused[:count]] = _unit(samples[rows])


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def _fista(
    target: Tensor, gram: Tensor, step: float, beta: float, tolerance: float, iterations: int, codes: Tensor
) -> None:
    """Bring ``codes`` [N, K] to the minimum, in place; ``target`` is 2 x B^T, ``gram`` is 2 B B^T."""
    rows = torch.arange(len(codes), device=codes.device)
    # A gradient step from y, y - step (y gram - target), is y @ shrink + shift.
    shrink, shift = torch.eye(len(gram), device=gram.device) - step * gram, step * target
    a = y = codes.clone()
    t = codes.new_ones(len(codes), 1)
    for i in range(iterations):
        if i % CHECK_EVERY == 0:
            codes[rows] = a
            # Not "> tolerance", which would take a nan for a finished row.
            left = ~(violation(target - a @ gram, a, beta) <= tolerance)
            if not left.any():
                return
            if not left.all():
                rows, target, shift, a, y, t = (v[left] for v in (rows, target, shift, a, y, t))
        moved = softshrink(torch.addmm(shift, y, shrink), step * beta)
        change = moved - a
        uphill = ((y - moved) * change).sum(1, keepdim=True) > 0
        t = torch.where(uphill, 1, t)
        t_next = (1 + (1 + 4 * t * t).sqrt()) / 2
        a, y, t = moved, torch.addcmul(moved, (t - 1) / t_next, change), t_next
    codes[rows] = a
