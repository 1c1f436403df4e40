"""Sparse coding against scikit-learn: the same samples, dictionary size and objective, in one run.

    python -m benchmarks.sparse_coding [--repeats 3] [--samples 4000] [--atoms 256] [--size 12]

The samples are patches of the packaged photographs. Objectives are sum ||x - a B||^2 + beta ||a||_1 with ||b|| <= 1, at
codes of one accurate encoder; scikit-learn has 1/2 before the square, and so gets beta / 2. On one thread;
seconds are the processor's, so that other work on the machine counts for little. Each repeat times every contender in
turn, so that a drift of the machine meets them all; medians are compared.
  encode  the codes for one dictionary: FISTA against coordinate descent and LARS (sparse_encode)
  learn   a dictionary: as many passes as it takes to come to the objective that MiniBatchDictionaryLearning ends with
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from transferlab import data
from transferlab.config import DataConfig
from transferlab.data.contract import IMAGES
from transferlab.data.generated import patches
from transferlab.models.coded import without_mean
from transferlab.numerics import sparse_coding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--atoms", type=int, default=256)
    parser.add_argument("--size", type=int, default=12, help="height and width of the patches")
    parser.add_argument("--beta", type=float, default=0.3)
    parser.add_argument("--passes", type=int, default=10, help="of MiniBatchDictionaryLearning over the samples")
    args = parser.parse_args()
    torch.set_num_threads(1)  # scikit-learn's are set by OMP_NUM_THREADS

    x = samples(args.samples, args.size)
    atoms, _ = sparse_coding.learn(x, args.atoms, args.beta, 3, seed=0)
    print(f"torch {torch.__version__}, one thread, {len(x)} x {x.shape[1]}, {args.atoms} atoms")
    report(
        {name: (run, run()) for name, run in encoders(x, atoms, args.beta).items()},
        lambda codes: sparse_coding.objective(x, atoms, codes, args.beta),
        args.repeats,
    )
    theirs = scikit_learn(x, args.atoms, args.beta, args.passes)
    found = theirs()
    passes = passes_to(ended(x, found, args.beta), x, args.atoms, args.beta)
    ours = ours_in(x, args.atoms, args.beta, passes)
    report(
        {
            f"learn, {passes} passes": (ours, ours()),
            f"MiniBatchDictionaryLearning, {args.passes} passes": (theirs, found),
        },
        lambda dictionary: ended(x, dictionary, args.beta),
        args.repeats,
    )


def report(
    contenders: Mapping[str, tuple[Callable[[], Tensor], Tensor]], objective: Callable[[Tensor], float], repeats: int
) -> None:
    """Processor seconds and objective of each; the first is compared with the others."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (run, _) in contenders.items():
            clock = time.process_time()
            run()
            seconds[name].append(time.process_time() - clock)
    print("seconds: min median max; objective")
    for name, (_, found) in contenders.items():
        times = seconds[name]
        spread = f"{min(times):8.2f} {statistics.median(times):8.2f} {max(times):8.2f}"
        print(f"{name:40} {spread}  {objective(found):12.4f}")
    first, *others = contenders
    for other in others:
        ratio = statistics.median(o / f for f, o in zip(seconds[first], seconds[other], strict=True))
        print(f"{other} / {first}: {ratio:.2f} times as long (median of {repeats} pairs)")


def samples(count: int, size: int) -> Tensor:
    """float32 [count, size^2], each patch without its mean, of mean square length 1."""
    settings = DataConfig(edition="sample")
    cut = data.find("patches", patches.Config(size=size, count=count), settings).load("train").inputs
    x = without_mean(torch.from_numpy(cut.copy()).flatten(1), IMAGES)
    return x / x.square().sum(1).mean().sqrt()


def encoders(x: Tensor, atoms: Tensor, beta: float) -> dict[str, Callable[[], Tensor]]:
    from sklearn.decomposition import sparse_encode

    def theirs(algorithm: str) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            codes = sparse_encode(x.numpy(), atoms.numpy(), algorithm=algorithm, alpha=beta / 2)
        return torch.from_numpy(codes).float()

    return {
        "encode": lambda: sparse_coding.encode(x, atoms, beta),
        "sparse_encode, coordinate descent": lambda: theirs("lasso_cd"),
        "sparse_encode, LARS": lambda: theirs("lasso_lars"),
    }


def scikit_learn(x: Tensor, atoms: int, beta: float, passes: int) -> Callable[[], Tensor]:
    """MiniBatchDictionaryLearning with coordinate descent and the same batches; its own stopping rules are off."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    def run() -> Tensor:
        model = MiniBatchDictionaryLearning(
            atoms, alpha=beta / 2, max_iter=passes, batch_size=sparse_coding.BATCH, fit_algorithm="cd", random_state=0,
            tol=0, max_no_improvement=None,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.from_numpy(model.fit(x.numpy()).components_).float()

    return run


def ours_in(x: Tensor, atoms: int, beta: float, passes: int) -> Callable[[], Tensor]:
    return lambda: sparse_coding.learn(x, atoms, beta, passes, seed=0)[0]


def passes_to(objective: float, x: Tensor, atoms: int, beta: float, most: int = 50) -> int:
    """The fewest passes after which ``learn`` is at ``objective`` or below."""
    for passes in range(1, most + 1):
        if ended(x, ours_in(x, atoms, beta, passes)(), beta) <= objective:
            return passes
    raise RuntimeError(f"{most} passes do not come to an objective of {objective}")


def ended(x: Tensor, dictionary: Tensor, beta: float) -> float:
    """The objective at accurate codes. An atom outside the unit ball would make it too good: it is refused."""
    assert dictionary.norm(dim=1).max() <= 1 + 1e-4
    return sparse_coding.objective(x, dictionary, sparse_coding.encode(x, dictionary, beta, tolerance=1e-4), beta)


if __name__ == "__main__":
    main()
