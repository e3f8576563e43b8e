import pytest
import torch
from torch import nn

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.loss.cross_entropy import CrossEntropy
from sota_exp.techniques.regularization.smoothing.label_smoothing import LabelSmoothing

RNG = torch.Generator().manual_seed(0)
MIXED = 0.3 * torch.eye(6)[[0, 1, 2, 3]] + 0.7 * torch.eye(6)[[3, 1, 0, 5]]


def smoothed(targets, label_smoothing):
    rows = len(targets)
    batch = Batch(images=torch.empty(rows, 0), targets=targets, weights=torch.ones(rows), sources=torch.arange(rows))
    draws = RandomStreams(seed=0).random_numbers("regularization/smoothing", 0)
    return LabelSmoothing(label_smoothing=label_smoothing)(batch, 0.5, draws)


@pytest.mark.parametrize("targets", [torch.eye(6)[[0, 1, 2, 3]], MIXED])
def test_loss_on_smoothed_targets_is_pytorchs_smoothed_loss(targets):
    logits = torch.randn(4, 6, generator=RNG)
    reference = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")(logits, targets)
    torch.testing.assert_close(CrossEntropy()(logits, smoothed(targets, 0.1)), reference)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_targets_still_sum_to_one(label_smoothing):
    torch.testing.assert_close(smoothed(MIXED, label_smoothing).targets.sum(1), torch.ones(4))


def test_zero_is_the_identity():
    assert torch.equal(smoothed(MIXED, 0.0).targets, MIXED)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_illegal_values_are_named(value):
    with pytest.raises(InvalidValue, match="label_smoothing"):
        LabelSmoothing(label_smoothing=value)
