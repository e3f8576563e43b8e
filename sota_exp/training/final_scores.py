"""Scores of finished weights: the view is chosen on val, then val and test are each scored from one set of logits."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sota_exp.data.split.folds import find_groups
from sota_exp.errors import ConfigError
from sota_exp.models.cost import count_flops
from sota_exp.stages.data import DataSet
from sota_exp.stages.evaluation import EvaluationView, Resolution
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.input_sizes import require_input_sizes
from sota_exp.training.metrics import (
    compute_confusion_matrix,
    compute_per_class_accuracy,
    find_confused_pairs,
    require_finite,
)

#: Images per batch, and timed batches after a first one, when the speed of a view is measured.
TIMING_BATCH_SIZE, TIMED_BATCHES = 16, 3

#: Seconds of timed batches of a size, after which none is added.
ENOUGH_TIMED = 0.1


@dataclass(frozen=True, kw_only=True)
class ChosenView:
    """The view of the final model, the field `resolution` of the result, and logits on val, [N, C], if computed."""

    view: EvaluationView
    logits: Tensor | None
    report: dict[str, Any]


def choose_view(network: nn.Module, evaluator: Evaluator, resolution: Resolution) -> ChosenView:
    """The default view, or the one that the search on val chooses.

    Raises:
        ConfigError: there is a search, and no val images.
    """
    views = resolution.views()
    if len(views) == 1:
        return ChosenView(view=views[0], logits=None, report={"chosen": asdict(views[0])})
    labels = evaluator.labels("val")
    if len(labels) == 0:
        legal = "data.val_fraction=0.2 splits some off, evaluation/resolution=fixed takes the size as it is"
        raise ConfigError(f"evaluation/resolution chooses the size on val, and the data set has no val images; {legal}")
    logits = evaluator.logits(network, "val", views[0])
    require_input_sizes(network, views)
    others = evaluator.predict_views(network, "val", views[1:])
    correct = torch.cat([logits.argmax(1)[None], others]) == labels
    choice = resolution.choose(correct, labels)
    view = views[choice.index]
    report = {"chosen": asdict(view), "default": asdict(views[0]), **choice.report}
    report["curve"] = [
        build_curve_point(network, evaluator, view, right) for view, right in zip(views, correct, strict=True)
    ]
    logits = evaluator.logits(network, "val", view) if choice.index else logits
    return ChosenView(view=view, logits=logits, report=report)


def build_curve_point(
    network: nn.Module, evaluator: Evaluator, view: EvaluationView, right: Tensor
) -> dict[str, float]:
    """An entry of `curve`: a view, its accuracy on val, and its cost. right: bool [N], correctness on val."""
    return {
        **asdict(view),
        "crop_ratio": view.size / view.resize,
        "val_accuracy": right.sum().item() / len(right),
        "gflops_per_image": count_flops(network, view.size) / 1e9,
        "milliseconds_per_image": measure_milliseconds_per_image(network, evaluator, view.size),
    }


@torch.inference_mode()
def measure_milliseconds_per_image(network: nn.Module, evaluator: Evaluator, size: int) -> float:
    """Time of the predictor at `size` px, without cropping: the fastest of a few batches, of one where it is slow."""
    images = torch.zeros(TIMING_BATCH_SIZE, 3, size, size, device=evaluator.device)
    images = images.to(memory_format=evaluator.memory_format)
    times = []
    for _ in range(1 + TIMED_BATCHES):
        began = time.perf_counter()
        with evaluator.autocast():
            evaluator.predictor(network, images).cpu()  # waits for the device
        times.append(time.perf_counter() - began)
        if sum(times[1:]) > ENOUGH_TIMED:
            break
    return 1000 * min(times[1:]) / TIMING_BATCH_SIZE


def score_splits(
    network: nn.Module,
    chosen: ChosenView,
    evaluator: Evaluator,
    result: dict[str, Any],
    parts: Sequence[str] = ("val", "test"),
) -> dict[str, np.ndarray]:
    """Write the scores on the parts of the data, and which images these are, into `result`.

    Accuracies per class and confusions are those of the last part. Returns the arrays of `predictions.npz`: per part,
    logits float32 [N, C], labels int64 [N], correctness as bits, uint8 [⌈N / 8⌉], which images of the data set these
    are, int64 [N], and where some vary together, the groups of all, int64 [N].

    Raises:
        RunFailed: a score is not finite.
    """
    arrays: dict[str, np.ndarray] = {}
    for split in parts:
        known = chosen.logits if split == "val" else None
        logits = evaluator.logits(network, split, chosen.view) if known is None else known
        labels = evaluator.labels(split)
        scores = {f"{split}/{name}": value for name, value in evaluator.compute_metrics(logits, labels).items()}
        require_finite(scores, "with the final weights", "try a lower evaluation.fine_tune.lr or optimizer.lr")
        result["metrics"] |= scores
        result["evaluated_images"][split] = len(labels)
        result["image_digests"][split] = hash_image_digests(evaluator.data, split)
        correct = (logits.argmax(1) == labels).numpy()
        arrays[f"{split}_logits"], arrays[f"{split}_labels"] = logits.numpy(), labels.numpy()
        arrays[f"{split}_correct"] = np.packbits(correct)
        arrays[f"{split}_images"] = evaluator.data.part(split).numpy()
        if (groups := find_groups(evaluator.data, split)) is not None:
            from sota_exp.statistics.groups import count_independent  # with SciPy, which few runs need

            arrays[f"{split}_groups"] = groups
            result.setdefault("independent_images", {})[split] = count_independent(correct, groups)
    result["per_class_accuracy"] = dict(
        zip(evaluator.data.classes, compute_per_class_accuracy(logits, labels), strict=True)
    )
    result["confusion_matrix"] = compute_confusion_matrix(logits, labels)
    result["confused_pairs"] = find_confused_pairs(result["confusion_matrix"], evaluator.data.classes)
    result["flops_per_image"] = count_flops(network, chosen.view.size)
    result["resolution"] = chosen.report
    return arrays


def hash_image_digests(data: DataSet, part: str) -> str:
    """A hexadecimal digest of the images of a part of the data, in order: equal for the same files anywhere."""
    digests = data.image_digests[data.part(part)].numpy().astype("<i8")
    return hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest()
