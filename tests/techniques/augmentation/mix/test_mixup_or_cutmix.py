import pytest
import torch
from scipy import stats

from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.mix.mixup_or_cutmix import MixupOrCutMix

NUM = 4


def mixed(step, cutmix_prob=0.5, rank=0, mixup_alpha=1.0, cutmix_alpha=1.0):
    """A batch whose image i is constant, 2^i, mixed at `step`."""
    images = torch.arange(float(NUM)).exp2().view(NUM, 1, 1, 1).expand(NUM, 3, 16, 16).contiguous()
    batch = Batch(images=images, targets=torch.eye(NUM), weights=torch.ones(NUM), sources=torch.arange(NUM))
    stage = MixupOrCutMix(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha, cutmix_prob=cutmix_prob)
    return stage(batch, 0.0, RandomStreams(seed=0, rank=rank, world_size=2).random_numbers("augmentation/mix", step))


def is_mixup(batch):
    """Whether every image is constant with a value that no original has."""
    flat = batch.images.flatten(1)
    return bool((flat == flat[:, :1]).all() and (flat[:, 0].log2() % 1 != 0).any())


def only_original_values(batch):
    return bool((batch.images.log2() % 1 == 0).all())


def test_a_batch_is_mixed_in_one_way_never_both():
    for step in range(100):
        batch = mixed(step)
        assert is_mixup(batch) != only_original_values(batch)


@pytest.mark.parametrize("cutmix_prob", [0.5, 0.2])
def test_fraction_of_batches_with_cutmix(cutmix_prob):
    cut = sum(only_original_values(mixed(step, cutmix_prob)) for step in range(400))
    assert stats.binomtest(cut, 400, cutmix_prob).pvalue > 0.01


@pytest.mark.parametrize("cutmix_prob, cuts", [(0.0, False), (1.0, True)])
def test_limits(cutmix_prob, cuts):
    assert all(only_original_values(mixed(step, cutmix_prob)) == cuts for step in range(30))


@pytest.mark.parametrize("cutmix_prob", [0.0, 1.0])
def test_each_of_the_two_draws_with_its_own_alpha(cutmix_prob):
    """A huge alpha draws a half; with the other's tiny one, a share would be near 0 or 1."""
    alphas = {"cutmix_alpha": 1e4, "mixup_alpha": 1e-3} if cutmix_prob else {"cutmix_alpha": 1e-3, "mixup_alpha": 1e4}
    shares = torch.stack([mixed(step, cutmix_prob, **alphas).targets.max(1).values.min() for step in range(30)])
    assert (shares < 0.95).sum() >= 25


def test_targets_match_the_images():
    values = torch.arange(float(NUM)).exp2()
    for step in range(20):
        batch = mixed(step)
        assert torch.allclose(batch.images.mean((1, 2, 3)), batch.targets @ values, atol=1e-4)


def test_ranks_decide_alike_and_steps_repeat():
    for step in range(20):
        assert only_original_values(mixed(step)) == only_original_values(mixed(step, rank=1))
        assert torch.equal(mixed(step).images, mixed(step).images)


@pytest.mark.parametrize("name, value", [("mixup_alpha", 0.0), ("cutmix_alpha", -1.0), ("cutmix_prob", 1.5)])
def test_illegal_fields_are_refused(name, value):
    legal = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "cutmix_prob": 0.5}
    with pytest.raises(InvalidValue, match=f"^{name}="):
        MixupOrCutMix(**{**legal, name: value})
