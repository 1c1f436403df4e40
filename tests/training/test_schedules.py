import math

import pytest

from transferlab.training.schedules import annealed, domain_adaptation


def test_learning_rate_end_points():
    assert annealed(0) == 1
    assert annealed(1) == pytest.approx(11**-0.75)


def test_lambda_end_points():
    assert domain_adaptation(0) == 0
    assert domain_adaptation(1) == pytest.approx(math.tanh(5))
    assert domain_adaptation(0.1) == pytest.approx((1 - math.exp(-1)) / (1 + math.exp(-1)))
