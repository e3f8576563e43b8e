"""The order of batch transforms, and the representation of images at each point."""

from dataclasses import dataclass

import torch
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as F

from sota_exp.data.train_loader import load_crops
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.random import RandomStreams
from sota_exp.training.batch_pipeline import BatchPipeline, Normalize, normalize
from tests.experiments import OFF, ON, TINY, composed, session_of

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
ORDER = [
    "augmentation/flip", "augmentation/geometry", "augmentation/policy", "normalize", "augmentation/erase",
    "augmentation/mix", "regularization/smoothing", "regularization/distillation",
]  # fmt: skip


def test_normalize_is_torchvisions():
    images = torch.arange(256, dtype=torch.uint8).repeat(12).view(2, 3, 16, 32)
    expected = F.normalize(F.to_dtype(images, torch.float32, scale=True), IMAGENET.mean, IMAGENET.std)
    assert_close(normalize(images, IMAGENET), expected, rtol=1e-5, atol=1e-6)


def test_normalize_keeps_the_memory_format():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    assert normalize(images, IMAGENET).is_contiguous(memory_format=torch.channels_last)


def test_the_mean_colour_becomes_zero():
    grey = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    assert_close(
        normalize(grey, Preprocessing(mean=(0.2,) * 3, std=(0.5,) * 3)), torch.zeros(1, 3, 2, 2), atol=1e-6, rtol=0
    )


def test_the_order_is_the_published_one():
    """Flip and policy on uint8, then normalization, erasing to the mean colour, mixing, and smoothing once."""
    session, _ = session_of(composed(*TINY, *ON).experiment)
    assert [slot for slot, _ in session.pipeline.transforms] == ORDER


def test_images_are_uint8_before_normalize_and_float_after():
    session, _ = session_of(composed(*TINY, *ON).experiment)
    crops, positions = next(load_crops(session.crops, range(1), 0, False))
    seen = {}
    learned = session.experiment.supervision(session.data.labels[session.data.train], 4, 0, list, session.streams)
    batch = session.batch(crops, positions, learned, 0)
    for slot, transform in session.pipeline.transforms:
        seen[slot] = batch.images.dtype
        batch = transform(batch, 0.0, session.streams.random_numbers(slot, 0))
        assert_close(batch.targets.sum(1), torch.ones(16))
    assert {slot for slot, kind in seen.items() if kind == torch.uint8} == set(ORDER[:4])


def test_everything_off_is_a_crop_and_its_normalization():
    session, _ = session_of(composed(*TINY, *OFF).experiment)
    crops, positions = next(load_crops(session.crops, range(1), 0, False))
    learned = session.experiment.supervision(session.data.labels[session.data.train], 4, 0, list, session.streams)
    batch = session.pipeline(session.batch(crops, positions, learned, 0), 0, 0.0)
    assert torch.equal(batch.images, normalize(crops, session.data.preprocessing))
    assert torch.equal(batch.targets.argmax(1), learned.labels[positions])
    assert torch.equal(batch.sources, positions)


@dataclass(frozen=True, kw_only=True)
class AddNoise(BatchTransform):
    """Adds its random numbers to the images."""

    def __call__(self, batch: Batch, progress: float, rng) -> Batch:
        return batch.with_images(batch.images + rng.uniform(len(batch), 1, 1, 1))


def test_each_slot_draws_its_own_numbers_at_each_step():
    streams, batch = RandomStreams(seed=0), Batch(
        images=torch.zeros(4, 3, 2, 2), targets=torch.ones(4, 1), weights=torch.ones(4), sources=torch.arange(4)
    )  # fmt: skip
    results = [
        BatchPipeline(transforms=((slot, AddNoise()),), streams=streams)(batch, step, 0.0).images[:, 0, 0, 0]
        for slot, step in (("a", 0), ("a", 1), ("b", 0), ("a", 0))
    ]
    assert torch.equal(results[0], results[3])
    assert not any(torch.equal(results[0], other) for other in results[1:3])


def test_normalize_is_a_transform_that_draws_nothing():
    draws = RandomStreams(seed=0).random_numbers("normalize", 0)
    before = draws.generator.get_state()
    batch = Batch(
        images=torch.zeros(1, 3, 2, 2, dtype=torch.uint8), targets=torch.ones(1, 1), weights=torch.ones(1), sources=torch.arange(1)
    )  # fmt: skip
    Normalize(preprocessing=IMAGENET)(batch, 0.0, draws)
    assert torch.equal(draws.generator.get_state(), before)
