import itertools

import pytest
import torch

from sota_exp.data import resize_small
from sota_exp.data.resize import interpolate, resized_crop
from sota_exp.data.store import open_or_build_store
from sota_exp.data.store_writer import TRAIN, Sample, StoreContents
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomStreams
from tests.rows import each_row

SIDES = (1, 7, 28, 32, 48)
SIZES = (12, 16, 28, 32, 33, 64, 224)


def random_boxes(num, height, width, seed=0):
    """Random boxes of every size, including whole images and single pixels."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.tensor([height, width])
    box = 1 + (torch.rand(num, 2, generator=generator) * sides).long()
    box[0], box[1] = sides, 1
    corner = (torch.rand(num, 2, generator=generator) * (sides - box + 1)).long()
    return torch.cat([corner, box], dim=1)


def noise(num, height, width):
    """Random levels; a third of the images have only 0 and 255, where sums are largest."""
    images = torch.randint(256, (num, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images[: num // 3] = images[: num // 3] // 128 * 255
    return images


def one_by_one(images, boxes, size):
    parts = [
        image[None, top : top + height, left : left + width].permute(0, 3, 1, 2)
        for image, (top, left, height, width) in zip(images, boxes.tolist(), strict=True)
    ]
    return torch.cat([interpolate(part, size, size) for part in parts])


@each_row("size, height", itertools.product(SIZES, SIDES))
def test_crops_are_bitwise_those_of_the_kernel(height, size):
    for width in (height, 31, 48):
        if resize_small.can_resize((height, width), size):
            images, boxes = noise(150, height, width), random_boxes(150, height, width)
            ours = resize_small.resize_boxes(images, boxes, size)
            assert ours.dtype == torch.uint8 and ours.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(ours, one_by_one(images, boxes, size)), (height, width)


@pytest.mark.parametrize("precision", ["medium", "highest"])
def test_settings_of_lower_precision_do_not_change_them(precision):
    images, boxes = noise(60, 32, 32), random_boxes(60, 32, 32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            ours = resize_small.resize_boxes(images, boxes, 28)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(ours, one_by_one(images, boxes, 28))


@pytest.mark.parametrize("size", [12, 32, 64])
def test_every_length_has_the_kernels_weights(size):
    """Resizing a line with one white pixel gives a column of the weights, within one level."""
    for length in range(1, 49):
        lines = (torch.eye(length) * 255).to(torch.uint8).view(length, 1, 1, length).expand(-1, 3, 2, -1)
        kernel = interpolate(lines.contiguous(memory_format=torch.channels_last), 2, size)[:, 0, 0].double()
        ours = torch.from_numpy(resize_small.compute_weights(length, size)).T * 255
        assert (kernel - (ours + 0.5).floor()).abs().max() == 0, length
        assert (ours.sum(0) / 255 - 1).abs().max() < 2**-12


@pytest.mark.parametrize(
    "shape, size, expected",
    [
        ((32, 32), 32, True),
        ((48, 40), 12, True),
        ((48, 40), 11, False),
        ((49, 32), 32, False),
        (None, 32, False),
    ],
)
def test_only_small_images_with_little_reduction_are_supported(shape, size, expected):
    assert resize_small.can_resize(shape, size) == expected


def stored(place, shapes):
    samples = [Sample(noise(1, *shape)[0].numpy(), 0, TRAIN) for shape in shapes]
    return open_or_build_store(str(place), "set", lambda: StoreContents(["a"], samples))


class OneByOne(Images):
    """The same images, without their common shape."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def size(self, index):
        return self.images.size(index)

    def image(self, index):
        return self.images.image(index)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_store_gives_the_same_crops_either_way(tmp_path, mode, monkeypatch):
    store = stored(tmp_path, [(20, 28)] * 12)
    assert store.shape == (20, 28)
    indices = RandomStreams(seed=0).random_numbers("augmentation/crop", 0).integers(12, 40)
    boxes = random_boxes(40, 20, 28)
    used = []
    whole = resize_small.resize_boxes
    monkeypatch.setattr(resize_small, "resize_boxes", lambda *given: used.append(1) or whole(*given))
    ours = resized_crop(store, indices, boxes, 24, mode)
    assert torch.equal(ours, resized_crop(OneByOne(store), indices, boxes, 24, mode))
    assert len(used) == (mode == "bilinear")


def test_images_of_several_shapes_have_none_in_common(tmp_path):
    assert stored(tmp_path, [(20, 28), (28, 20)] * 3).shape is None
