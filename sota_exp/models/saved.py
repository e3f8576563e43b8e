"""A saved model: `model.safetensors` contains the weights, `model.json` describes the network and its preprocessing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, load_file
from torch import nn

from sota_exp.config.build import build
from sota_exp.config.formats import FILE_FORMAT
from sota_exp.config.printable import is_utf8
from sota_exp.errors import DamagedFile
from sota_exp.models.model_json import TRANSFORM_SLOTS, read_description
from sota_exp.runs.digests import check_digest
from sota_exp.stages.data import INTERPOLATIONS, Preprocessing
from sota_exp.stages.evaluation import EvaluationView, Predictor
from sota_exp.stages.model import Model, ModelTransform


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A network in eval mode, its classes in the order of its logits, and its preprocessing.

    white: the value of white of 16-bit files that do not say it, as in the training; None where it had no such files.
    weights: the files that its networks were read from.
    """

    network: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    view: EvaluationView
    predictor: Predictor
    white: int | None = None
    weights: tuple[Path, ...] = ()


def build_description(
    tree: dict[str, Any],
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    view: EvaluationView,
    white: int | None = None,
) -> dict[str, Any]:
    """The content of `model.json`; tree: the composed configuration. white: see `SavedModel`."""
    return {
        "format": FILE_FORMAT,
        "arch": tree["model"]["arch"],
        "transforms": {name: tree["regularization"][name] for name in TRANSFORM_SLOTS},
        "predictor": tree["evaluation"]["tta"],
        "classes": list(classes),
        "preprocessing": asdict(view) | asdict(preprocessing),
        **({} if white is None else {"white": white}),
    }


def build_described_network(description: Mapping[str, Any]) -> nn.Module:
    """The untrained network that a `model.json` describes."""
    network = build(Model, description["arch"], "model.arch")(len(description["classes"]))
    for name in TRANSFORM_SLOTS:
        if name in description["transforms"]:  # older files do not have every slot
            network = build(ModelTransform, description["transforms"][name], f"regularization.{name}")(network)
    return network


def load_saved_model(description_path: Path, weights_path: Path) -> SavedModel:
    """Rebuild the network of a `model.json` and load its weights.

    Raises:
        ValueError: the file is not a `model.json` of a run, or one of the two is damaged.
    """
    saved = read_description(description_path)
    if saved is None:
        raise ValueError(f"{description_path} is not a model.json of a run")
    network = build_described_network(saved)
    check_digest(weights_path)
    # safetensors opens no path with bytes that are not UTF-8.
    is_openable = is_utf8(str(weights_path))
    network.load_state_dict(load_file(weights_path) if is_openable else load(weights_path.read_bytes()))
    preprocessing = saved["preprocessing"]
    if missing := {"mean", "std", "resize", "size"} - preprocessing.keys():
        raise DamagedFile(description_path, f"it has no preprocessing.{min(missing)}")
    interpolation = preprocessing.get("interpolation", "bilinear")  # older files do not have it
    if interpolation not in INTERPOLATIONS:
        legal = " or ".join(INTERPOLATIONS)
        raise DamagedFile(description_path, f"preprocessing.interpolation={interpolation}; legal: {legal}")
    return SavedModel(
        network=network.eval(),
        classes=tuple(saved["classes"]),
        preprocessing=Preprocessing(
            mean=tuple(preprocessing["mean"]),
            std=tuple(preprocessing["std"]),
            interpolation=interpolation,
        ),
        view=EvaluationView(resize=preprocessing["resize"], size=preprocessing["size"]),
        predictor=build(Predictor, saved["predictor"], "evaluation.tta"),
        white=saved.get("white"),
        weights=(weights_path,),
    )
