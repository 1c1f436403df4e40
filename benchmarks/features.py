"""Features of a frozen backbone: what the program computes of pictures in memory, against bare forward passes.

    python -m benchmarks.features [--images 192] [--repeats 5] [--threads 1]

Each repeat times both in turn, on the same images in batches of the same size.
  bare      the net alone, on batches that are float32 and normalised already
  features  the program's loop: the net and its weights, reading, cropping, normalising, and the answers as an array
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from transferlab.config import ModelConfig
from transferlab.data.contract import Dataset
from transferlab.models.frozen import at_a_time, frozen, pieces

MODEL = ModelConfig("efficientnet_lite0", weights="imagenet", frozen=True, input_size=256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    contenders = both(args.images)
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(args.repeats + 1):
        for name, contender in contenders.items():
            clock = time.perf_counter()
            contender()
            if repeat:  # the first is to warm up
                speeds[name].append(args.images / (time.perf_counter() - clock))
    print(f"torch {torch.__version__}, {args.threads} thread(s), {MODEL.name}, images/s: min median max")
    for name, values in speeds.items():
        print(f"{name:8} {min(values):8.1f} {statistics.median(values):8.1f} {max(values):8.1f}")
    ratio = statistics.median(f / b for f, b in zip(speeds["features"], speeds["bare"], strict=True))
    print(f"features / bare: {ratio:.3f} (median of {args.repeats} pairs)")


def both(count: int) -> dict[str, Callable[[], np.ndarray]]:
    """Both contenders, each of which gives the features [count, F] of the same images."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 256, 256), np.uint8)
    device = torch.device("cpu")
    preprocess, net = frozen(MODEL)
    with torch.no_grad():
        ready = [preprocess(part) for part in torch.from_numpy(pixels).split(at_a_time(device))]
    data = Dataset(pixels, None, ())

    @torch.no_grad()
    def bare() -> np.ndarray:
        return torch.cat([net(part) for part in ready]).numpy()

    def features() -> np.ndarray:
        return np.concatenate(list(pieces("images", data, MODEL, device)))

    return {"bare": bare, "features": features}


if __name__ == "__main__":
    main()
