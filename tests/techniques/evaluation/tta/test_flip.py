import torch
from torch import nn

from sota_exp.techniques.evaluation.tta.flip import FlipAveraging


def test_averages_the_probabilities_of_image_and_mirror_image():
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), torch.randn(3, 3, 4, 4)
    expected = (model(images).softmax(1) + model(images.flip(3)).softmax(1)) / 2
    torch.testing.assert_close(FlipAveraging()(model, images).softmax(1), expected)
    torch.testing.assert_close(FlipAveraging()(model, images).exp(), expected)


def test_scores_mirror_images_alike():
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), torch.randn(3, 3, 4, 4)
    torch.testing.assert_close(FlipAveraging()(model, images), FlipAveraging()(model, images.flip(3)))


def test_changes_nothing_for_a_network_that_is_invariant_to_flips():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    images = torch.randn(3, 3, 4, 4)
    torch.testing.assert_close(FlipAveraging()(model, images), model(images).log_softmax(1))
