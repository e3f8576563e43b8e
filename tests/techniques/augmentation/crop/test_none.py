import torch

from sota_exp.data.resize import center_crop
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomStreams
from sota_exp.techniques.augmentation.crop.none import CenterCrop


class Noise(Images):
    """Random images of several shapes."""

    def __init__(self):
        self.shapes = [(40, 40), (64, 50), (33, 90)]
        generator = torch.Generator().manual_seed(0)
        self.pixels = [torch.randint(256, (h, w, 3), dtype=torch.uint8, generator=generator) for h, w in self.shapes]

    def __len__(self):
        return len(self.pixels)

    def size(self, index):
        return self.shapes[index]

    def image(self, index):
        return self.pixels[index].permute(2, 0, 1)


def test_the_whole_shorter_side_is_seen_whatever_is_drawn():
    images, indices = Noise(), torch.tensor([2, 0, 1])
    rngs = [RandomStreams(seed=0).random_numbers("augmentation/crop", step) for step in (0, 1)]
    steps = [CenterCrop()(images, indices, 32, rng, "bilinear") for rng in rngs]
    assert torch.equal(steps[0], steps[1])
    assert torch.equal(steps[0], center_crop(images, indices, resize=32, size=32))
