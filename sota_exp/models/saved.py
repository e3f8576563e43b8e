"""A model that stands alone: `model.safetensors` holds the weights, `model.json` how to build and to feed them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from sota_exp.config.build import build
from sota_exp.config.formats import FORMAT
from sota_exp.models.model_json import read_description
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.evaluation import Predictor, View
from sota_exp.stages.model import Model, ModelTransform

#: What regularization changes of a network, in the order in which it is applied.
TRANSFORMS = (
    "norm",
    "stochastic_depth",
    "dropout",
)


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A network in eval mode with its own preprocessing."""

    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    view: View
    predictor: Predictor


def description(
    tree: dict[str, Any], classes: tuple[str, ...], preprocessing: Preprocessing, view: View
) -> dict[str, Any]:
    """The content of `model.json`."""
    return {
        "format": FORMAT,
        "arch": tree["model"]["arch"],
        "transforms": {name: tree["regularization"][name] for name in TRANSFORMS},
        "predictor": tree["evaluation"]["tta"],
        "classes": list(classes),
        "preprocessing": asdict(view) | asdict(preprocessing),
    }


def described(description: Mapping[str, Any]) -> nn.Module:
    """The untrained network of a `model.json`: its architecture, with its classes, as regularization changed it.

    Raises `ConfigError` for a description that does not build.
    """
    network = build(Model, description["arch"], "model.arch")(len(description["classes"]))
    for name in TRANSFORMS:
        if name in description["transforms"]:  # not one that came to regularization after the file was written
            network = build(ModelTransform, description["transforms"][name], f"regularization.{name}")(network)
    return network


def load(description_path: Path, weights_path: Path) -> SavedModel:
    """Rebuild the network and read its weights.

    Raises:
        ConfigError: a description that does not build. OSError, RuntimeError: weights that are not there or do not fit.
        ValueError: no description.
    """
    saved = read_description(description_path)
    if saved is None:
        raise ValueError(f"{description_path} does not describe a model")
    network = described(saved)
    network.load_state_dict(load_file(weights_path))
    preprocessing = saved["preprocessing"]
    return SavedModel(
        network=network.eval(),
        classes=tuple(saved["classes"]),
        preprocessing=Preprocessing(
            mean=tuple(preprocessing["mean"]),
            std=tuple(preprocessing["std"]),
            interpolation=preprocessing.get("interpolation", "bilinear"),  # what earlier runs did, and did not write
        ),
        view=View(resize=preprocessing["resize"], size=preprocessing["size"]),
        predictor=build(Predictor, saved["predictor"], "evaluation.tta"),
    )
