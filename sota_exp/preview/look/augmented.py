"""The augmented batch of a configuration as `train_step` sees it, and what each technique does to it alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sota_exp.errors import ConfigError
from sota_exp.stages.batch import Batch, KeepBatch
from sota_exp.stages.data import Preprocessing
from sota_exp.training.batch_pipeline import Normalize
from sota_exp.training.loop import Session

#: Columns of the comparison of techniques.
NUM_COLUMNS = 8

#: Shares of a target that are not worth a word.
SMALL_SHARE = 0.005


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step's batch, as it was cut (uint8 images) and as the network reads it (normalized)."""

    number: int
    total: int
    epoch: int
    cut: Batch
    seen: Batch


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one slot, applied alone to the cut batch, does to the images in some of its rows.

    images: uint8 [K, 3, S, S]. num_changed: how many of the whole batch it changes.
    """

    slot: str
    images: Tensor
    num_changed: int


def step_of(session: Session, number: int) -> Step:
    """The batch of step `number` of training, augmented with the draws that training will make.

    Raises:
        ConfigError: there is no such step, or the labels of its epoch come from the network trained until then.
    """
    if not 0 <= number < session.total_steps:
        raise ConfigError(f"step={number} is not legal: 0 to {session.total_steps - 1}, the steps of this training")

    def features() -> Tensor:
        raise ConfigError(f"step={number}: by then supervision reads the trained network; look at an earlier step")

    data, epoch = session.data, number // session.steps_per_epoch
    began = epoch * session.steps_per_epoch / session.total_steps
    labels = data.labels[data.train]
    supervised = session.experiment.supervision(labels, len(data.classes), began, features, session.streams)
    crops, positions = session.crops[number]
    cut = session.batch(crops, positions, supervised, epoch)
    seen = session.pipeline(cut, number, number / session.total_steps)
    return Step(number=number, total=session.total_steps, epoch=epoch, cut=cut, seen=seen)


def applied(session: Session, step: Step) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Every slot of augmentation that is on, applied alone to the cut batch with the draws of the step: (slot, images, changed).

    images: [B, 3, S, S], uint8 or normalized as the slot has them. changed: bool [B].
    """
    plain, progress = step.cut, step.number / step.total
    for slot, transform in session.pipeline.transforms:
        draws = session.streams.draws(slot, step.number)
        if isinstance(transform, Normalize):
            plain = transform(plain, progress, draws)
        elif slot.startswith("augmentation/") and not isinstance(transform, KeepBatch):
            made = transform(replace(plain, fresh=False), progress, draws).images
            yield slot, made, (made != plain.images).flatten(1).any(1).cpu()


def telling_rows(session: Session, step: Step) -> Tensor:
    """The rows of the batch that most techniques change, at most `NUM_COLUMNS`: int64, ascending."""
    times = torch.zeros(len(step.cut), dtype=torch.long)
    for _, _, changed in applied(session, step):
        times += changed
    return times.argsort(descending=True, stable=True)[:NUM_COLUMNS].sort().values


def effects(session: Session, step: Step, rows: Tensor) -> list[Effect]:
    """The slots of augmentation that are on, in the order of the pipeline; images of `rows`, int64 [K], alone."""
    colors = preprocessing(session)
    return [
        Effect(slot=slot, images=shown(images[rows.to(images.device)], colors), num_changed=int(changed.sum()))
        for slot, images, changed in applied(session, step)
    ]


def soft_label(targets: Tensor, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """The classes of a target, float [C], and their shares, the largest first; without those that only smoothing gives."""
    floor = targets.min().item() if len(targets) > 2 else 0.0
    order = targets.argsort(descending=True, stable=True).tolist()
    return [(classes[index], targets[index].item()) for index in order if targets[index] > floor + SMALL_SHARE]


def preprocessing(session: Session) -> Preprocessing:
    """What the network's images are normalized with."""
    (normalize,) = [each for _, each in session.pipeline.transforms if isinstance(each, Normalize)]
    return normalize.preprocessing


def shown(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Uint8 [B, 3, S, S] for a person, on the CPU: undoes the normalization of floats, leaves uint8 as it is."""
    if images.dtype == torch.uint8:
        return images.cpu()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images.cpu() * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)
