"""Contact sheets of `sota-exp look`: the augmented batch, the effect of each technique, and near-duplicates."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from sota_exp.config.values import shorten_middle
from sota_exp.preview.look.augmented import sort_soft_label
from sota_exp.preview.look.duplicates import DuplicatePair
from sota_exp.preview.look.findings import LookResult
from sota_exp.preview.look.matplotlib_canvas import GREY, RED, make_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Most images of the batch that are shown, and images per row.
MAX_BATCH_IMAGES, IMAGES_PER_ROW = 32, 8

#: Most pairs of near-duplicates that are shown, and pairs per row.
MAX_PAIRS, PAIRS_PER_ROW = 12, 3


def make_sheet(columns: float, rows: float, cell: float, title: str) -> tuple["Figure", "Axes"]:
    """A figure of `columns` × `rows` square cells of `cell` inches below a title, with one axes object for all images.

    One axes object per image would take a second to lay out.
    """
    width, height = columns * cell, rows * cell + 0.45
    drawing = make_figure(width, height)
    drawing.set_layout_engine("none")
    drawing.text(0.12 / width, 1 - 0.25 / height, title, fontsize=11, ha="left", va="center")
    axes = drawing.add_axes((0, 0, 1, rows * cell / height))
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    return drawing, axes


def draw_fitted_image(axes: "Axes", image: Tensor, left: float, top: float, side: float) -> None:
    """Draw an image, uint8 [3, H, W], in the centre of a square, as large as it fits."""
    height, width = image.shape[1:]
    tall, wide = side * height / max(height, width), side * width / max(height, width)
    x, y = left + (side - wide) / 2, top + (side - tall) / 2
    axes.imshow(image.permute(1, 2, 0).numpy(), extent=(x, x + wide, y + tall, y), aspect="auto")


def draw_batch(found: LookResult, path: Path) -> None:
    """The first images of the augmented batch, each below its soft label: the classes that it is mixed from."""
    step, images = found.step, found.batch[:MAX_BATCH_IMAGES]
    title = f"After {step.number:,} of {step.total:,} steps, in epoch {step.epoch + 1}: as trained on"
    drawing, axes = make_sheet(IMAGES_PER_ROW, -(-len(images) // IMAGES_PER_ROW) * 1.26, 1.45, title)
    for position, (image, target) in enumerate(zip(images, step.seen.targets.cpu(), strict=False)):
        row, column = divmod(position, IMAGES_PER_ROW)
        shares = sort_soft_label(target, found.data.classes)[:2]
        label = "\n".join(f"{shorten_middle(name, 16)} {share:.2f}" for name, share in shares)
        draw_fitted_image(axes, image, column + 0.04, row * 1.26 + 0.3, 0.92)
        axes.text(column + 0.5, row * 1.26 + 0.27, label, fontsize=7.5, ha="center", va="bottom", linespacing=1.05)
    save_figure(drawing, path)


def draw_effects(found: LookResult, path: Path) -> None:
    """One row per augmentation that is on, applied alone, and one column per image."""
    rows = build_effect_rows(found)
    title = f"Each technique alone on the training crop, with the random numbers of step {found.step.number:,}"
    drawing, axes = make_sheet(len(found.rows) + 1.35, len(rows) * 1.04 + 0.22, 1.2, title)
    for row, (name, detail, images) in enumerate(rows):
        top = row * 1.04 + 0.22
        axes.text(0.1, top + 0.48, name, fontsize=9.5, ha="left", va="bottom", fontweight="bold")
        axes.text(0.1, top + 0.53, detail, fontsize=7.5, ha="left", va="top", color=GREY, linespacing=1.3)
        for column, image in enumerate(images):
            draw_fitted_image(axes, image, column + 1.35, top, 0.96)
    for column, index in enumerate(get_source_indices(found)):
        axes.text(
            column + 1.83, 0.18, shorten_middle(found.get_class_name(index), 18), fontsize=7.5, ha="center", va="bottom"
        )
    save_figure(drawing, path)


def get_source_indices(found: LookResult) -> list[int]:
    """The images of the columns, by index in the data set."""
    positions = found.step.cut.sources[found.rows]
    return found.data.train[positions].tolist()


def build_effect_rows(found: LookResult) -> list[tuple[str, str, list[Tensor]]]:
    """(name, description, images uint8 [3, H, W]) per row: originals, crops, each slot alone, all slots."""
    step, num = found.step, len(found.step.cut)
    crop = f"{found.choices['augmentation/crop'].replace('none', 'centre')}\n{step.cut.images.shape[-1]} px"
    rows = [
        ("image", "as it is stored", [found.data.images.image(index) for index in get_source_indices(found)]),
        ("crop", crop, list(step.cut.images[found.rows].cpu())),
    ]
    for effect in found.effects:
        detail = f"{found.choices[effect.slot][:22]}\nchanges {effect.num_changed} of {num}"
        rows.append((effect.slot.rpartition("/")[2], detail, list(effect.images)))
    return [*rows, ("all", "in the pipeline's order", list(found.batch[found.rows]))]


def draw_near_duplicates(found: LookResult, path: Path) -> None:
    """The closest pairs of images across splits, marked if they are near-duplicates."""
    pairs = found.duplicates.pairs[:MAX_PAIRS]
    rows = max(-(-len(pairs) // PAIRS_PER_ROW), 1)
    drawing, axes = make_sheet(2.2 * PAIRS_PER_ROW, rows * 1.5, 1.5, "The closest pairs across splits")
    for position, pair in enumerate(pairs):
        row, column = divmod(position, PAIRS_PER_ROW)
        draw_pair(axes, found, pair, column * 2.2 + 0.06, row * 1.5)
    save_figure(drawing, path)


def draw_pair(axes: "Axes", found: LookResult, pair: DuplicatePair, left: float, top: float) -> None:
    """Two images side by side, each with its split, class and name above it."""
    verdict = "near-duplicate" if pair.is_near else "not counted"
    color = RED if pair.is_near else GREY
    axes.text(left, top + 0.2, f"distance {pair.distance:.3f}: {verdict}", fontsize=8.5, color=color, va="center")
    for place, split, index in ((0, pair.split, pair.index), (1, pair.other, pair.other_index)):
        x = left + place * 1.02
        draw_fitted_image(axes, found.data.images.image(index), x, top + 0.46, 0.98)
        name = found.name_image(index)
        name = f"…{name[-25:]}" if len(name) > 26 else name
        caption = f"{split}: {shorten_middle(found.get_class_name(index), 20)}\n{name}"
        axes.text(x, top + 0.43, caption, fontsize=7, ha="left", va="bottom", linespacing=1.15)
