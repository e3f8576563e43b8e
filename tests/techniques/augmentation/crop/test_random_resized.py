import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import RandomResizedCrop as Reference

from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.crop.random_resized import (
    RandomResizedCrop,
    compute_largest_boxes,
    sample_crop_boxes,
)

SCALE, RATIO = [0.08, 1.0], [3 / 4, 4 / 3]
NUM = 4000


class Uniform(Images):
    """`num` images of one shape with positions as colours: red is the row, green the column, blue the index."""

    def __init__(self, num, height, width):
        rows = torch.arange(height).expand(width, height).T
        columns = torch.arange(width).expand(height, width)
        self.pixels = [torch.stack([rows, columns, torch.full_like(rows, i)], dim=-1).byte() for i in range(num)]

    def __len__(self):
        return len(self.pixels)

    def size(self, index):
        return tuple(self.pixels[index].shape[:2])

    def image(self, index):
        return self.pixels[index].permute(2, 0, 1)


def draws(step=0):
    return RandomStreams(seed=5).random_numbers("augmentation/crop", step)


def boxes_of(height, width, num=NUM, scale=SCALE, ratio=RATIO):
    return sample_crop_boxes(torch.tensor([[height, width]]).expand(num, 2), scale, ratio, draws())


def reference_boxes(height, width, num=NUM, scale=SCALE, ratio=RATIO):
    torch.manual_seed(0)
    crop = Reference(32, tuple(scale), tuple(ratio))
    image = torch.empty(3, height, width)
    drawn = [crop.make_params([image]) for _ in range(num)]
    return torch.tensor([[box[key] for key in ("top", "left", "height", "width")] for box in drawn])


@pytest.mark.parametrize("height, width", [(64, 64), (96, 60), (40, 200)])
def test_boxes_are_distributed_as_torchvisions(height, width):
    ours, reference = boxes_of(height, width).double(), reference_boxes(height, width, num=1500).double()
    quantities = {
        "top": lambda b: b[:, 0],
        "left": lambda b: b[:, 1],
        "height": lambda b: b[:, 2],
        "width": lambda b: b[:, 3],
        "area": lambda b: b[:, 2] * b[:, 3],
        "shape": lambda b: b[:, 3] / b[:, 2],
        "free rows taken": lambda b: b[:, 0] / (height - b[:, 2] + 1),
    }
    for name, quantity in quantities.items():
        # 21 quantities are compared at one fixed seed: 0.5 % each.
        assert stats.ks_2samp(quantity(ours), quantity(reference)).pvalue > 0.005, name


@pytest.mark.parametrize("height, width", [(8, 8), (8, 300), (300, 8), (37, 64)])
def test_boxes_lie_inside_their_image(height, width):
    top, left, box_height, box_width = boxes_of(height, width).unbind(1)
    assert min(top.min(), left.min()) >= 0 and min(box_height.min(), box_width.min()) >= 1
    assert (top + box_height).max() <= height and (left + box_width).max() <= width


@pytest.mark.parametrize("height, width", [(10, 100), (100, 10), (64, 64)])
def test_the_fallback_is_torchvisions_central_box(height, width):
    # With scale 1 no box fits if the ratio of the image is out of range, or, at 64 × 64, if the ratio is not exactly 1.
    ratio = RATIO if height != width else [1.1, 1.3]
    ours = boxes_of(height, width, num=5, scale=[1.0, 1.0], ratio=ratio)
    assert torch.equal(ours, reference_boxes(height, width, num=5, scale=[1.0, 1.0], ratio=ratio))


def test_largest_boxes_touch_the_image_and_keep_the_ratio():
    sizes = torch.tensor([[10, 100], [100, 10], [50, 60]])
    assert compute_largest_boxes(sizes, RATIO).tolist() == [[10, 13], [13, 10], [50, 60]]


def test_each_image_is_cut_by_its_own_height_and_width():
    sizes = torch.tensor([[20, 400], [400, 20]]).repeat(200, 1)
    boxes = sample_crop_boxes(sizes, SCALE, RATIO, draws())
    assert (boxes[::2, 1] > 100).any() and (boxes[1::2, 0] > 100).any()
    assert boxes[::2, 0].max() < 20 and boxes[1::2, 1].max() < 20


def test_pixels_come_from_the_drawn_boxes():
    images, indices = Uniform(6, 60, 48), torch.tensor([4, 4, 0, 5])
    crops = RandomResizedCrop(scale=SCALE, ratio=RATIO)(images, indices, 24, draws(), "bilinear")
    boxes = sample_crop_boxes(torch.tensor([[60, 48]] * 4), SCALE, RATIO, draws())
    centre = boxes[:, :2] + (boxes[:, 2:] - 1) / 2
    assert torch.equal(crops[:, 2].float().mean((1, 2)), indices.float())
    assert torch.allclose(crops[:, :2].float().mean((2, 3)), centre.float(), atol=0.6)


@pytest.mark.parametrize("size", [8, 33, 224])
@pytest.mark.parametrize("num", [1, 3])
def test_output_is_repeatable_uint8_in_channels_last_strides(size, num):
    crop, images = RandomResizedCrop(scale=SCALE, ratio=RATIO), Uniform(3, 30, 41)
    first, again, other = (crop(images, torch.arange(num), size, draws(step), "bilinear") for step in (0, 0, 1))
    assert first.shape == (num, 3, size, size) and first.dtype == torch.uint8
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "scale, ratio, name",
    [([0.0, 1.0], RATIO, "scale"), ([0.5, 1.1], RATIO, "scale"), (SCALE, [2.0, 1.0], "ratio"), ([0.5], RATIO, "scale")],
)
def test_illegal_ranges_are_refused(scale, ratio, name):
    with pytest.raises(InvalidValue, match=name):
        RandomResizedCrop(scale=scale, ratio=ratio)
