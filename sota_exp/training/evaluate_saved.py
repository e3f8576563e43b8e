"""Evaluation of saved weights, on their own data set or on another one.

The view and the predictor are those saved with the weights, unless the command sets others.
"""

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.config.hashing import compute_digest
from sota_exp.data.open import open_data
from sota_exp.errors import ConfigError, first_line
from sota_exp.models import saved
from sota_exp.models.build import build_network, get_preprocessing
from sota_exp.models.cost import count_parameters
from sota_exp.models.model_json import read_description
from sota_exp.models.parts import find_classifier_name
from sota_exp.models.saved import SavedModel
from sota_exp.models.weight_files import hash_tensors, read_state
from sota_exp.runs.atomic import write_atomically
from sota_exp.runs.files import RunFiles, write_weights
from sota_exp.runs.result_json import build_empty_result
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView, Resolution, ViewChoice
from sota_exp.stages.random import RandomStreams
from sota_exp.training.class_order_check import require_certain_order, warn_of_another_order
from sota_exp.training.device import get_device_name, set_up_process
from sota_exp.training.final_scores import choose_view, score_splits
from sota_exp.training.memory import get_peak_memory, reset_peak_memory
from sota_exp.training.session import build_evaluator


@dataclass(frozen=True, kw_only=True)
class SavedView(Resolution):
    """The view that was saved with the weights."""

    view: EvaluationView

    def views(self) -> list[EvaluationView]:
        return [self.view]

    def choose(self, correct: Tensor, labels: Tensor) -> ViewChoice:
        return ViewChoice(index=0, report={})


@dataclass(frozen=True, kw_only=True)
class SavedEvaluation:
    """An evaluation of saved weights.

    description: path of the `model.json`; if None, the configuration describes the network. training_fingerprint: of
    the training that made the weights, or "". asked: keys that the command sets, which replace the saved values.
    """

    weights: Path
    description: Path | None
    training_fingerprint: str
    configuration: Configuration
    asked: frozenset[str]

    @property
    def experiment(self) -> Experiment:
        return self.configuration.experiment

    def is_set(self, *nodes: str) -> bool:
        """Whether the command sets one of these keys, or one below them."""
        return any(f"{key}.".startswith(f"{node}.") for key in self.asked for node in nodes)

    def load_model(self, data: DataSet) -> SavedModel:
        """The model, with the interpolation and the predictor that the command sets."""
        if self.description is None:
            model = build_configured_model(self, data)
        else:
            model = load_evaluated_model(self.description, self.weights)
        interpolation, predictor = self.experiment.data.interpolation, self.experiment.evaluation.tta
        if interpolation is not None and self.is_set("data.interpolation"):
            model = replace(model, preprocessing=replace(model.preprocessing, interpolation=interpolation))
        return replace(model, predictor=predictor) if self.is_set("evaluation.tta") else model

    def resolution(self, view: EvaluationView) -> Resolution:
        """The saved view, or the configured resolution with the saved view's sizes where the command sets none."""
        resolution: Any = self.experiment.evaluation.resolution
        if not self.is_set("evaluation.resolution", "data.image_size", "data.crop_ratio"):
            return SavedView(view=view)
        saved = {("size", "data.image_size"): view.size, ("crop_ratio", "data.crop_ratio"): view.size / view.resize}
        kept = {
            name: value
            for (name, key), value in saved.items()
            if name in vars(resolution) and not self.is_set(f"evaluation.resolution.{name}", key)
        }
        configured: Resolution = replace(resolution, **kept)
        return configured


def evaluate_saved(evaluation: SavedEvaluation, directory: Path) -> dict[str, Any]:
    """Evaluate, and write `result.json`, `predictions.npz` and the evaluated model to `directory`.

    Returns the content of `result.json`; an equal evaluation that is there already is not repeated.

    Raises:
        ConfigError: the directory holds another result.
    """
    experiment = evaluation.experiment
    world, device = set_up_process(experiment)
    reset_peak_memory(device)
    data = open_data(experiment)
    model = evaluation.load_model(data)
    data = reorder_labels(data, model.classes)
    resolution = evaluation.resolution(model.view)
    fingerprint = compute_evaluation_fingerprint(evaluation, model, resolution, data)
    files = RunFiles(directory=directory)
    if (previous := files.result()) is not None:
        if previous["fingerprint"] == fingerprint:
            return previous
        raise ConfigError(
            f"hydra.run.dir={directory} holds another result; choose another directory, or remove this one"
        )
    began = time.monotonic()
    evaluator = build_evaluator(experiment, data, model.preprocessing, model.predictor, world, device)
    network = model.network.to(device).to(memory_format=evaluator.memory_format)
    prints = (evaluation.training_fingerprint, fingerprint)
    result = build_empty_result(experiment.seed, evaluation.configuration.choices, prints)
    if evaluation.is_set("evaluation.fine_tune"):
        streams = RandomStreams(seed=experiment.seed, rank=world.rank, world_size=world.size)
        images = evaluator.get_training_images(resolution.views()[0])
        experiment.evaluation.fine_tune(network, images, streams)
    chosen = choose_view(network, evaluator, resolution)
    arrays = score_splits(network, chosen, evaluator, result)
    if evaluation.description is None:
        warn_of_another_order(arrays, model.classes)
    result |= {
        "status": "finished",
        "weights": str(evaluation.weights),
        "seconds": {"evaluate": time.monotonic() - began},
        "parameters": count_parameters(network),
        "peak_memory_bytes": get_peak_memory(device),
        "device": get_device_name(device),
    }
    if world.is_main:
        write_atomically(files.predictions, lambda file: np.savez(file, allow_pickle=False, **arrays))
        write_evaluated_model(evaluation, model, chosen.view, files)
        files.write_config(evaluation.configuration.values)
        files.write_result(result)
    return result


