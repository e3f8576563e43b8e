"""Augmentation alone, after decoding: ours on a batch against torchvision's transforms an image at a time.

Both do flip, TrivialAugment, normalization and random erasing on uint8 images of one size, on one thread.
"""

import time
from collections.abc import Callable

import torch
from torchvision.transforms import v2

from sota_exp.augmentation.erase.random_erasing import RandomErasing
from sota_exp.augmentation.flip.random import RandomFlip
from sota_exp.augmentation.policy.trivialaugment import TrivialAugment
from sota_exp.config import build, locate
from sota_exp.pipeline import Normalize, Pipeline
from sota_exp.stages import Batch, BatchTransform, Preprocessing
from sota_exp.streams import Streams

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_IMAGES, NUM_ROUNDS = 256, 7


def option(path: str) -> BatchTransform:
    """An option with the defaults of its YAML."""
    import yaml

    from sota_exp.composing import conf_directory

    node = yaml.safe_load((conf_directory() / f"{path}.yaml").read_text())
    assert locate(node["_target_"], path) in (RandomFlip, TrivialAugment, RandomErasing)
    return build(BatchTransform, node, path.replace("/", "."))


def ours(images: torch.Tensor) -> Callable[[int], object]:
    preprocessing = Preprocessing(mean=MEAN, std=STD)
    slots = (
        ("flip", option("augmentation/flip/random")),
        ("policy", option("augmentation/policy/trivialaugment")),
        ("normalize", Normalize(preprocessing=preprocessing)),
        ("erase", option("augmentation/erase/random_erasing")),
    )
    chain = Pipeline(transforms=slots, streams=Streams(seed=0))
    num = len(images)
    batch = Batch(
        images=images, targets=torch.eye(10)[torch.arange(num) % 10], weights=torch.ones(num), sources=torch.arange(num)
    )
    return lambda step: chain(batch, step, 0.5)


def peer(images: torch.Tensor) -> Callable[[int], object]:
    chain = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
            v2.RandomErasing(p=0.1),
        ]
    )
    return lambda step: torch.stack([chain(image) for image in images])


def seconds(run: Callable[[int], object], step: int) -> float:
    began = time.process_time()
    run(step)
    return time.process_time() - began


def measure() -> list[dict[str, object]]:
    return [measure_at(size) for size in (32, 128)]


def measure_at(size: int) -> dict[str, object]:
    """A B A B, the medians of each, as microseconds of a core an image; `ratio` is the peer's time over ours."""
    images = torch.randint(0, 256, (NUM_IMAGES, 3, size, size), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    first, second = ours(images), peer(images.contiguous())  # each in the layout that it is faster on
    pairs = [(seconds(first, step), seconds(second, step)) for step in range(NUM_ROUNDS + 1)][1:]
    mine, theirs = (torch.tensor(times).median().item() / NUM_IMAGES * 1e6 for times in zip(*pairs, strict=True))
    return {
        "name": f"augmentation alone, {size} px, against torchvision's transforms",
        "ours": round(mine, 1),
        "peer": round(theirs, 1),
        "ratio": round(theirs / mine, 2),
        "goal": 8 if size <= 64 else 3,
        "unit": "µs of a core per image",
        "precision": "fp32",
        "model": None,
        "image_size": size,
    }
