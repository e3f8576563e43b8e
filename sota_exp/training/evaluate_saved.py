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
from sota_exp.config.hashing import digest
from sota_exp.data.open import open_data
from sota_exp.errors import ConfigError, first_line
from sota_exp.models import saved
from sota_exp.models.build import build_network, preprocessing_of
from sota_exp.models.cost import parameter_count
from sota_exp.models.model_json import read_description
from sota_exp.models.parts import classifier_name
from sota_exp.models.saved import SavedModel
from sota_exp.models.weight_files import content_hash, read_state
from sota_exp.runs.atomic import write_atomically
from sota_exp.runs.files import RunFiles, write_weights
from sota_exp.runs.result import empty_result
from sota_exp.stages.data import DataSet, Preprocessing
from sota_exp.stages.evaluation import AsTrained, Choice, FineTune, Predictor, Resolution, View
from sota_exp.stages.random import Streams
from sota_exp.training.device import device_name, on_this_machine
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.final_scores import choose_view, score
from sota_exp.training.memory import forget_peak, peak
from sota_exp.training.session import autocast


@dataclass(frozen=True, kw_only=True)
class AsSaved(Resolution):
    """The view that was saved with the weights."""

    view: View

    def views(self) -> list[View]:
        return [self.view]

    def choose(self, correct: Tensor, labels: Tensor) -> Choice:
        return Choice(index=0, report={})


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Saved weights that are to be evaluated.

    description: path of the `model.json`; if None, the configuration describes the network. training_fingerprint: of
    the training that made the weights, or "".
    """

    weights: Path
    description: Path | None
    training_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Rescoring:
    """An evaluation of saved weights. asked: keys that the command sets, which replace the saved values."""

    subject: Subject
    configuration: Configuration
    asked: frozenset[str]

    @property
    def experiment(self) -> Experiment:
        return self.configuration.experiment

    def asks_for(self, *nodes: str) -> bool:
        """Whether the command sets one of these keys, or one below them."""
        return any(f"{key}.".startswith(f"{node}.") for key in self.asked for node in nodes)

    @property
    def asks_for_tuning(self) -> bool:
        return self.asks_for("evaluation.fine_tune")

    @property
    def asks_for_predictor(self) -> bool:
        return self.asks_for("evaluation.tta")

    @property
    def fine_tune(self) -> FineTune:
        return self.experiment.evaluation.fine_tune if self.asks_for_tuning else AsTrained()

    def resolution(self, model: SavedModel) -> Resolution:
        """The saved view, or the configured resolution with the saved view's sizes where the command sets none."""
        view = model.view
        resolution: Any = self.experiment.evaluation.resolution
        if not self.asks_for("evaluation.resolution", "data.image_size", "data.crop_ratio"):
            return AsSaved(view=view)
        saved = {("size", "data.image_size"): view.size, ("crop_ratio", "data.crop_ratio"): view.size / view.resize}
        has = {field.name for field in fields(resolution)}
        kept = {
            name: value
            for (name, key), value in saved.items()
            if name in has and not self.asks_for(f"evaluation.resolution.{name}", key)
        }
        configured: Resolution = replace(resolution, **kept)
        return configured

    def preprocessing(self, model: SavedModel) -> Preprocessing:
        interpolation = self.experiment.data.interpolation
        if interpolation is None or not self.asks_for("data.interpolation"):
            return model.preprocessing
        return replace(model.preprocessing, interpolation=interpolation)

    def predictor(self, model: SavedModel) -> Predictor:
        return self.experiment.evaluation.tta if self.asks_for_predictor else model.predictor


