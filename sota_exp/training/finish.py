"""The end of a training: the model is written, read back from its files and scored, so scores are of the files."""

import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sota_exp.errors import RunFailed
from sota_exp.models import saved
from sota_exp.models.memory_format import set_memory_format
from sota_exp.runs.files import write_weights
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.training.distributed import compute_on_main
from sota_exp.training.final_scores import choose_view, score_splits
from sota_exp.training.listener import RunRequest
from sota_exp.training.prediction_files import write_predictions
from sota_exp.training.trainer import RunTrainer
from sota_exp.training.worst_mistakes import write_mistakes


def write_and_score(request: RunRequest, training: RunTrainer, result: dict[str, Any]) -> None:
    """Write the weights, read them back, score them on val and test, and write the scores into `result`."""
    evaluation, session, files = request.experiment.evaluation, training.session, training.files
    evaluator, weights = session.evaluator, {"best": training.best, "last": training.copy_evaluated_weights()}
    if session.world.is_main:
        for which, tensors in weights.items():
            write_weights(files.get_epoch_weights(which), tensors)
        write_model_json(request, training, session.default_view)
    network = write_and_load(training, weights[evaluation.select])
    tuned = evaluation.fine_tune(network, evaluator.get_training_images(session.default_view), session.streams)
    if tuned:
        network = write_and_load(training, network.state_dict())
    chosen_view = choose_view(network, evaluator, evaluation.resolution)
    saved_epoch = training.best_epoch if evaluation.select == "best" else len(training.epochs)
    chosen, result["saved_epoch"] = training.epochs[saved_epoch - 1], saved_epoch
    if not tuned:
        rescored = training.score_val(network)["val/accuracy"]
        require_equal_accuracy(chosen["val/accuracy"], rescored, len(session.data.val))
    arrays = score_splits(network, chosen_view, evaluator, result)
    result["metrics"] |= {"best/epoch": training.best_epoch, "train/loss": chosen["train/loss"]}
    if session.world.is_main:
        write_model_json(request, training, chosen_view.view)
        write_predictions(files, session.data, arrays)
        write_mistakes(files.directory, session.data, chosen_view.view, evaluator.preprocessing.interpolation, arrays)


def write_and_load(training: RunTrainer, weights: dict[str, Tensor]) -> nn.Module:
    """Write the final weights, name → [...], and read the network back from its files, on the device.

    Other processes read the files of the main one from its memory: they may be on another machine.
    """
    session, files = training.session, training.files

    def write() -> tuple[bytes, bytes]:
        write_weights(files.weights, weights)
        return (files.model.read_bytes(), files.weights.read_bytes()) if session.world.size > 1 else (b"", b"")

    contents = compute_on_main(write, session.world)
    with tempfile.TemporaryDirectory() as folder:
        model, path = files.model, files.weights
        if not session.world.is_main:
            model, path = (Path(folder) / each.name for each in (files.model, files.weights))
            for place, content in zip((model, path), contents, strict=True):
                place.write_bytes(content)
        network = saved.load_saved_model(model, path).network.to(session.device)
    return set_memory_format(network, session.memory_format)


def write_model_json(request: RunRequest, training: RunTrainer, view: EvaluationView) -> None:
    """Write `model.json`: how the network is built, and how its inputs are prepared for `view`."""
    data, preprocessing = training.session.data, training.session.evaluator.preprocessing
    values = request.configuration.values
    training.files.write_model(saved.build_description(values, data.classes, preprocessing, view, data.white))


def require_equal_accuracy(trained: float, rescored: float, num_images: int) -> None:
    """Compare the accuracies on val of the network in memory and of its files.

    One image in a thousand may differ: kernels that are chosen by speed round differently.

    Raises:
        RunFailed: more images differ.
    """
    if abs(round(rescored * num_images) - round(trained * num_images)) > max(1, num_images // 1000):
        raise RunFailed(
            f"the saved model scores {100 * rescored:.2f} % on val, the trained one scored {100 * trained:.2f} %"
        )
