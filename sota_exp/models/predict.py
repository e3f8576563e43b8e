"""Predicts the classes of image files with a saved model; images are decoded, resized and cropped as in evaluation."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from sota_exp.data.decode import REMARKS, decode_file, describe_remark
from sota_exp.data.folders import describe_endings, find_image_files
from sota_exp.data.resize import center_crop
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel
from sota_exp.stages.data import Images

#: Images that are decoded at once, each in a thread: one of 24 megapixels takes 0.2 GB until it is cropped.
NUM_DECODED = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The most probable classes of one file and their probabilities in [0, 1], in descending order.

    remarks: on how the file was read, see `decode.Decoded`.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    remarks: tuple[str, ...] = ()


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
    those = {remark: [each for each in made if remark in each.remarks] for remark in REMARKS}
    return [describe_remark(name, len(found), total, str(found[0].path)) for name, found in those.items() if found]


def predict_files(
    model: SavedModel, paths: Sequence[Path], top: int, batch_size: int, device: torch.device
) -> Iterator[Prediction | UnreadableImage]:
    """The `top` classes of every file in order, or the error of an unreadable one.

    The crops of `batch_size` images are in memory, and of their decoded images at most `NUM_DECODED`.
    """
    network = StandaloneModel(model).to(device).eval()
    with ThreadPoolExecutor(NUM_DECODED) as pool:
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            read = list(pool.map(partial(_crop_or_error, model=model), batch))
            crops = [found[0] for found in read if not isinstance(found, UnreadableImage)]
            probabilities = iter(classify(network, torch.cat(crops), device) if crops else ())
            for path, found in zip(batch, read, strict=True):
                if isinstance(found, UnreadableImage):
                    yield found
                else:
                    yield replace(_rank(path, next(probabilities), model, top), remarks=found[1])


def _crop_or_error(path: Path, model: SavedModel) -> tuple[Tensor, tuple[str, ...]] | UnreadableImage:
    """The crop that the network reads, uint8 [1, 3, S, S], and remarks; the decoded image is freed."""
    view, interpolation = model.view, model.preprocessing.interpolation
    try:
        decoded = decode_file(path)
    except UnreadableImage as error:
        return error
    images = DecodedImages([decoded.pixels])
    return center_crop(images, torch.arange(1), view.resize, view.size, interpolation), decoded.remarks


@torch.inference_mode()
def classify(network: nn.Module, crops: Tensor, device: torch.device) -> Tensor:
    """Class probabilities of crops: uint8 [B, 3, S, S] → float32 [B, C] on the CPU."""
    return network(crops.to(device).float() / 255).float().softmax(1).cpu()


def _rank(path: Path, probabilities: Tensor, model: SavedModel, top: int) -> Prediction:
    values, labels = probabilities.topk(min(top, len(model.classes)))
    names = tuple(model.classes[label] for label in labels.tolist())
    return Prediction(path=path, classes=names, probabilities=tuple(values.tolist()))
