"""A transform writes into the images of a batch only if the batch is `fresh`; the result is the same otherwise."""

from dataclasses import replace

import pytest
import torch

from sota_exp.config.build import build
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomStreams
from tests.experiments import composed
from tests.options import Option, options

SLOTS = ("flip", "geometry", "policy", "erase", "mix")
OPTIONS = [option for option in options() if option.slot in {f"augmentation/{slot}" for slot in SLOTS}]


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_images_that_are_not_fresh_are_never_written_into(option: Option) -> None:
    name = option.slot.split("/")[1]
    node = composed("data=fake", "augmentation/crop=random_resized", str(option)).values["augmentation"][name]
    stage = build(BatchTransform, node, f"augmentation.{name}")
    images = torch.randint(0, 256, (24, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    if name in ("erase", "mix"):
        images = images.float()
    images = images.contiguous(memory_format=torch.channels_last)
    batch = Batch(
        images=images.clone(),
        targets=torch.eye(24),
        weights=torch.ones(24),
        sources=torch.arange(24),
        owns_images=False,
    )
    own = replace(batch, images=images.clone(), owns_images=True)
    for step in range(4):
        rng = RandomStreams(seed=1).random_numbers(option.slot, step)
        made = stage(batch, 0.5, rng)
        assert torch.equal(batch.images, images)
        again = stage(replace(own, images=images.clone()), 0.5, RandomStreams(seed=1).random_numbers(option.slot, step))
        assert torch.equal(made.images, again.images) and torch.equal(made.targets, again.targets)
