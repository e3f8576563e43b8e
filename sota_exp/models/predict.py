"""Predicts the classes of image files with a saved model; images are decoded, resized and cropped as in evaluation."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sota_exp.data.decode import decode_image
from sota_exp.data.resize import center_crop
from sota_exp.data.store_writer import UnreadableImage
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel
from sota_exp.stages.data import Images


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The most probable classes of one file and their probabilities in [0, 1], in descending order."""

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


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


def predict_files(
    model: SavedModel, paths: Sequence[Path], top: int, batch_size: int, device: torch.device
) -> Iterator[Prediction | UnreadableImage]:
    """The `top` classes of every file in order, or the error of an unreadable one; `batch_size` images in memory."""
    network = StandaloneModel(model).to(device).eval()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            decoded = list(pool.map(_decode_or_error, batch))
            images = [image for image in decoded if isinstance(image, Tensor)]
            probabilities = iter(classify(network, images, model, device) if images else ())
            for path, image in zip(batch, decoded, strict=True):
                yield image if isinstance(image, UnreadableImage) else _rank(path, next(probabilities), model, top)


def _decode_or_error(path: Path) -> Tensor | UnreadableImage:
    try:
        return decode_image(path)
    except UnreadableImage as error:
        return error


@torch.inference_mode()
def classify(network: nn.Module, images: Sequence[Tensor], model: SavedModel, device: torch.device) -> Tensor:
    """Class probabilities of images of any sizes: uint8 [3, H, W] each → float32 [B, C] on the CPU."""
    view, interpolation = model.view, model.preprocessing.interpolation
    crops = center_crop(DecodedImages(images), torch.arange(len(images)), view.resize, view.size, interpolation)
    return network(crops.to(device).float() / 255).float().softmax(1).cpu()


def _rank(path: Path, probabilities: Tensor, model: SavedModel, top: int) -> Prediction:
    values, labels = probabilities.topk(min(top, len(model.classes)))
    names = tuple(model.classes[label] for label in labels.tolist())
    return Prediction(path=path, classes=names, probabilities=tuple(values.tolist()))
