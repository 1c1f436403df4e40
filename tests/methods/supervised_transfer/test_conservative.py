import numpy as np
import torch

from tests.conftest import config, problem, run
from transferlab.config import LABELLED
from transferlab.methods.supervised_transfer import conservative
from transferlab.methods.supervised_transfer.conservative import distillation, divergence_regularised
from transferlab.methods.target import half_squared_distance, weights


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


def test_a_strong_pull_keeps_the_weights(tmp_path):
    moved = {}
    for alpha in (0.0, 50.0):
        engine = run(tmp_path / str(alpha), config("conservative", steps=20))
        problem_ = problem(LABELLED, LABELLED)
        predictor = conservative.fit(conservative.Config(keep="weights", alpha=alpha), problem_, engine)
        from safetensors.torch import load_file

        start = load_file(tmp_path / str(alpha) / "checkpoints" / "stage-source.safetensors")
        now = predictor.net.state_dict()
        moved[alpha] = float(sum((now[k] - start[f"net.{k}"]).square().sum() for k in now if "weight" in k))
    assert moved[50.0] < moved[0.0] / 2
