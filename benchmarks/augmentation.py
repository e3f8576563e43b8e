"""Augmentation alone, after decoding: ours on a batch against torchvision's transforms an image at a time.

Both do flip, TrivialAugment, normalization and random erasing on images of one size, on one thread. The peer is measured in
two ways: as torchvision's reference trains, on PIL images, and on tensors with `transforms.v2`, the fastest of its ways here.
"""

import time
from collections.abc import Callable

import torch
from torchvision import transforms
from torchvision.transforms import v2

from sota_exp import CONF
from sota_exp.config.build import build, import_class
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.random import RandomStreams
from sota_exp.techniques.augmentation.erase.random_erasing import RandomErasing
from sota_exp.techniques.augmentation.flip.random import RandomFlip
from sota_exp.techniques.augmentation.policy.trivialaugment import TrivialAugment
from sota_exp.training.batch_pipeline import BatchPipeline, Normalize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_IMAGES, NUM_ROUNDS = 256, 7


def option(path: str) -> BatchTransform:
    """An option with the defaults of its YAML."""
    import yaml

    node = yaml.safe_load((CONF / f"{path}.yaml").read_text())
    assert import_class(node["_target_"], path) in (RandomFlip, TrivialAugment, RandomErasing)
    return build(BatchTransform, node, path.replace("/", "."))


def ours(images: torch.Tensor) -> Callable[[int], object]:
    preprocessing = Preprocessing(mean=MEAN, std=STD)
    slots = (
        ("flip", option("augmentation/flip/random")),
        ("policy", option("augmentation/policy/trivialaugment")),
        ("normalize", Normalize(preprocessing=preprocessing)),
        ("erase", option("augmentation/erase/random_erasing")),
    )
    chain = BatchPipeline(transforms=slots, streams=RandomStreams(seed=0))
    num = len(images)
    batch = Batch(
        images=images, targets=torch.eye(10)[torch.arange(num) % 10], weights=torch.ones(num), sources=torch.arange(num)
    )
    return lambda step: chain(batch, step, 0.5)


def reference(images: torch.Tensor) -> Callable[[int], object]:
    """As `references/classification/presets.py` composes it."""
    chain = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.TrivialAugmentWide(interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(MEAN, STD),
            transforms.RandomErasing(p=0.1),
        ]
    )
    decoded = [v2.functional.to_pil_image(image) for image in images]
    return lambda step: torch.stack([chain(image) for image in decoded])


def tensors(images: torch.Tensor) -> Callable[[int], object]:
    """On uint8 tensors, one colour after the other: the layout that it is faster on."""
    chain = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(p=0.1),
        ]
    )
    apart = images.contiguous()
    return lambda step: torch.stack([chain(image) for image in apart])


PEERS = {"torchvision's reference, on PIL images": reference, "torchvision's fastest, on tensors": tensors}


def seconds(run: Callable[[int], object], step: int) -> float:
    began = time.process_time()
    run(step)
    return time.process_time() - began


def measure() -> list[dict[str, object]]:
    return [row for size in (32, 128) for row in measure_at(size)]


def measure_at(size: int) -> list[dict[str, object]]:
    """In turn, the medians of each, as microseconds of a core an image; `ratio` is the peer's time over ours."""
    images = torch.randint(0, 256, (NUM_IMAGES, 3, size, size), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    runs = [ours(images), *(peer(images) for peer in PEERS.values())]
    rounds = [[seconds(run, step) for run in runs] for step in range(NUM_ROUNDS + 1)][1:]
    mine, *others = (torch.tensor(times).median().item() / NUM_IMAGES * 1e6 for times in zip(*rounds, strict=True))
    return [
        {
            "name": f"augmentation alone, {size} px, against {name}",
            "ours": round(mine, 1),
            "peer": round(theirs, 1),
            "ratio": round(theirs / mine, 2),
            "goal": 8 if size <= 64 else 3,
            "unit": "µs of a core per image",
            "precision": "fp32",
            "model": None,
            "image_size": size,
        }
        for name, theirs in zip(PEERS, others, strict=True)
    ]
