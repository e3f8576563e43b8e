"""Training loops as generators: one optimizer step of the full recipe each, from image files to the averaged weights.

`ours` is `sota_exp.training.loop.fit`. `torchvision_loop` is what torchvision's reference script does (references/classification),
`timm_loop` what timm's train.py does with its loader, Mixup and ModelEmaV3, `bare` forward, backward and SGD on one ready batch.
All take torch's threads, one a core; the peers' loaders have `workers` processes beside them. On a GPU all train there.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.data import Mixup, create_loader
from timm.data.dataset import ImageDataset
from timm.loss import SoftTargetCrossEntropy
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.pictures import NUM_CLASSES
from sota_exp.config.configuration import Configuration
from sota_exp.config.overrides import compose_configuration
from sota_exp.data.open import open_data
from sota_exp.models.single_pixel_conv import use_matrix_products
from sota_exp.training.autotune import choose_runtime
from sota_exp.training.device import pick_device, set_numerics
from sota_exp.training.distributed import World
from sota_exp.training.loop import StepRecord, TrainingSession, fit, start_training
from sota_exp.training.memory import reuse_freed_memory
from sota_exp.training.session import open_session

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COPIES, EVERY = 4, 32


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained: pictures in `folder`, cut to `size` px, `batch_size` a step, by the network `arch`, for `epochs`."""

    folder: Path
    cache: Path
    size: int
    batch_size: int
    arch: tuple[str, ...]
    epochs: int
    device: str = "cpu"

    def configuration(self, *overrides: str) -> Configuration:
        """The configuration of torchvision's recipe, with crops of the size of evaluation."""
        return compose_configuration(
            [
                "data=image_folder",
                f"data.root={self.folder}",
                f"data.cache={self.cache}",
                f"data.image_size={self.size}",
                "recipe=torchvision",
                "augmentation/train_size=native",
                "scale=full",
                f"schedule.length.epochs={self.epochs}",
                f"batch_size={self.batch_size}",
                f"runtime.device={self.device}",
                "tracking=none",
                *self.arch,
                *overrides,
            ]
        )

    def network(self) -> nn.Module:
        """As every loop trains it: of the same architecture, with the same norm, in training mode."""
        return session_of(self.configuration()).network().train()

    def autocast(self, precision: str) -> torch.autocast:
        """The context of a peer's forward pass, in fp32 or bf16."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=precision == "bf16")


def session_of(configuration: Configuration) -> TrainingSession:
    experiment = configuration.experiment
    device = pick_device(experiment.runtime.device)
    set_numerics(experiment.runtime, device)
    return open_session(experiment, open_data(experiment), World(), device)


def ours(task: Task, told: dict[str, Any], overrides: tuple[str, ...] = ()) -> Iterator[None]:
    """`told` learns what `runtime=auto` chose, how long that took, and the first step, which compiles."""
    reuse_freed_memory()
    configuration = task.configuration(*overrides)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        configuration, why = choose_runtime(configuration, Path(place))
    told.update(why=why, measuring=time.perf_counter() - began, runtime=configuration.values["runtime"])
    session = session_of(configuration)
    state, began = start_training(session), time.perf_counter()
    for record in fit(session, state):
        if isinstance(record, StepRecord):
            told.setdefault("first_step", time.perf_counter() - began)
            yield


def repeated(num_images: int) -> list[int]:
    """An order with four copies of each image side by side, as repeated augmentation has them."""
    return torch.randperm(num_images).repeat_interleave(COPIES).tolist() * 100


def torchvision_loop(task: Task, told: dict[str, Any], workers: int, precision: str = "fp32") -> Iterator[None]:
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(task.size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(p=0.1),
        ]
    )
    mix = v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=NUM_CLASSES), v2.CutMix(alpha=1.0, num_classes=NUM_CLASSES)])
    images = ImageFolder(str(task.folder), transform)
    loader = DataLoader(
        images,
        task.batch_size,
        sampler=repeated(len(images)),
        collate_fn=lambda rows: mix(*default_collate(rows)),
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        pin_memory=task.device != "cpu",
    )
    model = task.network().to(task.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-5)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    for step, (batch, targets) in enumerate(loader):
        images, soft = batch.to(task.device, non_blocking=True), targets.to(task.device, non_blocking=True)
        with task.autocast(precision):
            loss = nn.functional.cross_entropy(model(images), soft, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % EVERY == 0:
            average.update_parameters(model)
        loss.item()  # its metric logger reads the loss of every step
        yield


def timm_loop(task: Task, told: dict[str, Any], workers: int) -> Iterator[None]:
    loader = create_loader(
        ImageDataset(str(task.folder)),
        input_size=(3, task.size, task.size),
        batch_size=task.batch_size,
        is_training=True,
        use_prefetcher=False,
        num_workers=workers,
        auto_augment="rand-m9-n1-mstd0.5",  # one operation an image, as TrivialAugment; timm has no TrivialAugment
        re_prob=0.1,
        mean=MEAN,
        std=STD,
        persistent_workers=workers > 0,
        pin_memory=False,
    )
    mix = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, switch_prob=0.5, label_smoothing=0.1, num_classes=NUM_CLASSES)
    model, criterion = task.network(), SoftTargetCrossEntropy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-5, nesterov=True)
    average = ModelEmaV3(model, decay=0.9998)
    while True:
        for batch, targets in loader:
            mixed, soft = mix(batch, targets)
            loss = criterion(model(mixed), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update(model)
            yield


def bare(
    task: Task, told: dict[str, Any], precision: str = "fp32", compiled: bool = False, products: bool = False
) -> Iterator[None]:
    """A step without data, augmentation and average: channels last, fused SGD, one batch that is ready."""
    reuse_freed_memory()
    network = use_matrix_products(task.network()) if products else task.network()
    model = network.to(task.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-5, fused=True)
    batch = torch.randn(task.batch_size, 3, task.size, task.size, device=task.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    targets: Tensor = torch.full((task.batch_size, NUM_CLASSES), 1 / NUM_CLASSES, device=task.device)
    forward = torch.compile(model) if compiled else model
    while True:
        with task.autocast(precision):
            logits = forward(batch)
        nn.functional.cross_entropy(logits.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


LOOPS: dict[str, Callable[..., Iterator[None]]] = {
    "ours": ours,
    "torchvision": torchvision_loop,
    "timm": timm_loop,
    "bare": bare,
}
