"""CenterCrop: resizes the shorter side to the training size and cuts the centre; nothing is random.

    resize the shorter side to S → cut the central S × S

Paper: Simonyan, Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556
Setting: the baseline of every crop; sufficient if the training set is large or the objects are centred
"""

from dataclasses import dataclass

from torch import Tensor

from sota_exp.data.resize import center_crop
from sota_exp.stages.augmentation import Crop
from sota_exp.stages.data import Images
from sota_exp.stages.random import RandomNumbers


@dataclass(frozen=True, kw_only=True)
class CenterCrop(Crop):
    def __call__(self, images: Images, indices: Tensor, size: int, rng: RandomNumbers, interpolation: str) -> Tensor:
        return center_crop(images, indices, size, size, interpolation)
