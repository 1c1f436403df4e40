import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.conftest import config, problem, run
from transferlab.map import LABELLED, UNLABELLED
from transferlab.methods.domain_adaptation import mcd
from transferlab.methods.domain_adaptation.mcd import discrepancy


def test_the_discrepancy_by_hand_and_its_bound():
    one, two = torch.tensor([[0.0, 0.0]]), torch.tensor([[np.log(3), 0.0]])
    torch.testing.assert_close(discrepancy(one, two).item(), 0.25)
    far = torch.tensor([[50.0, 0, 0, 0]]), torch.tensor([[0, 50.0, 0, 0]])
    assert discrepancy(*far) == pytest.approx(2 / 4)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_two_steps_are_those_of_the_authors_loop(tmp_path, batch_norm):
    """Three optimisers, gradients cleared between the steps, domains passed one after the other."""
    settings = config("mcd", steps=2, schedule="constant", lr=0.005, momentum=0.9, weight_decay=0.01)
    settings.model.batch_norm = batch_norm
    p, engine = problem(LABELLED, UNLABELLED), run(tmp_path, settings)
    g, second = (copy.deepcopy(engine.net(p, name=name)) for name in ("net", "second classifier"))
    heads = [(g.trunk, g.head), (second.trunk, second.head)]
    parts = [[*g.extractor.parameters()], *([*trunk.parameters(), *head.parameters()] for trunk, head in heads)]
    opt_g, *opt_f = (torch.optim.SGD(part, lr=0.005, momentum=0.9, weight_decay=0.01) for part in parts)

    def answers(view, domain):
        features = g.features(view.inputs.expand(-1, 3, -1, -1), domain)
        return [net.classify(features, domain) for net in (g, second)]

    def cross_entropies(batch):
        return sum(F.cross_entropy(x, batch.source.labels) for x in answers(batch.source, "source"))

    def step(loss, optimisers):
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        for optimiser in (opt_g, *opt_f):
            optimiser.zero_grad()

    draw = p.batches(source=8, target=8)
    for number in range(2):
        batch = draw("adapt", number)
        step(cross_entropies(batch), [opt_g, *opt_f])
        step(cross_entropies(batch) - discrepancy(*answers(batch.target, "target")), opt_f)
        for _ in range(3):
            step(discrepancy(*answers(batch.target, "target")), [opt_g])
    learned = mcd.fit(mcd.Config(generator_steps=3), p, engine)
    for name, parameter in g.named_parameters():
        torch.testing.assert_close(dict(learned.net.named_parameters())[name], parameter, atol=1e-4, rtol=1e-3)
