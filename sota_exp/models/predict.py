"""Predicts the classes of image files with a saved model; images are decoded, resized and cropped as in evaluation."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sota_exp.data.decode import DECODE_ERRORS, choose_step, decode_file, describe_remark
from sota_exp.data.folders import describe_endings, find_image_files
from sota_exp.data.open_image import open_image
from sota_exp.data.resize import center_crop
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.errors import RunFailed
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel
from sota_exp.stages.data import Images

#: Images that are decoded at once, each in a thread.
NUM_DECODED = min(4, os.cpu_count() or 1)

#: Pixels that are decoded at once, of one image or of several: these take 0.35 GB until they are cropped.
PIXELS_AT_ONCE = 24_000_000

#: JPEGs of more pixels are decoded at a reduced size, as those of a streamed set are.
LARGE = 12_000_000


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The most probable classes of one file and their probabilities in [0, 1], in descending order.

    remarks: on how the file was read, see `decode.Decoded`.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    remarks: tuple[str, ...] = ()


class Planned(NamedTuple):
    """A file, the `step` of `decode_file`, and the pixels that it is decoded to, 0 where its header is unreadable."""

    path: Path
    step: int
    pixels: int


def plan_decoding(path: Path, resize: int) -> Planned:
    """How to decode a file whose shorter side is to be resized to `resize` pixels."""
    try:
        with open_image(path) as image:
            size, is_jpeg = image.size, image.format in ("JPEG", "MPO")
    except DECODE_ERRORS:
        return Planned(path, 1, 0)
    pixels = size[0] * size[1]
    step = choose_step(min(size) / resize) if is_jpeg and pixels > LARGE else 1
    return Planned(path, step, pixels // step**2)


def group_by_pixels(files: Iterable[Planned]) -> list[list[Planned]]:
    """The files in order, in groups of at most `PIXELS_AT_ONCE`; one of more is a group of its own."""
    groups: list[list[Planned]] = []
    room = 0
    for file in files:
        if not groups or file.pixels > room:
            groups.append([])
            room = PIXELS_AT_ONCE
        groups[-1].append(file)
        room -= file.pixels
    return groups


class DecodedImages(Images):
    """Decoded images in memory, uint8 [3, H, W] each."""

    def __init__(self, images: Sequence[Tensor]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def size(self, index: int) -> tuple[int, int]:
        _, height, width = self.images[index].shape
        return height, width

    def image(self, index: int) -> Tensor:
        return self.images[index]


def find_images(folder: Path) -> tuple[list[Path], str]:
    """The image files in a folder and below it that training would read, sorted by path; hidden ones are skipped.

    And which other files are left out, `2 .heic, 1 .txt left out …`; "" if there are none.
    """
    found, others = find_image_files(folder)
    return found, f"{describe_endings(others)} left out, by their endings not images for Pillow" if others else ""


def describe_remarks(made: Sequence[Prediction], total: int) -> list[str]:
    """The warnings about how those of `total` files were read that could be."""
    remarks = sorted({remark for each in made for remark in each.remarks})
    those = {remark: [each for each in made if remark in each.remarks] for remark in remarks}
    return [describe_remark(name, len(found), total, str(found[0].path)) for name, found in those.items()]


def predict_files(
    model: SavedModel, paths: Sequence[Path], top: int, batch_size: int, device: torch.device
) -> Iterator[Prediction | UnreadableImage]:
    """The `top` classes of every file in order, or the error of an unreadable one.

    The crops of `batch_size` images are in memory, and of their decoded images at most `NUM_DECODED` with
    `PIXELS_AT_ONCE` pixels together, or one of more: about 12 bytes of memory for each of its pixels.
    """
    network = StandaloneModel(model).to(device).eval()
    with ThreadPoolExecutor(NUM_DECODED) as pool:
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            groups = group_by_pixels(plan_decoding(path, model.view.resize) for path in batch)
            read = [found for group in groups for found in pool.map(partial(_crop_or_error, model=model), group)]
            crops = [found[0] for found in read if not isinstance(found, UnreadableImage)]
            probabilities = iter(classify(network, torch.cat(crops), device) if crops else ())
            for path, found in zip(batch, read, strict=True):
                if isinstance(found, UnreadableImage):
                    yield found
                else:
                    yield replace(_rank(path, next(probabilities), model, top), remarks=found[1])


def classify_images(
    model: SavedModel, images: Sequence[Tensor], batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """Class probabilities, float32 [C] on the CPU, of each decoded image, uint8 [3, H, W]."""
    network = StandaloneModel(model).to(device).eval()
    for start in range(0, len(images), batch_size):
        batch = DecodedImages(images[start : start + batch_size])
        crops = [crop_centre(batch, index, model) for index in range(len(batch))]
        yield from classify(network, torch.cat(crops), device)


def crop_centre(images: Images, index: int, model: SavedModel) -> Tensor:
    """What the network reads of an image: uint8 [1, 3, S, S]."""
    view = model.view
    return center_crop(images, torch.tensor([index]), view.resize, view.size, model.preprocessing.interpolation)


def _crop_or_error(file: Planned, model: SavedModel) -> tuple[Tensor, tuple[str, ...]] | UnreadableImage:
    """The crop that the network reads, uint8 [1, 3, S, S], and remarks; the decoded image is freed."""
    try:
        decoded = decode_file(file.path, file.step, model.white)
    except UnreadableImage as error:
        return error
    return crop_centre(DecodedImages([decoded.pixels]), 0, model), decoded.remarks


@torch.inference_mode()
def classify(network: nn.Module, crops: Tensor, device: torch.device) -> Tensor:
    """Class probabilities of crops: uint8 [B, 3, S, S] → float32 [B, C] on the CPU.

    Raises:
        RunFailed: one is no number.
    """
    found = network(crops.to(device).float() / 255).float().softmax(1).cpu()
    if not found.isfinite().all():
        raise RunFailed("the network's answers are no numbers: its weights are damaged, or it diverged in training")
    return found


def _rank(path: Path, probabilities: Tensor, model: SavedModel, top: int) -> Prediction:
    values, labels = probabilities.topk(min(top, len(model.classes)))
    names = tuple(model.classes[label] for label in labels.tolist())
    return Prediction(path=path, classes=names, probabilities=tuple(values.tolist()))
