"""Small: networks of this package for images of 32 to 96 px, fast enough to train on a laptop CPU.

resnet: a 3×3 stem of stride 2, stages of basic blocks, global average pooling and a linear layer. The shortcut of a
downsampling block averages 2×2 before its 1×1 convolution ("ResNet-D"), so it uses every pixel.

pooled: a 3×3 stem, then three stages of convolution, 2×2 max pooling, norm, ReLU, convolution, norm, ReLU; the largest
value of each channel enters the linear layer. pooled_m has the widths of airbench94. For 32 px it learns the most a
second.

Paper: He et al. 2015, Deep Residual Learning for Image Recognition, 1512.03385; shortcut of He et al. 2018, 1812.01187;
pooled: Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2404.00498
Setting: training at 48 px, batch 128, channels-last float32, on two CPU cores: resnet_xs 3,100 images/s, resnet_s
1,000, resnet_m 450. The speed comes from the stride 2 of the stem, in addition to that of the first stage.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from sota_exp.models.small_nets import NAMES, build_small
from sota_exp.stages.model import Model, PublishedWeights
from sota_exp.stages.stage import InvalidValue, Legal, one_of


@dataclass(frozen=True, kw_only=True)
class SmallNetwork(Model):
    """A network of this package; `width_multiplier` scales its channels."""

    name: Annotated[str, one_of(*NAMES)]
    width_multiplier: Annotated[float, Legal(lambda value: 0.25 <= value <= 8, "a number in [0.25, 8]")]

    def __call__(self, num_classes: int) -> nn.Module:
        return build_small(self.name, num_classes, self.width_multiplier)

    def load_published(self, tag: str) -> PublishedWeights:
        raise InvalidValue("weights", tag, "scratch or checkpoint: nobody published weights of model/arch=small")
