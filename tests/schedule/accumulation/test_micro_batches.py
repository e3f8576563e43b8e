import pytest
import torch
from torch import nn

from sota_exp.loss.cross_entropy import CrossEntropy
from sota_exp.schedule.accumulation.micro_batches import MicroBatches
from sota_exp.stages import Accumulation, Batch, InvalidValue, OneBatch


def make_batch(num_samples: int) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randn(num_samples, 3, 8, 8, generator=rng),
        targets=torch.rand(num_samples, 5, generator=rng).softmax(1),
        weights=torch.rand(num_samples, generator=rng),
        sources=torch.arange(num_samples),
    )


def gradients(accumulation: Accumulation, batch: Batch) -> list[torch.Tensor]:
    """Gradients of one optimizer step as the loop takes it, on a network without normalization."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 5))
    for micro in accumulation(batch):
        losses = CrossEntropy()(model(micro.images), micro)
        ((losses * micro.weights).sum() / len(batch)).backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize(("num_samples", "micro_batch_size"), [(24, 8), (26, 8), (25, 8), (5, 8), (7, 1)])
def test_gradients_equal_those_of_the_whole_batch(num_samples, micro_batch_size):
    batch = make_batch(num_samples)
    split = gradients(MicroBatches(micro_batch_size=micro_batch_size), batch)
    for mine, whole in zip(split, gradients(OneBatch(), batch), strict=True):
        torch.testing.assert_close(mine, whole, atol=1e-6, rtol=1e-5)


def test_windows_are_exact_in_order_and_lose_nothing():
    parts = list(MicroBatches(micro_batch_size=8)(make_batch(26)))
    assert [len(part) for part in parts] == [8, 8, 8, 2]
    assert torch.cat([part.sources for part in parts]).tolist() == list(range(26))


def test_an_empty_micro_batch_is_refused():
    with pytest.raises(InvalidValue, match="micro_batch_size=0"):
        MicroBatches(micro_batch_size=0)
