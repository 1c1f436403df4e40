"""Speed of DANN on the MNIST network: the engine against a bare step and against skada, in one run.

    python -m benchmarks [--threads 1] [--repeats 5] [--steps 300] [--precision float32]

Each repeat times every contender in turn, so that a drift of the machine meets them all; medians are compared.
  bare    forward, backward and optimiser step on one batch that is in memory already: nothing else
  engine  the whole loop: drawing, gathering, preprocessing, schedules, logging
  skada   skada's DANN with the same net, batch size, optimiser and data (pip install skada skorch)
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from transferlab.config import Config, DataConfig, DeviceConfig, ModelConfig, TrainConfig
from transferlab.data.contract import IMAGES
from transferlab.methods.domain_adaptation import dann
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.models.normalisation import Preprocess
from transferlab.problem import Labelled, Problem, Unlabelled
from transferlab.runs import RunFolder
from transferlab.training.engine import Engine

BATCH = 64
CLASSES = tuple("0123456789")


def bare_net() -> ConvNet:
    return ConvNet(ModelConfig(), 10, (3, 28, 28), Preprocess("mean", torch.zeros(3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable()

    contenders = {"bare": bare(args), "engine": engine(args)}
    try:
        contenders["skada"] = skada(args)
    except ImportError as error:
        print(f"skada left out: {error}")
    for contender in contenders.values():
        contender(5)
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.repeats):
        for name, contender in contenders.items():
            clock = time.perf_counter()
            steps = contender(args.steps)
            speeds[name].append(steps * 2 * BATCH / (time.perf_counter() - clock))
    print(f"torch {torch.__version__}, {args.threads} thread(s), {args.precision}, images/s: min median max")
    for name, values in speeds.items():
        print(f"{name:8} {min(values):8.0f} {statistics.median(values):8.0f} {max(values):8.0f}")
    for other in list(contenders)[:1] + list(contenders)[2:]:
        ratio = statistics.median(e / o for e, o in zip(speeds["engine"], speeds[other], strict=True))
        print(f"engine / {other}: {ratio:.3f} (median of {args.repeats} pairs)")


def problem() -> Problem:
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(0, 256, (10_000, 1, 28, 28), generator=generator, dtype=torch.uint8)
    colour = torch.randint(0, 256, (10_000, 3, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (10_000,), generator=generator)
    return Problem(Labelled(grey, labels), Unlabelled(colour), CLASSES, CLASSES, 0, IMAGES)


def bare(args: argparse.Namespace) -> Callable[[int], int]:
    net = bare_net()
    critic = DomainCritic(net, ModelConfig())
    optimiser = torch.optim.SGD([*net.parameters(), *critic.parameters()], lr=0.01, momentum=0.9, fused=True)
    x = torch.randn(2 * BATCH, 3, 28, 28).to(memory_format=torch.channels_last)
    y, domains = torch.randint(0, 10, (BATCH,)), torch.arange(2).repeat_interleave(BATCH).float()

    def steps(count: int) -> int:
        for _ in range(count):
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16", cache_enabled=False):
                features = net.extractor(x)
                logits = net.head(net.hidden(features))[:BATCH]
                critic_logits = critic(dann.reverse_gradient(features, 0.5))
                label = F.cross_entropy(logits.float(), y)
                (label + F.binary_cross_entropy_with_logits(critic_logits.float(), domains)).backward()
            optimiser.step()
            optimiser.zero_grad()
        return count

    return steps


def engine(args: argparse.Namespace) -> Callable[[int], int]:
    p = problem()

    def steps(count: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            config = Config(
                method=None, source=None, target=None, model=ModelConfig(), data=DataConfig(), names={},
                train=TrainConfig(steps=count, log_every=100, checkpoint_every=500),
                device=DeviceConfig(name="cpu", precision=args.precision),
            )  # fmt: skip
            run = Engine(config, RunFolder(Path(folder)), torch.device("cpu"), lambda predictor: {})
            dann.fit(dann.Config(), p, run)
            return count

    return steps


def skada(args: argparse.Namespace) -> Callable[[int], int]:
    """skada's DANN with the same layers; float32 as usual, contiguous layout, its own training loop."""
    if args.precision != "float32":
        raise ImportError("compared in float32 only")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skada.deep import DANN

    net = ConvNet(ModelConfig(), 10, (3, 28, 28), Preprocess("mean", torch.zeros(3))).to(
        memory_format=torch.contiguous_format
    )
    module = torch.nn.Sequential(net.extractor, *net.trunk, net.head)
    critic = torch.nn.Sequential(
        torch.nn.Linear(net.feature_size, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 1),
        torch.nn.Sigmoid(),
        torch.nn.Flatten(0),
    )
    rng = np.random.default_rng(0)

    def steps(count: int) -> int:
        n = count * BATCH
        x = rng.normal(size=(2 * n, 3, 28, 28)).astype(np.float32)
        y = np.concatenate([rng.integers(0, 10, n), np.full(n, -1)])
        sample_domain = np.concatenate([np.ones(n), np.full(n, -2)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = DANN(
                module, reg=1, domain_classifier=critic, num_features=net.feature_size, layer_name="0",
                batch_size=BATCH, max_epochs=1, train_split=None, verbose=0, lr=0.01,
                optimizer=torch.optim.SGD, optimizer__momentum=0.9,
            )  # fmt: skip
            model.fit(x, y, sample_domain=sample_domain)
        return count

    return steps


if __name__ == "__main__":
    main()
