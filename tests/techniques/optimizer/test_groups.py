"""Every optimizer keeps the weight decay and the learning rate of each group, and its scale."""

import pytest

from tests.experiments import composed

every_optimizer = pytest.mark.parametrize(
    "name", ["adam", "adamw", "lamb", "lion", "muon", "nesterov", "rmsprop", "sgd"]
)


@every_optimizer
def test_groups_keep_their_decay_their_rate_and_its_scale(name, two_weights):
    optimizer = composed(f"optimizer={name}").experiment.optimizer(two_weights[1])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.2])
    assert [group["lr_scale"] for group in optimizer.param_groups] == [1.0, 10.0]


@every_optimizer
def test_peak_and_decay_are_the_configured_ones(name):
    factory = composed(f"optimizer={name}", "optimizer.lr=0.3", "optimizer.weight_decay=0.07").experiment.optimizer
    assert (factory.lr, factory.weight_decay) == (0.3, 0.07)
