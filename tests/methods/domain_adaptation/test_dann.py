import torch
from torch import nn

from tests.conftest import config, problem, run
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.domain_adaptation import dann
from transferlab.training.schedules import domain_adaptation


def test_reversed_gradient_is_minus_lambda_times_the_gradient():
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 1), torch.randn(5, 4, requires_grad=True)
    layer(x).square().sum().backward()
    plain, weights = x.grad.clone(), layer.weight.grad.clone()
    x.grad = None
    layer.zero_grad()
    layer(dann.reverse_gradient(x, 0.3)).square().sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * plain)
    # Lambda is the features' alone: the critic's own gradient is untouched.
    torch.testing.assert_close(layer.weight.grad, weights)


def test_reversal_by_finite_differences():
    x = torch.randn(3, 2, dtype=torch.double, requires_grad=True)

    def f(z):
        return (z**3).sum()

    (reversed_,) = torch.autograd.grad(f(dann.reverse_gradient(x, 2.0)), x)
    e = 1e-6
    for i in range(3):
        for j in range(2):
            d = torch.zeros_like(x)
            d[i, j] = e
            slope = (f(x + d) - f(x - d)) / (2 * e)
            torch.testing.assert_close(reversed_[i, j], -2 * slope.detach(), rtol=1e-5, atol=1e-7)


class Recorder:
    """Stands in for the engine: keeps what the method would train, and takes no step."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def train(self, stage, modules, loss, batches, predictor=None):
        self.stage, self.modules, self.loss, self.batches = stage, modules, loss, batches


def losses_at(progress, tmp_path, **options):
    engine = Recorder(run(tmp_path, config()))
    p = problem(LABELLED, UNLABELLED)
    dann.fit(dann.Config(**options), p, engine)
    batch = engine.batches("adapt", 0)
    return engine, batch, engine.loss(batch, progress)


def test_losses_by_hand(tmp_path):
    engine, batch, losses = losses_at(0.5, tmp_path)
    net, critic = engine.modules["net"], engine.modules["critic"]
    source, target = batch.source.inputs, batch.target.inputs
    chosen = net(source).log_softmax(1)[range(8), batch.source.labels]
    torch.testing.assert_close(losses["label"], -chosen.mean())
    on_source, on_target = (torch.sigmoid(critic(net.features(part))) for part in (source, target))
    torch.testing.assert_close(losses["critic"], -((1 - on_source).log().sum() + on_target.log().sum()) / 16)


def test_critic_weight_two_is_the_equations_sums(tmp_path):
    # Equation 9: sum over 8 labels minus lambda times the sum over 16 domains; divided by 8, a factor of 2.
    _, _, one = losses_at(0.5, tmp_path / "a")
    _, _, two = losses_at(0.5, tmp_path / "b", critic_weight=2.0)
    torch.testing.assert_close(two["critic"], 2 * one["critic"])
    torch.testing.assert_close(two["label"], one["label"])


def test_gradients_reach_features_reversed_and_critic_straight(tmp_path):
    engine, batch, losses = losses_at(0.5, tmp_path)
    net, critic = engine.modules["net"], engine.modules["critic"]
    weight, first = net.extractor[0].weight, critic[0].weight
    got = torch.autograd.grad(losses["critic"], [weight, first])
    logits = critic(net.features(batch.inputs))
    domains = torch.tensor([0.0] * 8 + [1.0] * 8)
    plain = torch.autograd.grad(nn.functional.binary_cross_entropy_with_logits(logits, domains), [weight, first])
    torch.testing.assert_close(got[0], -domain_adaptation(0.5) * plain[0])
    torch.testing.assert_close(got[1], plain[1])


def test_the_largest_lambda_scales_what_reaches_the_features_and_nothing_else(tmp_path):
    gradients = []
    for number, largest in enumerate((1.0, 0.1)):
        engine, _, losses = losses_at(0.5, tmp_path / str(number), largest_lambda=largest)
        wanted = [engine.modules["net"].extractor[0].weight, engine.modules["critic"][0].weight]
        gradients.append((losses["critic"], torch.autograd.grad(losses["critic"], wanted)))
    (whole, (reversed_, straight)), (tenth, (less, same)) = gradients
    torch.testing.assert_close(less, 0.1 * reversed_)
    torch.testing.assert_close(same, straight)
    torch.testing.assert_close(tenth, whole)
