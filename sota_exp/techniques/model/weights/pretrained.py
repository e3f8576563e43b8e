"""Pretrained weights: start from what somebody published for this architecture, and read images as they did.

w₀ = published; a classifier of another size starts at zero; mean, standard deviation and interpolation are those of the weights.
Their size and crop ratio are said, and not taken: these are the data's.

Paper: Kornblith, Shlens & Le 2018, Do Better ImageNet Models Transfer Better?, 1805.08974
Setting: with a tenth of the learning rate and of the epochs: transfers to most photographs of things at 224 px; tag "" takes
the library's default, IMAGENET1K_V1 is the 76.1 % ResNet-50 of torchvision.
"""

import logging
from dataclasses import dataclass

from torch import nn

from sota_exp.models.load_state import load
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import Model, Weights

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pretrained(Weights):
    """Loads the weights published under `tag`, or the default ones."""

    tag: str

    def content(self, arch: Model) -> str:
        return arch.published(self.tag).content

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return arch.published(self.tag).preprocessing

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        published = arch.published(self.tag)
        if published.evaluated_at:
            log.info("the weights were published for %s", published.evaluated_at)
        return load(model, published.state, "tag", self.tag)
