"""The benchmark runs, and its contenders do the same work."""

import argparse

import torch

from benchmarks import __main__ as benchmarks


def test_contenders_take_the_steps_they_are_asked_for():
    args = argparse.Namespace(precision="float32")
    assert benchmarks.bare(args)(2) == 2
    assert benchmarks.engine(args)(2) == 2


def test_the_problem_is_danns():
    p = benchmarks.problem()
    batch = p.batches(source=benchmarks.BATCH, target=benchmarks.BATCH)("adapt", 0)
    assert batch.inputs.shape == (128, 3, 28, 28) and batch.inputs.dtype == torch.uint8
