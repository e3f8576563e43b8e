"""Evaluation of saved weights, on their own data set or on another one.

The view and the predictor are those saved with the weights, unless the command sets others.
"""

import hashlib
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
from sota_exp.stages.data import DataSet, Preprocessing
from sota_exp.stages.evaluation import EvaluationView, FineTuning, NoFineTuning, Predictor, Resolution, ViewChoice
from sota_exp.stages.random import RandomStreams
from sota_exp.training.device import get_device_name, set_up_process
from sota_exp.training.distributed import World
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.final_scores import choose_view, score_splits
from sota_exp.training.memory import get_peak_memory, reset_peak_memory
from sota_exp.training.session import make_autocast


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

    @property
    def sets_fine_tune(self) -> bool:
        return self.is_set("evaluation.fine_tune")

    @property
    def sets_predictor(self) -> bool:
        return self.is_set("evaluation.tta")

    @property
    def fine_tune(self) -> FineTuning:
        return self.experiment.evaluation.fine_tune if self.sets_fine_tune else NoFineTuning()

    def resolution(self, model: SavedModel) -> Resolution:
        """The saved view, or the configured resolution with the saved view's sizes where the command sets none."""
        view = model.view
        resolution: Any = self.experiment.evaluation.resolution
        if not self.is_set("evaluation.resolution", "data.image_size", "data.crop_ratio"):
            return SavedView(view=view)
        saved = {("size", "data.image_size"): view.size, ("crop_ratio", "data.crop_ratio"): view.size / view.resize}
        has = {field.name for field in fields(resolution)}
        kept = {
            name: value
            for (name, key), value in saved.items()
            if name in has and not self.is_set(f"evaluation.resolution.{name}", key)
        }
        configured: Resolution = replace(resolution, **kept)
        return configured

    def preprocessing(self, model: SavedModel) -> Preprocessing:
        interpolation = self.experiment.data.interpolation
        if interpolation is None or not self.is_set("data.interpolation"):
            return model.preprocessing
        return replace(model.preprocessing, interpolation=interpolation)

    def predictor(self, model: SavedModel) -> Predictor:
        return self.experiment.evaluation.tta if self.sets_predictor else model.predictor


def evaluate_saved(rescoring: SavedEvaluation, directory: Path) -> dict[str, Any]:
    """Evaluate, and write `result.json`, `predictions.npz` and the evaluated model to `directory`.

    Returns the content of `result.json`; an equal evaluation that is there already is not repeated.

    Raises:
        ConfigError: the data set has other classes than the model, or the directory holds another result.
    """
    experiment = rescoring.experiment
    world, device = set_up_process(experiment)
    reset_peak_memory(device)
    data = open_data(experiment)
    model = (
        load_evaluated_model(rescoring.description, rescoring.weights)
        if rescoring.description
        else build_configured_model(rescoring, data)
    )
    data = reorder_labels(data, model.classes)
    prints = (rescoring.training_fingerprint, compute_evaluation_fingerprint(rescoring, model, data))
    files = RunFiles(directory=directory)
    if (previous := files.result()) is not None:
        if previous["fingerprint"] == prints[1]:
            return previous
        raise ConfigError(
            f"hydra.run.dir={directory} holds another result; choose another directory, or remove this one"
        )
    began = time.monotonic()
    evaluator = build_evaluator(rescoring, model, data, world, device)
    network = model.network.to(device).to(memory_format=evaluator.memory_format)
    result = build_empty_result(experiment.seed, rescoring.configuration.choices, prints)
    resolution = rescoring.resolution(model)
    streams = RandomStreams(seed=experiment.seed, rank=world.rank, world_size=world.size)
    rescoring.fine_tune(network, evaluator.get_training_images(resolution.views()[0]), streams)
    chosen = choose_view(network, evaluator, resolution)
    arrays = score_splits(network, chosen, evaluator, result)
    result |= {
        "status": "finished",
        "weights": str(rescoring.weights),
        "seconds": {"evaluate": time.monotonic() - began},
        "parameters": count_parameters(network),
        "peak_memory_bytes": get_peak_memory(device),
        "device": get_device_name(device),
    }
    if world.is_main:
        write_atomically(files.predictions, lambda file: np.savez(file, allow_pickle=False, **arrays))
        write_evaluated_model(rescoring, model, network, evaluator, chosen.view, files)
        files.write_config(rescoring.configuration.values)
        files.write_result(result)
    return result


def build_evaluator(
    rescoring: SavedEvaluation, model: SavedModel, data: DataSet, world: World, device: torch.device
) -> Evaluator:
    """The evaluator of a saved model, with what the command replaces of what was saved."""
    runtime = rescoring.experiment.runtime
    return Evaluator(
        data=data,
        predictor=rescoring.predictor(model),
        preprocessing=rescoring.preprocessing(model),
        batch_size=rescoring.experiment.evaluation.batch_size,
        device=device,
        world=world,
        autocast=make_autocast(runtime, device),
        memory_format=torch.channels_last if runtime.channels_last else torch.contiguous_format,
    )


def write_evaluated_model(
    rescoring: SavedEvaluation,
    model: SavedModel,
    network: nn.Module,
    evaluator: Evaluator,
    view: EvaluationView,
    files: RunFiles,
) -> None:
    """Write the evaluated model: its weights, and a `model.json` with the view and predictor of the evaluation."""
    description = rescoring.description
    if description is None:
        saved_as = saved.build_description(rescoring.configuration.values, model.classes, model.preprocessing, view)
    else:
        saved_as = read_description(description) or {}
    predictor = (
        rescoring.configuration.values["evaluation"]["tta"] if rescoring.sets_predictor else saved_as["predictor"]
    )
    preprocessing = asdict(view) | asdict(evaluator.preprocessing)
    write_weights(files.weights, network.state_dict())
    files.write_model(saved_as | {"predictor": predictor, "preprocessing": preprocessing})


def build_configured_model(rescoring: SavedEvaluation, data: DataSet) -> SavedModel:
    """The configured network with the given weights, for the classes of the data set.

    Raises:
        ConfigError: the weights do not fit the network, or have another number of classes.
    """
    experiment = rescoring.experiment
    network = build_network(experiment, len(data.classes))
    head = find_classifier_name(network)
    given = read_state(str(rescoring.weights), rescoring.configuration.values["model"]["weights"]["prefix"])
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


def compute_evaluation_fingerprint(rescoring: SavedEvaluation, model: SavedModel, data: DataSet) -> str:
    """Hash of the weights, the images and the evaluation."""
    evaluation, images = rescoring.configuration.values["evaluation"], torch.cat([data.val, data.test])
    precision = rescoring.configuration.values["runtime"]["precision"]
    tuning = [evaluation["fine_tune"], rescoring.experiment.seed, len(data.train)] if rescoring.sets_fine_tune else []
    view, preprocessing = str(rescoring.resolution(model)), asdict(rescoring.preprocessing(model))
    return compute_digest(
        {
            "weights": hash_tensors(model.network.state_dict()),
            "data": [data.digest, len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest()],
            "evaluation": [view, preprocessing, str(rescoring.predictor(model)), precision, *tuning],
        }
    )
