"""The networks of all folds of a cross-validation as one model, which answers with the mean of their probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sota_exp.errors import ConfigError
from sota_exp.models.saved import SavedModel
from sota_exp.models.standalone import StandaloneModel
from sota_exp.models.weight_files import NO_NORMALIZATION
from sota_exp.stages.evaluation import EvaluationView, OneView


class ResizedModel(nn.Module):
    """RGB images, float [B, 3, S, S] in [0, 1], in a view that has all of the model's own → logits [B, C].

    They are resized as its own view does it, and its part is cut. They were resized once before, so that the answer is
    close to, not exactly, that in its own view.
    """

    def __init__(self, model: SavedModel, view: EvaluationView) -> None:
        super().__init__()
        self.model, self.size = StandaloneModel(model), model.view.size
        self.resize = max(self.size, round(view.size * model.view.resize / view.resize))
        margin = (self.resize - self.size) // 2
        self.inside = slice(margin, margin + self.size)

    def forward(self, images: Tensor) -> Tensor:
        resized = functional.interpolate(images, size=(self.resize, self.resize), mode="bilinear", antialias=True)
        return cast(Tensor, self.model(resized[..., self.inside, self.inside]))


class FoldEnsemble(nn.Module):
    """RGB images, float [B, 3, S, S] in [0, 1] → logarithms of mean probabilities [B, C], whose softmax is the mean.

    view: in which they are read.
    """

    def __init__(self, models: Sequence[SavedModel], view: EvaluationView) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            StandaloneModel(model) if model.view == view else ResizedModel(model, view) for model in models
        )

    def forward(self, images: Tensor) -> Tensor:
        shares = torch.stack([member(images).float().softmax(1) for member in self.members]).mean(0)
        return shares.clamp_min(torch.finfo(torch.float32).tiny).log()


def average_folds(models: Sequence[SavedModel], name: str) -> SavedModel:
    """One model of those of all folds; each normalizes images as in its own training. name: for the error.

    Images are read in a view that has those of all: as large as the largest, and as much of the image as any.

    Raises:
        ConfigError: they have other classes, or resize by another interpolation.
    """
    first = models[0]
    for each in models[1:]:
        if each.classes != first.classes or each.white != first.white:
            raise ConfigError(f"{name}: its folds have other classes or another white: name one of them")
        if each.preprocessing.interpolation != first.preprocessing.interpolation:
            raise ConfigError(f"{name}: its folds resize images by other interpolations: name one of them")
    resize = max(each.view.resize for each in models)
    view = EvaluationView(resize=resize, size=max(round(resize * each.view.size / each.view.resize) for each in models))
    return SavedModel(
        network=FoldEnsemble(models, view).eval(),
        classes=first.classes,
        preprocessing=replace(NO_NORMALIZATION, interpolation=first.preprocessing.interpolation),
        view=view,
        predictor=OneView(),
        white=first.white,
        weights=tuple(path for each in models for path in each.weights),
    )


def describe_ensemble(description: Mapping[str, Any], model: SavedModel, num: int) -> dict[str, Any]:
    """The `model.json` beside an export of `num` folds. description: that of one of them. Normalization is inside."""
    preprocessing = asdict(model.view) | asdict(model.preprocessing)
    return {**description, "predictor": {"_option_": "none"}, "preprocessing": preprocessing, "folds": num}
