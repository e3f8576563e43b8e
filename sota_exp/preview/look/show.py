"""The output of `sota-exp look`: pictures, `look.json`, and a table for the terminal."""

import json
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sota_exp.config.printable import make_printable
from sota_exp.config.values import join_first
from sota_exp.preview.look import charts, contact_sheets
from sota_exp.preview.look.classes import FEW_IMAGES, MAX_BALANCED_RATIO
from sota_exp.preview.look.findings import LookResult, build_look_json
from sota_exp.report.numbers import format_percent
from sota_exp.runs.atomic import write_recomputable_text

#: Pairs of near-duplicates that are named.
MAX_NAMED = 3

#: Pixels of the shorter side of the largest images that `recipe=small_images` is made for.
MOST_SMALL = 96


def write_pictures(found: LookResult, directory: Path) -> None:
    """Write every picture and `look.json` into an existing directory."""
    for name, (draw, _) in PICTURES.items():
        draw(found, directory / f"{name}.png")
    content = build_look_json(found) | {"summary": build_summary(found)}
    write_recomputable_text(directory / "look.json", json.dumps(content, indent=1) + "\n")


def build_summary(found: LookResult) -> dict[str, list[str]]:
    """Picture → what it shows in a sentence, and warnings."""
    return {name: describe(found) for name, (_, describe) in PICTURES.items()}


def build_summary_table(found: LookResult) -> Table:
    """One row per picture, with its warnings below it."""
    table = Table.grid(padding=(0, 2))
    for name, (text, *warnings) in build_summary(found).items():
        table.add_row(Text(f"{name}.png", style="bold"), Text(make_printable(text)))
        for warning in warnings:
            table.add_row("", Text(f"! {make_printable(warning)}", style="yellow"))
    return table


def describe_batch(found: LookResult) -> list[str]:
    """Number and size of the images of the batch."""
    step, images = found.step, found.batch
    shown = min(len(images), contact_sheets.MAX_BATCH_IMAGES)
    what = f"{shown} of {len(images):,} images of {images.shape[-1]} px"
    return [f"after {step.number:,} of {step.total:,} steps: {what} as trained on, with their labels"]


def describe_effects(found: LookResult) -> list[str]:
    """Number of images that each augmentation changes."""
    each = [f"{effect.slot.rpartition('/')[2]} {effect.num_changed}" for effect in found.effects]
    changed = f"images changed of {len(found.step.cut):,}: {', '.join(each) or 'none after the crop'}"
    return [f"{changed}; crop {found.choices['augmentation/crop']}"]


def describe_classes(found: LookResult) -> list[str]:
    """Number of classes and their sizes; warnings of scarce classes and of imbalance."""
    classes = found.classes
    (least, smallest), (most, largest) = classes.train_counts[0], classes.train_counts[-1]
    sizes = f"largest {largest} {most:,}, smallest {smallest} {least:,}, ratio {classes.ratio:.1f}"
    texts = [f"{len(classes.classes):,} classes; training images: {sizes}"]
    if scarce := classes.scarce_classes:
        few = f"fewer than {FEW_IMAGES} training images, too few to train on or to evaluate"
        texts.append(f"{join_first(scarce, 5)}: {few}")
    for split in ("val", "test"):
        if absent := [name for name, num in zip(classes.classes, classes.counts[split], strict=True) if not num]:
            texts.append(f"no {split} images of {join_first(absent, 5)}: scores on {split} say nothing about them")
    if classes.ratio > MAX_BALANCED_RATIO:
        texts.append("accuracy will be dominated by the large classes; read the accuracy per class too")
    return texts


def describe_sizes(found: LookResult) -> list[str]:
    """Sizes of the images, and the fraction that is enlarged; a warning of images below the training crop."""
    sizes, num = found.sizes, len(found.sizes.sizes)
    heights, widths = sizes.sizes.unbind(1)
    text = f"{num:,} images, {heights.min()}-{heights.max()} px high, {widths.min()}-{widths.max()} px wide, "
    text += f"shorter side {int(sizes.shorter_side.median())} px in the median"
    text += f"; {format_percent(found.scale.share_enlarged)} of training crops are enlarged, to {sizes.train_size} px, "
    enlarged = format_percent(sizes.num_below(sizes.view.resize) / num)
    text += f"and {enlarged} of images in evaluation, to {sizes.view.resize} px"
    small = sizes.num_below(sizes.train_size)
    what = f"are smaller than the training crop of {sizes.train_size} px, so their crops are always enlarged"
    side = int(sizes.shorter_side.median())
    if side < sizes.train_size and side <= MOST_SMALL:
        what += f"; a recipe for small images takes them as they are: recipe=small_images data.image_size={side}"
    return [text, *([f"{small:,} images ({format_percent(small / num)}) {what}"] if small else [])]


def describe_duplicates(found: LookResult) -> list[str]:
    """Number of near-duplicates across splits; a warning if there are some in train."""
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
        text += f"; only {', '.join(partly)} were compared: not those of one grey level, nor all of a large split"
    if not val + test:
        return [text]
    other = sum(
        found.get_class_name(pair.index) != found.get_class_name(pair.other_index) for pair in copies.near_pairs
    )
    named = [f"{found.name_image(pair.index)} and {found.name_image(pair.other_index)}" for pair in copies.near_pairs]
    labels = f"; {other:,} of {len(copies.near_pairs):,} pairs have different labels" if other else ""
    advice = f"near-duplicates inflate scores: keep copies of an image in one split{labels}"
    return [text, advice, f"the closest: {'; '.join(named[:MAX_NAMED])}"]


def describe_object_scale(found: LookResult) -> list[str]:
    """Object sizes in training and evaluation, and sizes at which they would be equal."""
    scale = found.scale
    half = f"half of {len(scale.scale_ratio):,} crops {scale.quantile(0.25):.2f}-{scale.quantile(0.75):.2f}"
    return [
        f"objects are {scale.median:.2f} times as large in training as in evaluation (median; {half}) with training at "
        f"{scale.train_size} px and evaluation at {scale.view.size} px; equally large with evaluation at "
        f"{scale.equal_evaluation_size} px or training at {scale.equal_train_size} px; see "
        "augmentation/train_size=fixres, evaluation/resolution=search"
    ]


#: {name: (draw it into a file, describe it: a sentence, then warnings)}, in the order in which they are shown.
PICTURES = {
    "batch": (contact_sheets.draw_batch, describe_batch),
    "effects": (contact_sheets.draw_effects, describe_effects),
    "class_balance": (charts.draw_class_balance, describe_classes),
    "image_sizes": (charts.draw_image_sizes, describe_sizes),
    "near_duplicates": (contact_sheets.draw_near_duplicates, describe_duplicates),
    "object_scale": (charts.draw_object_scale, describe_object_scale),
}
