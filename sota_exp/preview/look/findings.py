"""Everything that `sota-exp look` computes about a configuration and its data; charts are drawn elsewhere."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from sota_exp.config.printable import make_printable
from sota_exp.preview.look.augmented import (
    AugmentationEffect,
    InspectedStep,
    build_augmentation_effects,
    build_step_batch,
    denormalize,
    get_normalization,
)
from sota_exp.preview.look.classes import ClassBalance, compute_class_balance
from sota_exp.preview.look.duplicates import MAX_NEAR_DISTANCE, DuplicatePair, Duplicates, find_duplicates
from sota_exp.preview.look.object_scale import ObjectScale, compute_object_scale
from sota_exp.preview.look.sizes import ImageSizes, read_image_sizes
from sota_exp.stages.data import DataSet
from sota_exp.training.loop import TrainingSession


@dataclass(frozen=True, kw_only=True)
class LookResult:
    """The results, in the order in which they are shown.

    choices: slot → option. rows: positions in the batch of the images whose effects are shown, int64 [K].
    """

    session: TrainingSession
    choices: dict[str, str]
    step: InspectedStep
    rows: Tensor
    effects: list[AugmentationEffect]
    classes: ClassBalance
    sizes: ImageSizes
    duplicates: Duplicates
    scale: ObjectScale

    @property
    def data(self) -> DataSet:
        return self.session.data

    @cached_property
    def batch(self) -> Tensor:
        """The augmented images, without normalization: uint8 [B, 3, S, S]."""
        return denormalize(self.step.seen.images, get_normalization(self.session))

    def name_image(self, index: int) -> str:
        """The name of an image, such as its path; `image 7` where images have no names."""
        name = self.data.name_image(index)
        return make_printable(name) if self.data.names else f"image {name}"

    def get_class_name(self, index: int) -> str:
        """The name of the class of an image."""
        return self.data.classes[int(self.data.labels[index])]


def inspect_training(session: TrainingSession, choices: dict[str, str], number: int) -> LookResult:
    """Inspect the data and the batch of step `number`, without training.

    Raises:
        ConfigError: there is no such step, or its labels depend on the trained network.
    """
    step = build_step_batch(session, number)
    rows, effects = build_augmentation_effects(session, step)
    view = session.experiment.evaluation.resolution.views()[0]
    return LookResult(
        session=session,
        choices=choices,
        step=step,
        rows=rows,
        effects=effects,
        classes=compute_class_balance(session.data),
        sizes=read_image_sizes(session.data, session.crops.size, view),
        duplicates=find_duplicates(session.data),
        scale=compute_object_scale(session),
    )


def build_look_json(found: LookResult) -> dict[str, Any]:
    """The content of `look.json`; fractions in [0, 1], sizes in pixels."""
    classes, copies, scale, sizes = found.classes, found.duplicates, found.scale, found.sizes
    return {
        "step": found.step.number,
        "images_changed": {effect.slot: effect.num_changed for effect in found.effects},
        "class_counts": {
            split: dict(zip(classes.classes, counts, strict=True)) for split, counts in classes.counts.items()
        },
        "scarce_classes": classes.scarce_classes,
        "train_size": sizes.train_size,
        "evaluation_view": vars(sizes.view),
        "images_below_train_size": sizes.num_below(sizes.train_size),
        "near_duplicates": {
            "distance": MAX_NEAR_DISTANCE,
            "compared": copies.compared,
            "available": copies.num_available,
            "pairs": [_pair_to_plain_values(found, pair) for pair in copies.near_pairs],
        },
        "object_scale": {
            "median": scale.median,
            "quartiles": [scale.quantile(0.25), scale.quantile(0.75)],
            "agreeing_evaluation_size": scale.equal_evaluation_size,
            "agreeing_train_size": scale.equal_train_size,
            "training_crops_enlarged": scale.share_enlarged,
        },
    }


def _pair_to_plain_values(found: LookResult, pair: DuplicatePair) -> dict[str, Any]:
    return {
        pair.split: found.name_image(pair.index),
        pair.other: found.name_image(pair.other_index),
        "classes": [found.get_class_name(pair.index), found.get_class_name(pair.other_index)],
        "distance": round(pair.distance, 4),
    }
