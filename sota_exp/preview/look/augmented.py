"""The augmented batch of one training step, and the effect of each augmentation on it alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sota_exp.errors import ConfigError
from sota_exp.stages.batch import Batch, KeepBatch
from sota_exp.stages.data import Preprocessing
from sota_exp.training.batch_pipeline import Normalize
from sota_exp.training.loop import TrainingSession

#: Number of images in the comparison of techniques.
NUM_EFFECT_IMAGES = 8

#: Fractions of a soft label below this are not shown.
SMALL_SHARE = 0.005


@dataclass(frozen=True, kw_only=True)
class InspectedStep:
    """The batch of one step: `cut`, after the crop (uint8), and `seen`, as the network reads it (normalized)."""

    number: int
    total: int
    epoch: int
    cut: Batch
    seen: Batch


@dataclass(frozen=True, kw_only=True)
class AugmentationEffect:
    """The effect of one slot that is applied alone to the cropped batch.

    images: chosen images of the batch after the slot, uint8 [K, 3, S, S]. num_changed: number of images of the batch
    that it changes.
    """

    slot: str
    images: Tensor
    num_changed: int


def build_step_batch(session: TrainingSession, number: int) -> InspectedStep:
    """The batch of step `number` of training, augmented with the same random numbers as in training.

    Raises:
        ConfigError: there is no such step, or the labels of its epoch depend on the network trained until then.
    """
    if not 0 <= number < session.total_steps:
        raise ConfigError(f"step={number} is not legal: 0 to {session.total_steps - 1}, the steps of this training")

    def features() -> Tensor:
        raise ConfigError(
            f"step={number}: its labels are computed with the trained network; choose a step of an earlier epoch"
        )

    data, epoch = session.data, number // session.steps_per_epoch
    began = epoch * session.steps_per_epoch / session.total_steps
    labels = data.labels[data.train]
    supervised = session.experiment.supervision(labels, len(data.classes), began, features, session.streams)
    crops, positions = session.crops[number]
    cut = session.batch(crops, positions, supervised, epoch)
    seen = session.pipeline(cut, number, number / session.total_steps)
    return InspectedStep(number=number, total=session.total_steps, epoch=epoch, cut=cut, seen=seen)


def apply_each(session: TrainingSession, step: InspectedStep) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Apply every augmentation that is on alone to the cropped batch, with the random numbers of the step.

    Yields (slot, images, changed). images: [B, 3, S, S], uint8 before `normalize`, float32 after it. changed: bool [B].
    """
    plain, progress = step.cut, step.number / step.total
    for slot, transform in session.pipeline.transforms:
        draws = session.streams.random_numbers(slot, step.number)
        if isinstance(transform, Normalize):
            plain = transform(plain, progress, draws)
        elif slot.startswith("augmentation/") and not isinstance(transform, KeepBatch):
            augmented = transform(replace(plain, owns_images=False), progress, draws).images
            yield slot, augmented, (augmented != plain.images).flatten(1).any(1).cpu()


def build_augmentation_effects(
    session: TrainingSession, step: InspectedStep
) -> tuple[Tensor, list[AugmentationEffect]]:
    """The images of the batch that most augmentations change, and what each augmentation that is on does to them.

    Returns positions int64 [K], ascending, K ≤ `NUM_EFFECT_IMAGES`, and effects in the order of the pipeline.
    """
    applied, colors = list(apply_each(session, step)), get_normalization(session)
    times = torch.zeros(len(step.cut), dtype=torch.long)
    for _, _, changed in applied:
        times += changed
    rows = times.argsort(descending=True, stable=True)[:NUM_EFFECT_IMAGES].sort().values
    return rows, [
        AugmentationEffect(
            slot=slot, images=denormalize(images[rows.to(images.device)], colors), num_changed=int(changed.sum())
        )
        for slot, images, changed in applied
    ]


def sort_soft_label(targets: Tensor, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """The classes of a target, float [C], and their fractions, the largest first, without those of label smoothing."""
    floor = targets.min().item() if len(targets) > 2 else 0.0
    order = targets.argsort(descending=True, stable=True).tolist()
    return [(classes[index], targets[index].item()) for index in order if targets[index] > floor + SMALL_SHARE]


def get_normalization(session: TrainingSession) -> Preprocessing:
    """Mean and standard deviation of the normalization, and the interpolation."""
    (normalize,) = [each for _, each in session.pipeline.transforms if isinstance(each, Normalize)]
    return normalize.preprocessing


def denormalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Images [B, 3, S, S], uint8 or normalized float32, to uint8 [B, 3, S, S] on the CPU."""
    if images.dtype == torch.uint8:
        return images.cpu()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images.cpu() * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
