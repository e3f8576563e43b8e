import torch
from torch import nn

from sota_exp.stages.batch import Batch
from sota_exp.techniques.loss.cross_entropy import CrossEntropy


def batch_of(targets):
    rows = len(targets)
    return Batch(images=torch.empty(rows, 0), targets=targets, weights=torch.ones(rows), sources=torch.arange(rows))


def test_agrees_with_class_indices():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    mine = CrossEntropy()(logits, batch_of(nn.functional.one_hot(labels, 4).float()))
    torch.testing.assert_close(mine, nn.functional.cross_entropy(logits, labels, reduction="none"))


def test_soft_targets_mix_the_losses_of_their_classes():
    logits, share = torch.randn(5, 3), torch.rand(5, 1)
    first, second = torch.eye(3)[[0] * 5], torch.eye(3)[[2] * 5]
    mixed = CrossEntropy()(logits, batch_of(share * first + (1 - share) * second))
    parts = [CrossEntropy()(logits, batch_of(target)) for target in (first, second)]
    torch.testing.assert_close(mixed, share[:, 0] * parts[0] + (1 - share[:, 0]) * parts[1])


def test_half_precision_logits_give_a_float32_loss():
    logits = torch.tensor([[20.0, 0.0, 0.0]]).bfloat16()
    loss = CrossEntropy()(logits, batch_of(torch.eye(3)[:1]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(CrossEntropy()(logits, batch_of(torch.eye(3)[1:2])), torch.tensor([20.0]))
