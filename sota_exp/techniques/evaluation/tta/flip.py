"""Flip averaging: averages the predictions for each image and its mirror image.

p = (softmax(f(x)) + softmax(f(mirror x))) / 2, returned as log p, whose softmax is p.

Paper: Krizhevsky, Sutskever & Hinton 2012, ImageNet Classification with Deep Convolutional Neural Networks (NIPS, no
arXiv)
Setting: on photographs, at twice the cost of evaluation; not if a horizontal flip changes the label.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sota_exp.stages.evaluation import Predictor
from sota_exp.techniques.evaluation.tta.averaging import compute_log_mean_probability


@dataclass(frozen=True, kw_only=True)
class FlipAveraging(Predictor):
    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        return compute_log_mean_probability(torch.stack([model(images), model(images.flip(3))]))
