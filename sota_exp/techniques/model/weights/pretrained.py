"""Pretrained weights: starts from published weights of the architecture, with their preprocessing.

w₀ = the published weights; a classifier of another size starts at zero. Mean, standard deviation and interpolation are
those of the weights. Image size and crop ratio stay those of the data set; the log mentions those of the weights.

Paper: Kornblith, Shlens & Le 2018, Do Better ImageNet Models Transfer Better?, 1805.08974
Setting: photographs of objects at 224 px, with a tenth of the usual learning rate and of the epochs; tag "" is the
default of the library, IMAGENET1K_V1 is the 76.1 % ResNet-50 of torchvision.
"""

import logging
from dataclasses import dataclass

from torch import nn

from sota_exp.models.load_weights import load_state
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.model import InitialWeights, Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PretrainedWeights(InitialWeights):
    tag: str

    def content_hash(self, arch: Model) -> str:
        return arch.load_published(self.tag).content_hash

    def preprocessing(self, arch: Model, default: Preprocessing) -> Preprocessing:
        return arch.find_preprocessing(self.tag)

    def __call__(self, model: nn.Module, arch: Model) -> nn.Module:
        published = arch.load_published(self.tag)
        if published.evaluated_at:
            log.info("the published accuracy of the weights was measured at %s", published.evaluated_at)
        return load_state(model, published.state, "tag", self.tag)
