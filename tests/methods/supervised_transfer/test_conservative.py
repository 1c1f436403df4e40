import copy
import dataclasses

import numpy as np
import torch
from safetensors.torch import load_file

from tests.conftest import config, problem, run
from transferlab.map import LABELLED
from transferlab.methods.supervised_transfer import conservative
from transferlab.methods.supervised_transfer.conservative import distillation, divergence_regularised
from transferlab.methods.target import half_squared_distance, new_head, weights


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_kld_is_the_papers_objective_but_for_a_constant():
    """(1 - rho) CE + rho KL(p_SI || p), by NumPy; they differ by rho times the entropy of p_SI."""
    rng = np.random.default_rng(0)
    logits, answer, labels = rng.normal(size=(7, 4)), rng.normal(size=(7, 4)), rng.integers(4, size=7)
    p, q = softmax(logits), softmax(answer)
    ce = -np.log(p[np.arange(7), labels]).mean()
    kl = (q * np.log(q / p)).sum(1).mean()
    entropy = -(q * np.log(q)).sum(1).mean()
    ours = divergence_regularised(torch.tensor(logits), torch.tensor(labels), torch.tensor(answer), 0.3)
    np.testing.assert_allclose(float(ours), 0.7 * ce + 0.3 * (kl + entropy))


def test_distillation_softens_probabilities_to_the_power_of_one_over_t():
    rng = np.random.default_rng(1)
    logits, answer = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    soft = [softmax(x) ** 0.5 / (softmax(x) ** 0.5).sum(1, keepdims=True) for x in (answer, logits)]
    expected = -(soft[0] * np.log(soft[1])).sum(1).mean()
    np.testing.assert_allclose(float(distillation(torch.tensor(logits), torch.tensor(answer), 2.0)), expected)


def test_the_distance_leaves_batch_normalisation_out(tmp_path):
    settings = config()
    settings.model.batch_norm = True
    net = run(tmp_path, settings).net(problem(LABELLED, LABELLED))
    start = {name: tensor.detach() + 2 for name, tensor in weights(net).items()}
    count = sum(tensor.numel() for tensor in start.values())
    torch.testing.assert_close(half_squared_distance(weights(net), start).item(), 2.0 * count)
    assert not any(net.get_submodule(n.rpartition(".")[0]).__class__.__name__.startswith("Batch") for n in start)


def test_in_the_warm_up_the_new_head_learns_alone(tmp_path):
    """It is a logistic regression on the source's features by plain gradient descent, and leaves nothing behind."""
    p = dataclasses.replace(problem(LABELLED, LABELLED), source_classes=("other", "names", "here"))
    moved = {}
    for warmup in (0, 3):
        settings = config("conservative", steps=2, momentum=0.0, batch_size=60, schedule="constant", lr=0.1)
        settings.model.batch_norm = True
        options = conservative.Config(keep="outputs", old_weight=0, warmup=warmup, steps=1)
        moved[warmup] = conservative.fit(options, p, run(tmp_path / str(warmup), settings))
    stages = tmp_path / "3" / "checkpoints"
    source = load_file(stages / "stage-source.safetensors")
    before, now = moved[0].net, moved[3].net
    features = copy.deepcopy(before)
    features.load_state_dict({k.removeprefix("net."): v for k, v in source.items()})
    with torch.no_grad():
        hidden = features.eval().hidden(features.features(p.target.inputs))
    new = run(tmp_path / "again", config())
    new_head(p, new, features)
    head = features.head
    for _ in range(3):
        head.zero_grad()
        torch.nn.functional.cross_entropy(head(hidden), p.target.labels).backward()
        for parameter in head.parameters():
            parameter.data -= 0.1 * parameter.grad
    warm = load_file(stages / "stage-warm-up.safetensors")
    torch.testing.assert_close(warm["head.weight"], head.weight.detach())
    # The step after it starts from the source's weights with a gradient of its own alone. The same batch in the same
    # order: another order of its sums can tip a value over the bend of a ReLU, and the gradient jumps.
    batch = p.batches(target=60)("target", 0)
    features.train().zero_grad()
    torch.nn.functional.cross_entropy(features(batch.target.inputs), batch.target.labels).backward()
    expected = source["net.extractor.0.weight"] - 0.1 * features.extractor[0].weight.grad
    torch.testing.assert_close(now.extractor[0].weight.detach(), expected, rtol=1e-4, atol=1e-6)


def test_a_strong_pull_keeps_the_weights(tmp_path):
    moved = {}
    for alpha in (0.0, 50.0):
        engine = run(tmp_path / str(alpha), config("conservative", steps=20))
        problem_ = problem(LABELLED, LABELLED)
        predictor = conservative.fit(conservative.Config(keep="weights", alpha=alpha), problem_, engine)
        start = load_file(tmp_path / str(alpha) / "checkpoints" / "stage-source.safetensors")
        now = predictor.net.state_dict()
        moved[alpha] = float(sum((now[k] - start[f"net.{k}"]).square().sum() for k in now if "weight" in k))
    assert moved[50.0] < moved[0.0] / 2
