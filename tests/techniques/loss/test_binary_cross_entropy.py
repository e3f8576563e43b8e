import pytest
import timm.loss
import torch

from sota_exp.stages.batch import Batch
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.loss.binary_cross_entropy import BinaryCrossEntropy


@pytest.fixture
def batch():
    targets = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    return Batch(images=torch.empty(6, 0), targets=targets, weights=torch.ones(6), sources=torch.arange(6))


def test_agrees_with_timm(batch):
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    mean = BinaryCrossEntropy(class_reduction="mean", target_threshold=None)(logits, batch)
    total = BinaryCrossEntropy(class_reduction="sum", target_threshold=None)(logits, batch)
    torch.testing.assert_close(mean.mean(), timm.loss.BinaryCrossEntropy(smoothing=0.0)(logits, batch.targets))
    reference = timm.loss.BinaryCrossEntropy(smoothing=0.0, sum_classes=True)(logits, batch.targets)
    torch.testing.assert_close(total.mean(), reference)


def test_is_least_where_the_sigmoid_equals_the_target(batch):
    best = torch.logit(batch.targets)
    loss = BinaryCrossEntropy(class_reduction="sum", target_threshold=None)
    assert (loss(best, batch) < loss(best + 0.3, batch)).all()
    assert (loss(best, batch) < loss(best - 0.3, batch)).all()


def test_another_reduction_is_refused():
    with pytest.raises(InvalidValue, match="class_reduction=max"):
        BinaryCrossEntropy(class_reduction="max", target_threshold=None)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.3])
def test_a_threshold_of_targets_is_timms(batch, threshold):
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    ours = BinaryCrossEntropy(class_reduction="mean", target_threshold=threshold)(logits, batch)
    reference = timm.loss.BinaryCrossEntropy(smoothing=0.0, target_threshold=threshold)
    torch.testing.assert_close(ours.mean(), reference(logits, batch.targets))
