import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import functional as F

from sota_exp.data.resize import center_crop
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.augmentation.crop.pad import PadCrop, cut_crops


class Noise(Images):
    """Random images of several shapes."""

    def __init__(self, shapes):
        generator = torch.Generator().manual_seed(0)
        self.pixels = [torch.randint(256, (h, w, 3), dtype=torch.uint8, generator=generator) for h, w in shapes]

    def __len__(self):
        return len(self.pixels)

    def size(self, index):
        return tuple(self.pixels[index].shape[:2])

    def image(self, index):
        return self.pixels[index].permute(2, 0, 1)


def draws(step=0):
    return RandomStreams(seed=1).random_numbers("augmentation/crop", step)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize("size, fraction, padding", [(32, 0.125, 4), (8, 0.5, 4), (25, 0.125, 3), (16, 0.0, 0)])
def test_agrees_with_torchvisions_pad_and_crop(mode, size, fraction, padding):
    images, indices = Noise([(size, size)] * 5), torch.tensor([0, 3, 3, 1, 4])
    ours = PadCrop(padding_fraction=fraction, padding_mode=mode)(images, indices, size, draws(), "bilinear")
    corners = draws().integers(2 * padding + 1, 5, 2).tolist()
    for row, index, (top, left) in zip(ours, indices.tolist(), corners, strict=True):
        padded = F.pad(images.image(index), [padding], padding_mode=mode)
        assert torch.equal(row, F.crop(padded, top, left, size, size))


def test_corners_are_uniform_over_both_axes():
    place = torch.arange(16)
    coded = torch.stack([place.expand(16, 16).T, place.expand(16, 16), torch.zeros(16, 16)], dim=-1).byte()
    images = Noise([(16, 16)])
    images.pixels = [coded + 1]
    crops = PadCrop(padding_fraction=0.125, padding_mode="constant")(
        images, torch.zeros(3000).long(), 16, draws(), "bilinear"
    )
    corner = crops[:, :2, 8, 8].int() - 7
    counts = (corner[:, 0] * 5 + corner[:, 1]).bincount(minlength=25)
    assert counts.sum() == 3000 and stats.chisquare(counts).pvalue > 0.01


def test_other_shapes_are_resized_first():
    images, indices = Noise([(40, 70), (21, 16)]), torch.tensor([1, 0])
    ours = PadCrop(padding_fraction=0.0, padding_mode="reflect")(images, indices, 16, draws(), "bilinear")
    assert torch.equal(ours, center_crop(images, indices, 16, 16))


def test_shifting_moves_rows_and_columns_independently():
    padded = torch.arange(2 * 4 * 4).view(2, 4, 4, 1).expand(2, 4, 4, 3).byte()
    cut = cut_crops(padded, torch.tensor([[0, 2], [1, 0]]), 2)
    assert cut[0, 0].tolist() == [[2, 3], [6, 7]] and cut[1, 0].tolist() == [[20, 21], [24, 25]]


@pytest.mark.parametrize("num", [1, 4])
@pytest.mark.parametrize("size", [8, 224])
def test_output_is_repeatable_uint8_in_channels_last_strides(num, size):
    crop, images = PadCrop(padding_fraction=0.125, padding_mode="constant"), Noise([(30, 30)] * 4)
    first, again = (crop(images, torch.arange(num), size, draws(), "bilinear") for _ in range(2))
    assert first.shape == (num, 3, size, size) and first.dtype == torch.uint8
    assert first.is_contiguous(memory_format=torch.channels_last) and torch.equal(first, again)


@pytest.mark.parametrize("fraction, mode, name", [(0.6, "reflect", "padding_fraction"), (0.1, "zero", "padding_mode")])
def test_illegal_fields_are_refused(fraction, mode, name):
    with pytest.raises(InvalidValue, match=name):
        PadCrop(padding_fraction=fraction, padding_mode=mode)
