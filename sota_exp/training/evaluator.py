"""Logits, predictions and features of a network on a split of the data.

All images of the split are counted exactly once, on any number of processes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sota_exp.data.read_files import compute_ahead, map_in_threads
from sota_exp.data.resize import center_crop
from sota_exp.data.row_groups import shuffle
from sota_exp.data.streaming import StreamedImages
from sota_exp.models.parts import get_classifier_layer
from sota_exp.stages.data import DataSet, Images, Preprocessing
from sota_exp.stages.evaluation import EvaluationView, Metrics, NoFurtherMetrics, Predictor, TrainingImages
from sota_exp.training.batch_pipeline import normalize
from sota_exp.training.device import copy_to_device, count_usable_cpus
from sota_exp.training.distributed import World, gather_interleaved
from sota_exp.training.metrics import compute_scores
from sota_exp.training.own_metrics import add_own_metrics

#: Images per batch when several views are tried, since the crops of all views are in memory together.
SEARCH_BATCH_SIZE = 64

#: Crops of a split are kept in memory between epochs up to this size in bytes.
CACHE_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Everything that an evaluation needs except the network and the split.

    between_batches: called before each batch, by every process equally often; what it raises ends the evaluation.
    """

    data: DataSet
    predictor: Predictor
    preprocessing: Preprocessing
    batch_size: int
    device: torch.device
    world: World
    autocast: Callable[[], AbstractContextManager[None]]
    memory_format: torch.memory_format = torch.contiguous_format
    metrics: Metrics = field(default_factory=NoFurtherMetrics)
    between_batches: Callable[[], None] = lambda: None
    _cache: dict[tuple[str, EvaluationView], Tensor] = field(default_factory=dict, repr=False)

    def load_crops(self, split: str, view: EvaluationView) -> Tensor | None:
        """All crops of this rank's part of `split`, uint8 [n, 3, S, S], kept in memory; None if they do not fit."""
        if self.count_most(split) * 3 * view.size**2 > CACHE_BYTES:
            return None
        if (split, view) not in self._cache:
            empty = torch.empty(0, 3, view.size, view.size, dtype=torch.uint8)
            own, batches = self.own(split), self.batches(split, self.batch_size)
            parts = [self.cut(self.data.images, own[positions], view) for positions in batches]
            self._cache[split, view] = torch.cat(parts or [empty])
        return self._cache[split, view]

    def read(self, split: str, batches: Iterable[Tensor], view: EvaluationView) -> Iterator[Tensor]:
        """Normalized images at the positions of each batch, int64 [b], of this rank's part: float32 [b, 3, S, S] each.

        Crops that are not kept are made a batch ahead, while the network computes.
        """
        crops, own = self.load_crops(split, view), self.own(split)
        if crops is not None:
            return (self.normalize_on_device(crops[positions]) for positions in batches)
        return self.read_ahead((own[positions] for positions in batches), view)

    def read_ahead(self, batches: Iterable[Tensor], view: EvaluationView) -> Iterator[Tensor]:
        """Normalized images at the indices of each batch, int64 [b], cut a batch ahead: float32 [b, 3, S, S] each."""
        made = compute_ahead(lambda indices: self.cut(self.data.images, indices, view), batches)
        return map(self.normalize_on_device, made)

    def images(self, split: str, view: EvaluationView) -> Iterator[Tensor]:
        """Batches of this rank's normalized images of `split`, in order, float32 [B, 3, S, S] on the device.

        None where there are fewer images than processes.
        """
        return self.read(split, self.batches(split, self.batch_size), view)

    def announce(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """The batches [b], with `between_batches` before each."""
        for batch in batches:
            self.between_batches()
            yield batch

    def batches(self, split: str, batch_size: int) -> Iterator[Tensor]:
        """Positions in this rank's part of `split`, int64 [b] each, with `between_batches` before those of each."""
        num = len(self.own(split))
        for start in range(0, self.count_most(split), batch_size):
            self.between_batches()
            if start < num:
                yield torch.arange(start, min(start + batch_size, num))

    def count_most(self, split: str) -> int:
        """Images of `split` that a rank has at most; others have one less."""
        return -(-len(self.data.part(split)) // self.world.size)

    @torch.inference_mode()
    def logits(self, model: nn.Module, split: str, view: EvaluationView) -> Tensor:
        """Float32 [N, C] on the CPU, in the order of the split."""
        model.eval()
        parts = []
        for images in self.images(split, view):
            with self.autocast():
                parts.append(self.predictor(model, images).float())
        rows = torch.cat(parts) if parts else torch.empty(0, len(self.data.classes))
        return gather_interleaved(rows.cpu(), self.world)

    @torch.inference_mode()
    def predict_views(self, model: nn.Module, split: str, views: Sequence[EvaluationView]) -> Tensor:
        """The most probable class in each view, int64 [V, N] on the CPU; each image is decoded once."""
        model.eval()
        parts = [[torch.empty(0, dtype=torch.int64, device=self.device)] for _ in views]
        own, batches = self.own(split), self.batches(split, min(self.batch_size, SEARCH_BATCH_SIZE))
        for crops_by_view in compute_ahead(lambda positions: self.crop_views(own[positions], views), batches):
            for crops, found in zip(crops_by_view, parts, strict=True):
                with self.autocast():
                    found.append(self.predictor(model, self.normalize_on_device(crops)).argmax(1))
        return torch.stack([gather_interleaved(torch.cat(found).cpu(), self.world) for found in parts])

    def own(self, split: str) -> Tensor:
        """Indices of this rank's part of `split`, int64 [n]."""
        return self.data.part(split)[self.world.rank :: self.world.size]

    def cut(self, images: Images, indices: Tensor, view: EvaluationView) -> Tensor:
        """Crops of the images `indices`, int64 [B], as uint8 [B, 3, S, S]; image files are decoded in threads."""

        def crop(part: Tensor) -> Tensor:
            return center_crop(images, part, view.resize, view.size, self.preprocessing.interpolation)

        if not isinstance(images, StreamedImages):
            return crop(indices)
        return torch.cat([*map_in_threads(crop, indices.chunk(count_usable_cpus()))])

    def crop_views(self, indices: Tensor, views: Sequence[EvaluationView]) -> list[Tensor]:
        """Crops of the images `indices`, int64 [B]: uint8 [B, 3, S, S] per view. Few decoded images are in memory."""
        images = self.data.images
        if not isinstance(images, StreamedImages):
            return [self.cut(images, indices, view) for view in views]
        crops_by_part: list[list[Tensor]] = []
        for part in indices.split(count_usable_cpus()):
            once = images.keep_decoded()
            crops_by_part.append([self.cut(once, part, view) for view in views])
        return [torch.cat(crops) for crops in zip(*crops_by_part, strict=True)]

    def normalize_on_device(self, crops: Tensor) -> Tensor:
        """Crops, uint8 [B, 3, S, S], to normalized images, float32 [B, 3, S, S] on the device."""
        images = normalize(copy_to_device(crops, self.device), self.preprocessing)
        return images.to(memory_format=self.memory_format)

    @torch.inference_mode()
    def features(self, model: nn.Module, split: str, view: EvaluationView) -> Tensor:
        """The inputs of the classifier: float32 [N, D] on the device, of unit length, in the order of the split."""
        model.eval()
        parts, inputs = [], list[Tensor]()

        def record_input(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs.append(arguments[0].unsqueeze(-1))

        with get_classifier_layer(model).register_forward_pre_hook(record_input):
            for images in self.images(split, view):
                with self.autocast():
                    model(images)
                parts.append(nn.functional.normalize(inputs.pop().float().flatten(2).mean(2), dim=1))
        return copy_to_device(gather_interleaved(torch.cat(parts).cpu(), self.world), self.device)

    def labels(self, split: str) -> Tensor:
        """Labels of `split`, int64 [N]."""
        return self.data.labels[self.data.part(split)]

    def compute_metrics(self, logits: Tensor, labels: Tensor) -> dict[str, float | None]:
        """All metrics of logits, float32 [N, C], and labels, int64 [N]: those of every run, and further ones.

        None: one that does not exist for these labels.

        Raises:
            RunFailed: a further metric fails, is no finite number, or has the name of another one, as MLflow writes it.
        """
        return add_own_metrics(compute_scores(logits, labels), self.metrics, logits, labels)

    def get_training_images(self, view: EvaluationView) -> TrainingImages:
        """The training images in an evaluation view, for fine-tuning."""

        def read(batches: Iterable[Tensor]) -> Iterator[Tensor]:
            return self.read_ahead((self.data.train[positions] for positions in self.announce(batches)), view)

        def shuffle_all(generator: torch.Generator, batch_size: int) -> Tensor:
            return shuffle(self.data.train, self.data.images.blocks, generator, batch_size)

        return TrainingImages(read=read, shuffle=shuffle_all, labels=self.labels("train"), precision=self.autocast)
