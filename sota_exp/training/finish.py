"""The end of a training: the model is written, read back from its files and scored, so scores are of the files."""

from typing import Any

import numpy as np
from torch import nn

from sota_exp.errors import RunFailed
from sota_exp.models import saved
from sota_exp.runs.atomic import write_atomically
from sota_exp.runs.files import write_weights
from sota_exp.stages.evaluation import View
from sota_exp.training.final_scores import choose_view, score
from sota_exp.training.listener import Request
from sota_exp.training.metrics import scores
from sota_exp.training.trainer import Training
from sota_exp.training.worst_mistakes import write_mistakes


def ship(request: Request, training: Training, result: dict[str, Any]) -> None:
    """Write the weights, read them back, score them on val and test, and write the scores into `result`.

    Raises:
        RunFailed: the files score differently on val than the network in memory.
    """
    evaluation, session, files = request.experiment.evaluation, training.session, training.files
    weights = {"best": training.best, "last": training.shipping_weights()}
    if session.world.is_main:
        for which, tensors in weights.items():
            write_weights(files.kept(which), tensors)
        write_weights(files.weights, weights[evaluation.select])
        write_model(request, training, evaluation.resolution.views()[0])
    session.world.wait()
    network = written_network(training)
    tuned = evaluation.fine_tune(
        network, training.evaluator.training_view(evaluation.resolution.views()[0]), session.streams
    )
    if tuned:
        network = rewritten_network(training, network)
    chosen_view = choose_view(network, training.evaluator, evaluation.resolution)
    chosen = training.epochs[training.best_epoch if evaluation.select == "best" else -1]
    if not tuned:
        check_rescored(chosen["val/accuracy"], *rescored(network, training))
    arrays = score(network, chosen_view, training.evaluator, result)
    result["metrics"] |= {"best/epoch": training.best_epoch, "train/loss": chosen["train/loss"]}
    if session.world.is_main:
        write_model(request, training, chosen_view.view)
        write_atomically(files.predictions, lambda file: np.savez(file, allow_pickle=False, **arrays))
        interpolation = training.evaluator.preprocessing.interpolation
        write_mistakes(files.directory, session.data, chosen_view.view, interpolation, arrays)


def rescored(network: nn.Module, training: Training) -> tuple[float, int]:
    """Accuracy on val, measured as after every epoch, and the number of images."""
    evaluator = training.validator
    view = training.session.experiment.evaluation.resolution.views()[0]
    logits = evaluator.logits(network, "val", view)
    return scores(logits, evaluator.labels("val"))["accuracy"], len(logits)


def written_network(training: Training) -> nn.Module:
    """The network, read from its files, on the device."""
    session = training.session
    network = saved.load(training.files.model, training.files.weights).network.to(session.device)
    return network.to(memory_format=session.memory_format)


def rewritten_network(training: Training, network: nn.Module) -> nn.Module:
    """Write the fine-tuned weights of `network`, equal on every process, over the trained ones, and read them back."""
    world = training.session.world
    world.wait()
    if world.is_main:
        write_weights(training.files.weights, network.state_dict())
    world.wait()
    return written_network(training)


def write_model(request: Request, training: Training, view: View) -> None:
    """Write `model.json`: how the network is built, and how its inputs are prepared for `view`."""
    classes, preprocessing = training.session.data.classes, training.evaluator.preprocessing
    training.files.write_model(saved.description(request.configuration.values, classes, preprocessing, view))


def check_rescored(trained: float, rescored: float, num_images: int) -> None:
    """Compare the accuracies on val of the network in memory and of its files.

    One image in a thousand may differ: kernels that are chosen by speed round differently.

    Raises:
        RunFailed: more images differ.
    """
    if abs(round(rescored * num_images) - round(trained * num_images)) > max(1, num_images // 1000):
        raise RunFailed(f"the saved model scores {rescored:.4f} on val, the trained one scored {trained:.4f}")
