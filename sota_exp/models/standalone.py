"""A saved model as one network with normalization and test-time augmentation inside."""

import torch
from torch import Tensor, nn

from sota_exp.models.saved import SavedModel
from sota_exp.stages.evaluation import Predictor


class StandaloneModel(nn.Module):
    """RGB images, float [B, 3, H, W] in [0, 1], resized and cropped as `model.json` states → logits [B, C]."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: SavedModel) -> None:
        super().__init__()
        self.network = model.network
        self.predictor: Predictor = model.predictor
        self.register_buffer("mean", torch.tensor(model.preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(model.preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.predictor(self.network, (images - self.mean) / self.std)
