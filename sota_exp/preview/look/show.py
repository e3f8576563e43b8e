"""The output of `sota-exp look`: pictures, `look.json`, and a table for the terminal."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sota_exp.preview.look import charts, contact_sheets
from sota_exp.preview.look.classes import FEW_IMAGES, MAX_BALANCED_RATIO
from sota_exp.preview.look.findings import LookResult, build_look_json


@dataclass(frozen=True, kw_only=True)
class PictureText:
    """A sentence about one picture, and warnings."""

    text: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: `draw` writes it, `say` describes it."""

    draw: Callable[[LookResult, Path], None]
    say: Callable[[LookResult], PictureText]


def write_pictures(found: LookResult, directory: Path) -> None:
    """Write every picture and `look.json` into an existing directory."""
    for name, part in PICTURES.items():
        part.draw(found, directory / f"{name}.png")
    (directory / "look.json").write_text(json.dumps(build_look_json(found), indent=1) + "\n")


def build_summary_table(found: LookResult) -> Table:
    """One row per picture, with its warnings below it."""
    table = Table.grid(padding=(0, 2))
    for name, part in PICTURES.items():
        text = part.say(found)
        table.add_row(Text(f"{name}.png", style="bold"), Text(text.text))
        for warning in text.warnings:
            table.add_row("", Text(f"! {warning}", style="yellow"))
    return table


def describe_batch(found: LookResult) -> PictureText:
    """Number and size of the images of the batch."""
    step, images = found.step, found.batch
    shown = min(len(images), contact_sheets.MAX_BATCH_IMAGES)
    what = f"{shown} of {len(images):,} images of {images.shape[-1]} px"
    return PictureText(text=f"step {step.number:,} of {step.total:,}: {what} as trained on, with their soft labels")


def describe_effects(found: LookResult) -> PictureText:
    """Number of images that each augmentation changes."""
    num = len(found.step.cut)
    each = [f"{effect.slot.rpartition('/')[2]} {effect.num_changed}" for effect in found.effects]
    changed = (
        f"images changed of {num:,}: {', '.join(each)}" if each else "no augmentation after the crop changes images"
    )
    return PictureText(text=f"{changed}; crop {found.choices['augmentation/crop']}")


def describe_classes(found: LookResult) -> PictureText:
    """Number of classes, their sizes, and imbalance."""
    classes = found.classes
    (largest, most), (smallest, least) = classes.largest_class, classes.smallest_class
    sizes = f"largest {largest} {most:,}, smallest {smallest} {least:,}, ratio {classes.ratio:.1f}"
    text = f"{len(classes.classes):,} classes; training images: {sizes if most != least else f'each has {most:,}'}"
    warnings = []
    if classes.scarce_classes:
        few = f"fewer than {FEW_IMAGES} training images, too few to train on or to evaluate"
        warnings.append(f"{format_names(classes.scarce_classes)}: {few}")
    if classes.ratio > MAX_BALANCED_RATIO:
        warnings.append("accuracy will be dominated by the large classes; read the accuracy per class too")
    return PictureText(text=text, warnings=tuple(warnings))


def format_names(names: list[str], most: int = 5) -> str:
    """The first `most` names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def describe_sizes(found: LookResult) -> PictureText:
    """Sizes of the images, and the fraction that is enlarged."""
    sizes, num = found.sizes, len(found.sizes.sizes)
    heights, widths = sizes.sizes.unbind(1)
    if sizes.is_uniform:
        text = f"all {num:,} images have {heights[0]} × {widths[0]} px"
    else:
        text = f"{heights.min()}-{heights.max()} px high, {widths.min()}-{widths.max()} px wide, "
        text += f"shorter side {int(sizes.shorter_side.median())} px in the median"
    text += f"; {found.scale.share_enlarged:.0%} of training crops are enlarged, to {sizes.train_size} px, "
    text += f"and {sizes.num_enlarged / num:.0%} of images in evaluation, to {sizes.view.resize} px"
    if not sizes.num_small:
        return PictureText(text=text)
    share = f"{sizes.num_small:,} images ({sizes.num_small / num:.0%})"
    small = f"{share} are smaller than the training crop of {sizes.train_size} px, so their crops are always enlarged"
    return PictureText(text=text, warnings=(small,))


def describe_duplicates(found: LookResult) -> PictureText:
    """Number of near-duplicates across splits."""
    copies = found.duplicates
    val, test, between = (copies.num_near(*names) for names in (("val", "train"), ("test", "train"), ("test", "val")))
    text = (
        f"{val:,} val and {test:,} test images have a near-duplicate in train, {between:,} test images have one in val"
    )
    partly = [
        f"{num:,} of {copies.num_available[split]:,} {split} images"
        for split, num in copies.compared.items()
        if num < copies.num_available[split]
    ]
    if partly:
        text += f"; these are lower bounds, since only {format_names(partly)} were compared"
    if copies.num_flat:
        text += f"; {copies.num_flat:,} flat images were left out"
    if not val + test:
        return PictureText(text=text)
    other = sum(
        found.get_class_name(pair.index) != found.get_class_name(pair.other_index) for pair in copies.near_pairs
    )
    warning = "near-duplicates inflate scores: keep copies of an image in one split"
    if other:
        warning += f"; {other:,} of {len(copies.near_pairs):,} pairs have different labels"
    return PictureText(text=text, warnings=(warning,))


def describe_object_scale(found: LookResult) -> PictureText:
    """Object sizes in training and evaluation, and sizes at which they would be equal."""
    scale = found.scale
    half = f"half of {len(scale.scale_ratio):,} crops {scale.quantile(0.25):.2f}-{scale.quantile(0.75):.2f}"
    now = f"training at {scale.train_size} px and evaluation at {scale.view.size} px"
    if scale.equal_evaluation_size == scale.view.size:
        return PictureText(text=f"objects are equally large in {now} (median; {half})")
    return PictureText(
        text=f"objects are {scale.median:.2f} times as large in training as in evaluation (median; {half}) with {now}; "
        f"equally large with evaluation at {scale.equal_evaluation_size} px or training at "
        f"{scale.equal_train_size} px; see augmentation/train_size=fixres, evaluation/resolution=search"
    )


#: The pictures in the order in which they are shown.
PICTURES = {
    "batch": Picture(draw=contact_sheets.draw_batch, say=describe_batch),
    "effects": Picture(draw=contact_sheets.draw_effects, say=describe_effects),
    "class_balance": Picture(draw=charts.draw_class_balance, say=describe_classes),
    "image_sizes": Picture(draw=charts.draw_image_sizes, say=describe_sizes),
    "near_duplicates": Picture(draw=contact_sheets.draw_near_duplicates, say=describe_duplicates),
    "object_scale": Picture(draw=charts.draw_object_scale, say=describe_object_scale),
}
