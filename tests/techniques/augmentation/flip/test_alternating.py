from dataclasses import replace

import torch
from scipy import stats

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.techniques.augmentation.flip.alternating import AlternatingFlip, compute_hash_bit


def make_batch(num):
    images = torch.randint(256, (num, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(images=images, targets=torch.eye(num), weights=torch.ones(num), sources=torch.arange(num) * 7)


def flipped(batch, epoch, step=0):
    rng = RandomStreams(seed=0).random_numbers("augmentation/flip", step)
    return AlternatingFlip()(replace(batch, epoch=epoch), 0.0, rng).images


def test_two_consecutive_epochs_contain_both_views_of_each_image():
    batch = make_batch(40)
    for epoch in range(4):
        assert torch.equal(flipped(batch, epoch), flipped(batch, epoch + 1).flip(-1))
        assert torch.equal(flipped(batch, epoch), flipped(batch, epoch + 2))


def test_the_bit_depends_on_the_source_not_on_position_or_step():
    batch, order = make_batch(40), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    moved = replace(batch, images=batch.images[order], sources=batch.sources[order])
    assert torch.equal(flipped(moved, 3, step=9), flipped(batch, 3, step=2)[order])


def test_half_of_the_sources_start_flipped_without_pattern():
    bits = compute_hash_bit(torch.arange(20000))
    assert stats.binomtest(bits.sum().item(), 20000).pvalue > 0.01
    for lag in (1, 2, 7, 16, 256, 1000):
        equal = (bits[lag:] == bits[:-lag]).sum().item()
        assert stats.binomtest(equal, 20000 - lag).pvalue > 0.001, lag


def test_the_bits_are_the_same_everywhere():
    assert compute_hash_bit(torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 123456789])).tolist() == [1, 0, 0, 1, 1, 1, 0, 1, 1]
