"""The networks of all folds of a cross-validation as one model, which answers with the mean of their probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from sota_exp.errors import ConfigError
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel
from sota_exp.models.weight_files import NO_NORMALIZATION
from sota_exp.stages.evaluation import OneView


class FoldEnsemble(nn.Module):
    """RGB images, float [B, 3, H, W] in [0, 1] → logarithms of mean probabilities [B, C], whose softmax is the mean."""

    def __init__(self, models: Sequence[SavedModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(StandaloneModel(model) for model in models)

    def forward(self, images: Tensor) -> Tensor:
        shares = torch.stack([member(images).float().softmax(1) for member in self.members]).mean(0)
        return shares.clamp_min(torch.finfo(torch.float32).tiny).log()


def average_folds(models: Sequence[SavedModel], name: str) -> SavedModel:
    """One model of those of all folds; each normalizes images as in its own training. name: for the error.

    Raises:
        ConfigError: they have other classes, or read images at other sizes.
    """
    first = models[0]
    for each in models[1:]:
        if each.classes != first.classes or each.white != first.white:
            raise ConfigError(f"{name}: its folds have other classes or another white: name one of them")
        if (each.view, each.preprocessing.interpolation) != (first.view, first.preprocessing.interpolation):
            sizes = f"{first.view.size} and {each.view.size} px"
            raise ConfigError(
                f"{name}: its folds read images at other sizes ({sizes}), so they have no common answer; "
                "name one of them, or train with evaluation/resolution=fixed"
            )
    return SavedModel(
        network=FoldEnsemble(models).eval(),
        classes=first.classes,
        preprocessing=replace(NO_NORMALIZATION, interpolation=first.preprocessing.interpolation),
        view=first.view,
        predictor=OneView(),
        white=first.white,
    )


def describe_ensemble(description: Mapping[str, Any], model: SavedModel, num: int) -> dict[str, Any]:
    """The `model.json` beside an export of `num` folds. description: that of one of them. Normalization is inside."""
    preprocessing = asdict(model.view) | asdict(model.preprocessing)
    return {**description, "predictor": {"_option_": "none"}, "preprocessing": preprocessing, "folds": num}