def rescore(rescoring: Rescoring, directory: Path) -> dict[str, Any]:
    """Evaluate, and write `result.json`, `predictions.npz` and the evaluated model to `directory`.

    Returns the content of `result.json`; an equal evaluation that is there already is not repeated.

    Raises:
        ConfigError: the data set has other classes than the model, or the directory holds another result.
    """
    experiment = rescoring.experiment
    world, device = on_this_machine(experiment)
    forget_peak(device)
    data = open_data(experiment)
    model = load(rescoring.subject) if rescoring.subject.description else as_configured(rescoring, data)
    data = with_classes(data, model.classes)
    prints = (rescoring.subject.training_fingerprint, fingerprint(rescoring, model, data))
    files = RunFiles(directory=directory)
    if (previous := files.result()) is not None:
        if previous["fingerprint"] == prints[1]:
            return previous
        raise ConfigError(
            f"hydra.run.dir={directory} holds another result; choose another directory, or remove this one"
        )
    began = time.monotonic()
    memory_format = torch.channels_last if experiment.runtime.channels_last else torch.contiguous_format
    evaluator = Evaluator(
        data=data,
        predictor=rescoring.predictor(model),
        preprocessing=rescoring.preprocessing(model),
        batch_size=experiment.evaluation.batch_size,
        device=device,
        world=world,
        autocast=autocast(experiment.runtime, device),
        memory_format=memory_format,
    )
    network = model.network.to(device).to(memory_format=memory_format)
    result = empty_result(experiment.seed, rescoring.configuration.choices, prints, resumed=0)
    resolution = rescoring.resolution(model)
    streams = Streams(seed=experiment.seed, rank=world.rank, world_size=world.size)
    rescoring.fine_tune(network, evaluator.training_view(resolution.views()[0]), streams)
    chosen = choose_view(network, evaluator, resolution)
    arrays = score(network, chosen, evaluator, result)
    result |= {
        "status": "finished",
        "weights": str(rescoring.subject.weights),
        "seconds": {"evaluate": time.monotonic() - began},
        "parameters": parameter_count(network),
        "peak_memory_bytes": peak(device),
        "device": device_name(device),
    }
    if world.is_main:
        write_atomically(files.predictions, lambda file: np.savez(file, allow_pickle=False, **arrays))
        write_model(rescoring, model, network, evaluator, chosen.view, files)
        files.write_config(rescoring.configuration.values)
        files.write_result(result)
    return result


def write_model(
    rescoring: Rescoring,
    model: SavedModel,
    network: nn.Module,
    evaluator: Evaluator,
    view: View,
    files: RunFiles,
) -> None:
    """Write the evaluated model: its weights, and a `model.json` with the view and predictor of the evaluation."""
    description = rescoring.subject.description
    if description is None:
        saved_as = saved.description(rescoring.configuration.values, model.classes, model.preprocessing, view)
    else:
        saved_as = read_description(description) or {}
    predictor = (
        rescoring.configuration.values["evaluation"]["tta"] if rescoring.asks_for_predictor else saved_as["predictor"]
    )
    preprocessing = asdict(view) | asdict(evaluator.preprocessing)
    write_weights(files.weights, network.state_dict())
    files.write_model(saved_as | {"predictor": predictor, "preprocessing": preprocessing})


def as_configured(rescoring: Rescoring, data: DataSet) -> SavedModel:
    """The configured network with the given weights, for the classes of the data set.

    Raises:
        ConfigError: the weights do not fit the network, or have another number of classes.
    """
    experiment = rescoring.experiment
    network = build_network(experiment, len(data.classes))
    head = classifier_name(network)
    given = read_state(str(rescoring.subject.weights), rescoring.configuration.values["model"]["weights"]["prefix"])
    known = len(given[f"{head}.weight"])
    if known != len(data.classes):
        raise ConfigError(
            f"data: the set has {len(data.classes)} classes, the weights have {known}; choose a set with these classes"
        )
    return SavedModel(
        network=network.eval(),
        classes=data.classes,
        preprocessing=preprocessing_of(experiment, data),
        view=experiment.evaluation.resolution.views()[0],
        predictor=experiment.evaluation.tta,
    )


def load(subject: Subject) -> SavedModel:
    """The saved network.

    Raises:
        ConfigError: a file cannot be read, or the weights do not fit the description.
    """
    assert subject.description is not None, "a model.json"
    try:
        return saved.load(subject.description, subject.weights)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        cause = first_line(error)
        raise ConfigError(f"{subject.weights} and {subject.description} do not make a model: {cause}") from error


def with_classes(data: DataSet, classes: tuple[str, ...]) -> DataSet:
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


def fingerprint(rescoring: Rescoring, model: SavedModel, data: DataSet) -> str:
    """Hash of the weights, the images and the evaluation."""
    evaluation, images = rescoring.configuration.values["evaluation"], torch.cat([data.val, data.test])
    precision = rescoring.configuration.values["runtime"]["precision"]
    tuning = [evaluation["fine_tune"], rescoring.experiment.seed, len(data.train)] if rescoring.asks_for_tuning else []
    view, preprocessing = str(rescoring.resolution(model)), asdict(rescoring.preprocessing(model))
    return digest(
        {
            "weights": content_hash(model.network.state_dict()),
            "data": [data.digest, len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest()],
            "evaluation": [view, preprocessing, str(rescoring.predictor(model)), precision, *tuning],
        }
    )
