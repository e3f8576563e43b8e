"""Outputs in another order of classes are found, and only where there is another order."""

import numpy as np
import pytest

from sota_exp.training.class_order_check import find_better_order


def confusion(rng, order, accuracy, num):
    """Confusion matrix of `num` images, whose class is predicted with `accuracy`, else a random one; outputs by `order`."""
    true = rng.integers(len(order), size=num)
    predicted = np.where(rng.random(num) < accuracy, true, rng.integers(len(order), size=num))
    counts = np.zeros((len(order), len(order)), int)
    np.add.at(counts, (true, np.argsort(order)[predicted]), 1)
    return counts.tolist()


@pytest.mark.parametrize("accuracy", [0.5, 0.9])
def test_another_order_is_found(accuracy):
    rng, order = np.random.default_rng(0), [3, 1, 0, 2]
    val, test = (confusion(rng, order, accuracy, 200) for _ in range(2))
    names, found = find_better_order(val, test, "abcd")
    assert "".join(names) == "dbac" and found > accuracy


@pytest.mark.parametrize("accuracy", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_there_is_none_for_the_right_order_nor_for_noise(accuracy, num_classes):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        val, test = (confusion(rng, list(range(num_classes)), accuracy, 300) for _ in range(2))
        assert find_better_order(val, test, list(map(str, range(num_classes)))) is None