def write_evaluated_model(
    evaluation: SavedEvaluation, model: SavedModel, view: EvaluationView, files: RunFiles
) -> None:
    """Write the evaluated model: its weights, and a `model.json` with the view and predictor of the evaluation."""
    values = evaluation.configuration.values
    saved_as = (
        saved.build_description(values, model.classes, model.preprocessing, view)
        if evaluation.description is None
        else read_description(evaluation.description) or {}
    )
    predictor = values["evaluation"]["tta"] if evaluation.is_set("evaluation.tta") else saved_as["predictor"]
    preprocessing = asdict(view) | asdict(model.preprocessing)
    write_weights(files.weights, model.network.state_dict())
    files.write_model(saved_as | {"predictor": predictor, "preprocessing": preprocessing})


def build_configured_model(evaluation: SavedEvaluation, data: DataSet) -> SavedModel:
    """The configured network with the given weights, for the classes of the data set.

    Raises:
        ConfigError: the weights have another number of classes, or the order of their classes is uncertain.
    """
    experiment = evaluation.experiment
    require_certain_order(experiment.data, data.classes, evaluation.is_set("data.class_order"))
    network = build_network(experiment, len(data.classes))
    head = find_classifier_name(network)
    given = read_state(str(evaluation.weights), evaluation.configuration.values["model"]["weights"]["prefix"])
    known = len(given[f"{head}.weight"])
    if known != len(data.classes):
        raise ConfigError(
            f"data: the set has {len(data.classes)} classes, the weights have {known}; choose a set with these classes"
        )
    return SavedModel(
        network=network.eval(),
        classes=data.classes,
        preprocessing=get_preprocessing(experiment, data),
        view=experiment.evaluation.resolution.views()[0],
        predictor=experiment.evaluation.tta,
    )


def load_evaluated_model(description: Path, weights: Path) -> SavedModel:
    """The saved network.

    Raises:
        ConfigError: a file cannot be read, or the weights do not fit the description.
    """
    try:
        return saved.load_saved_model(description, weights)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"{weights} and {description} do not make a model: {first_line(error)}") from error


def reorder_labels(data: DataSet, classes: tuple[str, ...]) -> DataSet:
    """The data set, its labels in the order of the model's classes.

    Raises:
        ConfigError: the set has other classes.
    """
    if len(data.classes) != len(classes):
        raise ConfigError(
            f"data: the set has {len(data.classes)} classes, the model has {len(classes)}; "
            "choose a set with the classes of the model"
        )
    unknown = [name for name in data.classes if name not in classes]
    if unknown:
        raise ConfigError(f"data: the model has no class {unknown[0]}; its classes are {', '.join(classes[:10])}")
    positions = torch.tensor([classes.index(name) for name in data.classes])
    return replace(data, labels=positions[data.labels], classes=classes)


def compute_evaluation_fingerprint(
    evaluation: SavedEvaluation, model: SavedModel, resolution: Resolution, data: DataSet
) -> str:
    """Hash of the weights, the images and the evaluation."""
    values, images = evaluation.configuration.values, torch.cat([data.val, data.test])
    tuned = evaluation.is_set("evaluation.fine_tune")
    tuning = [values["evaluation"]["fine_tune"], evaluation.experiment.seed, len(data.train)] if tuned else []
    view, predictor, precision = str(resolution), str(model.predictor), values["runtime"]["precision"]
    return compute_digest(
        {
            "weights": hash_tensors(model.network.state_dict()),
            "data": [data.digest, len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest()],
            "evaluation": [view, asdict(model.preprocessing), predictor, precision, *tuning],
        }
    )
