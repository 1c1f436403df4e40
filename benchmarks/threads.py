"""Two threads against one, on a machine that is idle and on one that is busy.

    python -m benchmarks.threads [--threads 2] [--repeats 10] [--steps 4] [--busy 0 1 2 4]

Each contender is a process that takes the bare steps of DANN on the MNIST network (see benchmarks/__main__.py). For
each number of processes that keep a core busy, each repeat times every contender in turn, the others asleep; ratios
are medians of the pairs. On a machine with other work there is no idle: trust the ratios, not the images a second.
  one        one thread
  unchanged  several threads that wait for each other as libgomp has it where nobody says otherwise
  shipped    several threads with what importing transferlab sets
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

# libgomp's own spin count: about a millisecond on processors of today.
UNCHANGED = {"GOMP_SPINCOUNT": "300000"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4], help="processes that keep a core busy")
    args = parser.parse_args()
    with ExitStack() as stack:
        contenders = {
            "one": stack.enter_context(process(1)),
            "unchanged": stack.enter_context(process(args.threads, UNCHANGED)),
            "shipped": stack.enter_context(process(args.threads)),
        }
        print(f"{args.threads} threads, images/s: min median max; ratios: medians of {args.repeats} pairs")
        for count in args.busy:
            with busy(count):
                report(f"{count} busy", race(contenders, args.steps, args.repeats))


def race(contenders: Mapping[str, subprocess.Popen[str]], steps: int, repeats: int) -> dict[str, list[float]]:
    """Images a second of each contender in each repeat."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            speeds[name].append(ask(contender, steps))
    return speeds


def ask(contender: subprocess.Popen[str], steps: int) -> float:
    """Images a second over so many steps."""
    assert contender.stdin and contender.stdout
    print(steps, file=contender.stdin, flush=True)
    return float(contender.stdout.readline())


def report(load: str, speeds: Mapping[str, list[float]]) -> None:
    for name, values in speeds.items():
        print(f"{load:8} {name:10} {min(values):8.0f} {statistics.median(values):8.0f} {max(values):8.0f}")
    for other in ("one", "unchanged"):
        ratio = statistics.median(s / o for s, o in zip(speeds["shipped"], speeds[other], strict=True))
        print(f"{load:8} shipped / {other}: {ratio:.2f}", flush=True)


@contextmanager
def process(threads: int, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that reads numbers of steps, takes them and answers with images a second."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    words = [sys.executable, "-c", f"from benchmarks.threads import answer; answer({threads})"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=clean | dict(environment or {}), stdin=pipe, stdout=pipe, text=True) as child:
        try:
            ask(child, 2)
            yield child
        finally:
            child.kill()


def answer(threads: int) -> None:
    """The work of such a process."""
    import torch

    from benchmarks.__main__ import BATCH, bare

    torch.set_num_threads(threads)
    take = bare(argparse.Namespace(precision="float32"))
    for line in sys.stdin:
        clock = time.perf_counter()
        steps = take(int(line))
        print(steps * 2 * BATCH / (time.perf_counter() - clock), flush=True)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing, as fast as they can."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for child in spinning:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
