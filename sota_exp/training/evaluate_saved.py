"""Evaluation of saved weights, on their own data set or on another one.

The view and the predictor are those saved with the weights, unless the command sets others.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.config.hashing import compute_digest
from sota_exp.data.open import open_data
from sota_exp.data.split.folds import hash_groups
from sota_exp.errors import ConfigError, first_line
from sota_exp.models import saved
from sota_exp.models.cost import count_parameters
from sota_exp.models.memory_format import set_memory_format
from sota_exp.models.model_json import read_description
from sota_exp.models.saved import SavedModel
from sota_exp.models.weight_files import hash_tensors
from sota_exp.runs.files import RunFiles, write_weights
from sota_exp.runs.lock import lock_directory
from sota_exp.runs.result_json import build_empty_result
from sota_exp.stages.data import DataSet, Holdout
from sota_exp.stages.evaluation import EvaluationView, Resolution, ViewChoice
from sota_exp.stages.random import RandomStreams
from sota_exp.training.class_order_check import warn_of_another_order
from sota_exp.training.device import get_cuda_versions, get_device_name, hand_back_gpu, set_up_process
from sota_exp.training.distributed import World, compute_on_main
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.final_scores import choose_view, score_splits
from sota_exp.training.foreign_model import build_foreign_model
from sota_exp.training.input_sizes import require_input_sizes
from sota_exp.training.members import naming_lost_processes, open_together, require_same_inputs
from sota_exp.training.memory import get_peak_memory, reset_peak_memory
from sota_exp.training.prediction_files import write_predictions
from sota_exp.training.scored_data import choose_parts, open_outside_data, open_with_white, reorder_labels
from sota_exp.training.session import build_evaluator
from sota_exp.training.trained_on import count_trained_on, list_digests, read_trained_on

#: Keys of the command that name other data than the run's, and keys that cut val and test from them.
DATA_KEYS = frozenset(
    f"data{key}" for key in ("", ".root", ".path", ".dataset", ".config", ".revision", ".train", ".val", ".test")
)
SPLIT_KEYS = frozenset({"data.val_fraction", "data.test_fraction", "data.split_seed"})

#: Keys of the resize and crop, which weights of other programs do not say.
VIEW_KEYS = ("data.image_size", "data.crop_ratio", "data.interpolation")


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
    part: of the data, as `evaluation.part` names it; None: val and test. data_digest: of the training's data, or "".
    hydra_files: name → text, see `RunFiles.write_hydra_files`.
    """

    weights: Path
    description: Path | None
    training_fingerprint: str
    configuration: Configuration
    asked: frozenset[str]
    part: str | None = None
    data_digest: str = ""
    hydra_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        return self.configuration.experiment

    def is_set(self, *nodes: str) -> bool:
        """Whether the command sets one of these keys, or one below them."""
        return any(f"{key}.".startswith(f"{node}.") for key in self.asked for node in nodes)

    def open_data(self) -> DataSet:
        """The data to score; 16-bit files are read with the white of the training, unless the command sets another."""
        description = None if self.description is None else read_description(self.description)
        white = (description or {}).get("white")
        return open_with_white(self._open_data, self.experiment, white, self.is_set("data.white"))

    def _open_data(self, experiment: Experiment) -> DataSet:
        """The data of the run as in its training; others with the splits they have, or those that the command cuts."""
        is_of_run = self.training_fingerprint != ""
        if (is_of_run and self.asked.isdisjoint(DATA_KEYS)) or self.is_set("data.split"):
            return open_data(experiment)
        if not self.asked.isdisjoint(SPLIT_KEYS):  # The folds of the training are none of other data.
            return open_data(replace(experiment, data=replace(experiment.data, split=Holdout())))
        image_digests, is_limited = read_trained_on(self.weights), not is_of_run or self.is_set("scale")
        return open_outside_data(experiment, self.data_digest, image_digests, is_limited)

    def load_model(self, data: DataSet) -> SavedModel:
        """The model, with the interpolation and the predictor that the command sets."""
        if self.description is None:
            is_ordered, is_viewed = self.is_set("data.class_order"), all(map(self.is_set, VIEW_KEYS))
            model = build_foreign_model(self.configuration, self.weights, data, is_ordered, is_viewed)
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


@naming_lost_processes()
def evaluate_saved(evaluation: SavedEvaluation, directory: Path) -> dict[str, Any]:
    """Evaluate, and write `result.json`, the predictions and the evaluated model to `directory`.

    Returns the content of `result.json`; an equal evaluation that is there already is not repeated.

    Raises:
        ConfigError: the directory holds another result, or is in use.
    """
    try:
        world, device = set_up_process(evaluation.experiment)
        with lock_directory(directory) if world.is_main else nullcontext():
            return _evaluate(evaluation, directory, world, device)
    finally:
        hand_back_gpu()


