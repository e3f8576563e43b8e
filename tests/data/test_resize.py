import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sota_exp.data.resize import apply_affine, center_crop, compute_resized_shape, interpolate, resized_crop
from sota_exp.stages.data import INTERPOLATIONS, Images

SHAPES = [(64, 64), (40, 97), (64, 64), (131, 50), (33, 32), (40, 97)]


class Ragged(Images):
    """Random images of the given shapes, in channels-last strides."""

    def __init__(self, shapes):
        generator = torch.Generator().manual_seed(3)
        self.pixels = [torch.randint(256, (h, w, 3), dtype=torch.uint8, generator=generator) for h, w in shapes]

    def __len__(self):
        return len(self.pixels)

    def size(self, index):
        return tuple(self.pixels[index].shape[:2])

    def image(self, index):
        return self.pixels[index].permute(2, 0, 1)


def largest_difference(ours, reference):
    return (ours.int() - reference.int()).abs().max().item()


@pytest.mark.parametrize("mode", INTERPOLATIONS)
@pytest.mark.parametrize("resize, size", [(32, 32), (40, 32), (48, 33), (64, 64), (73, 48), (9, 8)])
def test_center_crop_agrees_with_torchvision_at_every_shape(resize, size, mode):
    images = Ragged(SHAPES)
    indices = torch.tensor([3, 0, 5, 1, 1, 4, 2])
    ours = center_crop(images, indices, resize, size, mode)
    for row, index in zip(ours, indices.tolist(), strict=True):
        expected = F.center_crop(
            F.resize(images.image(index), [resize], F.InterpolationMode(mode), antialias=True), [size, size]
        )
        assert largest_difference(row, expected) <= 1


def test_center_crop_at_the_stored_size_copies_the_pixels():
    images = Ragged([(48, 48)] * 3)
    ours = center_crop(images, torch.tensor([2, 0]), resize=48, size=48)
    assert torch.equal(ours, torch.stack([images.image(2), images.image(0)]))


BOXES = torch.tensor([[0, 0, 64, 64], [5, 11, 20, 60], [63, 63, 1, 1], [10, 3, 90, 40], [1, 0, 32, 32], [0, 0, 40, 97]])


@pytest.mark.parametrize("mode", INTERPOLATIONS)
@pytest.mark.parametrize("size", [8, 32, 61])
def test_resized_crop_agrees_with_torchvision(size, mode):
    images = Ragged(SHAPES)
    ours = resized_crop(images, torch.arange(6), BOXES, size, mode)
    for index, (row, box) in enumerate(zip(ours, BOXES.tolist(), strict=True)):
        expected = F.resized_crop(images.image(index), *box, [size, size], F.InterpolationMode(mode), antialias=True)
        assert largest_difference(row, expected) <= 1


def test_resized_crop_of_a_box_of_the_output_size_copies_the_pixels():
    images = Ragged(SHAPES)
    ours = resized_crop(images, torch.tensor([3]), torch.tensor([[17, 4, 32, 32]]), 32)
    assert torch.equal(ours[0], images.image(3)[:, 17:49, 4:36])


def test_batches_are_uint8_in_channels_last_strides():
    images = Ragged(SHAPES)
    for batch in (center_crop(images, torch.arange(6), 32, 24), resized_crop(images, torch.arange(6), BOXES, 24)):
        assert batch.dtype == torch.uint8 and batch.shape == (6, 3, 24, 24)
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_reducing_is_antialiased():
    columns = torch.zeros(1, 3, 64, 64, dtype=torch.uint8).to(memory_format=torch.channels_last)
    columns[..., ::2] = 200
    assert interpolate(columns, 16, 16)[..., 2:-2].sub(100).max() <= 1


@pytest.mark.parametrize(
    "shape, side, expected", [((50, 75), 32, (32, 48)), ((75, 50), 33, (49, 33)), ((9, 9), 4, (4, 4))]
)
def test_the_shorter_side_gets_the_requested_size(shape, side, expected):
    assert compute_resized_shape(*shape, side) == expected


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [8, 31, 64])
def test_affine_without_change_returns_the_pixels_in_channels_last_strides(mode, size):
    images = torch.randint(256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    same = apply_affine(images, torch.eye(3)[:2].expand(3, 2, 3), mode)
    assert torch.equal(same, images) and same.is_contiguous(memory_format=torch.channels_last)


def test_affine_shows_the_source_pixel_of_the_matrix():
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    right_and_up = torch.tensor([[[1.0, 0.0, -3.0], [0.0, 1.0, 2.0]]]).expand(2, 2, 3)
    moved = apply_affine(images, right_and_up, "bilinear")
    assert torch.equal(moved[:, :, :-2, 3:], images[:, :, 2:, :-3])
    assert moved[:, :, -2:].max() == 0 and moved[..., :3].max() == 0
