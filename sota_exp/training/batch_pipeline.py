"""The order of all batch transforms after the crop, and the representation that each one works on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.data.resize import empty_channels_last, split_into_chunks
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.random import RandomNumbers, RandomStreams


@lru_cache(maxsize=8)
def make_normalization_constants(
    preprocessing: Preprocessing, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """−mean/std and 1/(255·std), each expanded to a whole image, float32 [H, W, 3].

    A multiply-add over contiguous memory takes a seventh of the time of one that broadcasts three values.
    """
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    offset, scale = (each.to(device).expand(height, width, 3).contiguous() for each in (-mean / std, 1 / (255 * std)))
    return offset, scale


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Uint8 [B, 3, H, W] → float32 [B, 3, H, W] in channels-last strides: (x / 255 − mean) / std."""
    offset, scale = make_normalization_constants(preprocessing, images.shape[2], images.shape[3], images.device)
    normalized = empty_channels_last(images, torch.float32)
    for part, place in zip(split_into_chunks(images), split_into_chunks(normalized), strict=True):
        torch.addcmul(offset, part.permute(0, 2, 3, 1).float(), scale, out=place.permute(0, 2, 3, 1))
    return normalized


@dataclass(frozen=True, kw_only=True)
class Normalize(BatchTransform):
    """`normalize` as a batch transform."""

    preprocessing: Preprocessing

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        return replace(batch, images=normalize(batch.images, self.preprocessing), owns_images=True)


@dataclass(frozen=True, kw_only=True)
class BatchPipeline:
    """Batch transforms in order; the name of the slot is the key of each one's random numbers."""

    transforms: tuple[tuple[str, BatchTransform], ...]
    streams: RandomStreams

    def __call__(self, batch: Batch, step: int, progress: float) -> Batch:
        for slot, transform in self.transforms:
            batch = transform(batch, progress, self.streams.random_numbers(slot, step))
        return batch


def build_batch_pipeline(
    experiment: Experiment,
    preprocessing: Preprocessing,
    streams: RandomStreams,
    classes: Sequence[str],
    device: torch.device,
) -> BatchPipeline:
    """The batch transforms of an experiment, in order."""
    augmentation, regularization = experiment.augmentation, experiment.regularization
    with prefix_invalid_values("regularization.distillation"):
        teacher = regularization.distillation.build_teacher(classes, preprocessing, device)
    return BatchPipeline(
        transforms=(
            # On crops, uint8 [B, 3, S, S], which data workers may have made.
            ("augmentation/flip", augmentation.flip),
            ("augmentation/geometry", augmentation.geometry),
            ("augmentation/policy", augmentation.policy),
            ("normalize", Normalize(preprocessing=preprocessing)),
            # On normalized images, float [B, 3, S, S], in which 0 is the mean colour.
            ("augmentation/erase", augmentation.erase),
            ("augmentation/mix", augmentation.mix),
            ("regularization/smoothing", regularization.smoothing),  # of mixed targets
            ("regularization/distillation", teacher),  # on the images that the student gets
        ),
        streams=streams,
    )
