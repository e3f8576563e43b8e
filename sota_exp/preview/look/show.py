"""The output of `sota-exp look`: pictures, `look.json`, and a table for the terminal."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sota_exp.preview.look import charts, contact_sheets
from sota_exp.preview.look.classes import FEW_IMAGES, UNEVEN
from sota_exp.preview.look.findings import Findings, in_plain_values


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sentence about one picture, and warnings."""

    text: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One picture: `draw` writes it, `say` describes it."""

    draw: Callable[[Findings, Path], None]
    say: Callable[[Findings], Said]


def write(found: Findings, directory: Path) -> None:
    """Write every picture and `look.json` into an existing directory."""
    for name, part in PARTS.items():
        part.draw(found, directory / f"{name}.png")
    (directory / "look.json").write_text(json.dumps(in_plain_values(found), indent=1) + "\n")


def words(found: Findings) -> Table:
    """One row per picture, with its warnings below it."""
    table = Table.grid(padding=(0, 2))
    for name, part in PARTS.items():
        said = part.say(found)
        table.add_row(Text(f"{name}.png", style="bold"), Text(said.text))
        for warning in said.warnings:
            table.add_row("", Text(f"! {warning}", style="yellow"))
    return table


def of_batch(found: Findings) -> Said:
    """Number and size of the images of the batch."""
    step, images = found.step, found.batch
    shown = min(len(images), contact_sheets.NUM_SHOWN)
    what = f"{shown} of {len(images):,} images of {images.shape[-1]} px"
    return Said(text=f"step {step.number:,} of {step.total:,}: {what} as trained on, with their soft labels")


def of_effects(found: Findings) -> Said:
    """Number of images that each augmentation changes."""
    num = len(found.step.cut)
    each = [f"{effect.slot.rpartition('/')[2]} {effect.num_changed}" for effect in found.effects]
    changed = (
        f"images changed of {num:,}: {', '.join(each)}" if each else "no augmentation after the crop changes images"
    )
    return Said(text=f"{changed}; crop {found.choices['augmentation/crop']}")


def of_classes(found: Findings) -> Said:
    """Number of classes, their sizes, and imbalance."""
    classes = found.classes
    (largest, most), (smallest, least) = classes.largest, classes.smallest
    sizes = f"largest {largest} {most:,}, smallest {smallest} {least:,}, ratio {classes.ratio:.1f}"
    text = f"{len(classes.classes):,} classes; training images: {sizes if most != least else f'each has {most:,}'}"
    warnings = []
    if classes.scarce:
        few = f"{listed(classes.scarce)}: fewer than {FEW_IMAGES} training images, too few to train on or to evaluate"
        warnings.append(few)
    if classes.ratio > UNEVEN:
        warnings.append("accuracy will be dominated by the large classes; read the accuracy per class too")
    return Said(text=text, warnings=tuple(warnings))


def listed(names: list[str], most: int = 5) -> str:
    """The first `most` names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def of_sizes(found: Findings) -> Said:
    """Sizes of the images, and the fraction that is enlarged."""
    sizes, num = found.sizes, len(found.sizes.sizes)
    heights, widths = sizes.sizes.unbind(1)
    if sizes.is_uniform:
        text = f"all {num:,} images have {heights[0]} × {widths[0]} px"
    else:
        text = f"{heights.min()}-{heights.max()} px high, {widths.min()}-{widths.max()} px wide, "
        text += f"shorter side {int(sizes.shorter.median())} px in the median"
    text += f"; {found.scale.share_enlarged:.0%} of training crops are enlarged, to {sizes.train_size} px, "
    text += f"and {sizes.num_enlarged / num:.0%} of images in evaluation, to {sizes.view.resize} px"
    if not sizes.num_small:
        return Said(text=text)
    share = f"{sizes.num_small:,} images ({sizes.num_small / num:.0%})"
    small = f"{share} are smaller than the training crop of {sizes.train_size} px, so their crops are always enlarged"
    return Said(text=text, warnings=(small,))


def of_duplicates(found: Findings) -> Said:
    """Number of near-duplicates across splits."""
    copies = found.duplicates
    val, test, between = (copies.num_near(*names) for names in (("val", "train"), ("test", "train"), ("test", "val")))
    text = (
        f"{val:,} val and {test:,} test images have a near-duplicate in train, {between:,} test images have one in val"
    )
    partly = [
        f"{num:,} of {copies.available[split]:,} {split} images"
        for split, num in copies.compared.items()
        if num < copies.available[split]
    ]
    if partly:
        text += f"; these are lower bounds, since only {listed(partly)} were compared"
    if copies.num_flat:
        text += f"; {copies.num_flat:,} flat images were left out"
    if not val + test:
        return Said(text=text)
    other = sum(found.class_of(pair.index) != found.class_of(pair.other_index) for pair in copies.near)
    warning = "near-duplicates inflate scores: keep copies of an image in one split"
    if other:
        warning += f"; {other:,} of {len(copies.near):,} pairs have different labels"
    return Said(text=text, warnings=(warning,))


def of_scale(found: Findings) -> Said:
    """Object sizes in training and evaluation, and sizes at which they would be equal."""
    scale = found.scale
    half = f"half of {len(scale.gap):,} crops {scale.quantile(0.25):.2f}-{scale.quantile(0.75):.2f}"
    now = f"training at {scale.train_size} px and evaluation at {scale.view.size} px"
    if scale.agreeing_size == scale.view.size:
        return Said(text=f"objects are equally large in {now} (median; {half})")
    return Said(
        text=f"objects are {scale.median:.2f} times as large in training as in evaluation (median; {half}) with {now}; "
        f"equally large with evaluation at {scale.agreeing_size} px or training at {scale.agreeing_train_size} px; "
        "see augmentation/train_size=fixres, evaluation/resolution=search"
    )


#: The pictures in the order in which they are shown.
PARTS = {
    "batch": Part(draw=contact_sheets.batch, say=of_batch),
    "effects": Part(draw=contact_sheets.effects, say=of_effects),
    "class_balance": Part(draw=charts.class_balance, say=of_classes),
    "image_sizes": Part(draw=charts.image_sizes, say=of_sizes),
    "near_duplicates": Part(draw=contact_sheets.near_duplicates, say=of_duplicates),
    "object_scale": Part(draw=charts.object_scale, say=of_scale),
}
