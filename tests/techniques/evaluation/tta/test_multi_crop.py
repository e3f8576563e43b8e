import pytest
import torch
from torch import nn
from torchvision.transforms.functional import five_crop, resize

from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.evaluation.tta.multi_crop import MultiCropAveraging, cut_five_crops


def test_parts_are_torchvisions_five_crops_resized_back():
    images = torch.rand(2, 3, 16, 16)
    reference = [resize(part, [16, 16], antialias=True) for part in five_crop(images, 12)]
    for mine, theirs in zip(cut_five_crops(images, 0.75), reference, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_averages_the_probabilities_of_the_parts():
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 5)), torch.rand(2, 3, 16, 16)
    expected = torch.stack([model(part).softmax(1) for part in cut_five_crops(images, 0.75)]).mean(0)
    torch.testing.assert_close(MultiCropAveraging(crop_fraction=0.75)(model, images).exp(), expected)


def test_whole_image_is_one_view():
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 5)), torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(MultiCropAveraging(crop_fraction=1.0)(model, images), model(images).log_softmax(1))


@pytest.mark.parametrize("value", [0.3, 1.1])
def test_illegal_values_are_named(value):
    with pytest.raises(InvalidValue, match="crop_fraction"):
        MultiCropAveraging(crop_fraction=value)
