import torch

from transferlab.randomness import Order, key


def test_each_epoch_is_a_permutation():
    order = Order(10, 0, "stage")
    stream = torch.cat([order.take(3 * step, 3) for step in range(10)])
    for epoch in range(3):
        assert sorted(stream[10 * epoch : 10 * epoch + 10].tolist()) == list(range(10))
    assert not torch.equal(stream[:10], stream[10:20])


def test_a_place_needs_no_history():
    whole = Order(7, 1, "a").take(0, 50)
    for first in (0, 3, 6, 7, 20, 43):
        assert torch.equal(Order(7, 1, "a").take(first, 7), whole[first : first + 7])


def test_more_than_an_epoch_at_once():
    assert len(Order(4, 0).take(2, 11)) == 11


def test_stage_and_seed_change_the_order():
    first = Order(50, 0, "a").take(0, 50)
    assert not torch.equal(first, Order(50, 0, "b").take(0, 50))
    assert not torch.equal(first, Order(50, 1, "a").take(0, 50))


def test_key_is_the_same_everywhere():
    # Worked out once with hashlib in another process; a change would silently change every run.
    assert key(0, "adapt", 1) == key("0", "adapt", "1") == 789227921574693289