def _evaluate(evaluation: SavedEvaluation, directory: Path, world: World, device: torch.device) -> dict[str, Any]:
    experiment = evaluation.experiment
    reset_peak_memory(device)
    data = open_together(evaluation.open_data)
    parts = choose_parts(data, evaluation.part)
    model = evaluation.load_model(data)
    data = reorder_labels(data, model.classes)
    resolution = evaluation.resolution(model.view)
    fingerprint = compute_evaluation_fingerprint(evaluation, model, resolution, data, parts)
    require_same_inputs(fingerprint)
    files = RunFiles(directory=directory)
    if (previous := compute_on_main(lambda: read_equal_evaluation(files, fingerprint), world)) is not None:
        return previous
    began = time.monotonic()
    evaluator = build_evaluator(experiment, data, model.preprocessing, model.predictor, world, device)
    network = set_memory_format(model.network.to(device), evaluator.memory_format)
    prints = (evaluation.training_fingerprint, fingerprint)
    result = build_empty_result(experiment.seed, evaluation.configuration.choices, prints)
    require_input_sizes(network, resolution.views())
    if evaluation.is_set("evaluation.fine_tune"):
        fine_tune(network, experiment, evaluator, resolution.views()[0])
    trained_on = find_trained_on(evaluation, data)
    chosen = choose_view(network, evaluator, resolution)
    arrays = score_splits(network, chosen, evaluator, result, parts)
    if evaluation.description is None:
        warn_of_another_order(arrays, model.classes)
    result |= {
        "status": "finished",
        "weights": str(evaluation.weights),
        "trained_on": None if trained_on is None else count_trained_on(data, [*result["evaluated_images"]], trained_on),
        "seconds": {"evaluate": time.monotonic() - began},
        "parameters": count_parameters(network),
        "peak_memory_bytes": get_peak_memory(device),
        "device": get_device_name(device),
        "versions": result["versions"] | get_cuda_versions(device),
    }
    if world.is_main:
        files.write_hydra_files(evaluation.hydra_files)
        write_predictions(files, data, arrays)
        write_evaluated_model(evaluation, model, chosen.view, files, trained_on)
        files.write_config(evaluation.configuration.values)
        files.write_result(result)
    return result


def read_equal_evaluation(files: RunFiles, fingerprint: str) -> dict[str, Any] | None:
    """The result of an equal evaluation that is in the directory.

    Raises:
        ConfigError: the directory holds another result, or an unfinished run.
    """
    if (previous := files.result()) is not None:
        if previous["fingerprint"] == fingerprint:
            return previous
        raise ConfigError(
            f"hydra.run.dir={files.directory} holds another result; choose another directory, or remove it"
        )
    if (files.directory / "start.json").exists():
        raise ConfigError(f"hydra.run.dir={files.directory} holds a run that is not finished; choose another directory")
    return None


def find_trained_on(evaluation: SavedEvaluation, data: DataSet) -> np.ndarray | None:
    """Digests of the images that the evaluated weights were trained on, int64 [N]; None if they are unknown."""
    known = read_trained_on(evaluation.weights)
    if known is None or not evaluation.is_set("evaluation.fine_tune"):
        return known
    return np.concatenate([known, list_digests(data)])


def fine_tune(network: nn.Module, experiment: Experiment, evaluator: Evaluator, view: EvaluationView) -> None:
    """Fine-tune the network, [B, 3, S, S] → [B, C], in place, on the training images in the view.

    Raises:
        ConfigError: the data set has no training images.
    """
    if len(evaluator.data.train) == 0:
        raise ConfigError("evaluation/fine_tune: it trains on images of the part train, and the data set has none")
    streams = RandomStreams(seed=experiment.seed, rank=evaluator.world.rank, world_size=evaluator.world.size)
    experiment.evaluation.fine_tune(network, evaluator.get_training_images(view), streams)


def write_evaluated_model(
    evaluation: SavedEvaluation, model: SavedModel, view: EvaluationView, files: RunFiles, trained_on: np.ndarray | None
) -> None:
    """Write the evaluated model: its weights, and a `model.json` with the view and predictor of the evaluation.

    trained_on: digests of the images that it was trained on, int64 [N], if they are known.
    """
    values = evaluation.configuration.values
    saved_as = (
        saved.build_description(values, model.classes, model.preprocessing, view, model.white)
        if evaluation.description is None
        else read_description(evaluation.description) or {}
    )
    predictor = values["evaluation"]["tta"] if evaluation.is_set("evaluation.tta") else saved_as["predictor"]
    preprocessing = asdict(view) | asdict(model.preprocessing)
    write_weights(files.weights, model.network.state_dict())
    if trained_on is not None:
        files.write_trained_on(trained_on)
    files.write_model(saved_as | {"predictor": predictor, "preprocessing": preprocessing})


def load_evaluated_model(description: Path, weights: Path) -> SavedModel:
    """The saved network.

    Raises:
        ConfigError: a file cannot be read, or the weights do not fit the description.
    """
    try:
        return saved.load_saved_model(description, weights)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"{weights} and {description} do not make a model: {first_line(error)}") from error


def compute_evaluation_fingerprint(
    evaluation: SavedEvaluation, model: SavedModel, resolution: Resolution, data: DataSet, parts: tuple[str, ...]
) -> str:
    """Hash of the weights, the images of the scored parts and the evaluation."""
    values, images = evaluation.configuration.values, torch.cat([data.part(name) for name in parts])
    names = [] if parts == ("val", "test") else parts
    tuned = evaluation.is_set("evaluation.fine_tune")
    tuning = [values["evaluation"]["fine_tune"], evaluation.experiment.seed, len(data.train)] if tuned else []
    view, predictor, precision = str(resolution), str(model.predictor), values["runtime"]["precision"]
    return compute_digest(
        {
            "weights": hash_tensors(model.network.state_dict()),
            "data": [data.digest, len(data.val), hashlib.sha256(images.numpy().tobytes()).hexdigest(), *names],
            "evaluation": [view, asdict(model.preprocessing), predictor, precision, *tuning],
            **hash_groups(data, evaluation.experiment.data.split),
        }
    )
