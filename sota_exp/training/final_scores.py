"""Scores of finished weights: the view is chosen on val, then val and test are each scored from one set of logits."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sota_exp.errors import ConfigError, first_line
from sota_exp.models.cost import flops_per_image
from sota_exp.stages.evaluation import Resolution, View
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.memory import is_out_of_memory
from sota_exp.training.metrics import confusion_matrix, per_class_accuracy, scores

#: Images per batch, and timed batches after a first one, when the speed of a view is measured.
TIMED_IMAGES, TIMED_BATCHES = 16, 3


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The view of the final model, its logits on val, float32 [N, C], and the field `resolution` of the result."""

    view: View
    logits: Tensor
    report: dict[str, Any]


def require_sizes(network: nn.Module, views: list[View]) -> None:
    """Run the network on a blank image of every size.

    Raises:
        ConfigError: the network cannot read a size, such as a transformer that is built for one size.
    """
    for size in sorted({view.size for view in views}):
        try:
            flops_per_image(network, size)
        except (AssertionError, RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            cause = first_line(error)
            raise ConfigError(
                f"evaluation/resolution: the network does not read images of {size} px: {cause}"
            ) from error


def choose_view(network: nn.Module, evaluator: Evaluator, resolution: Resolution) -> Chosen:
    """The default view, or the one that the search on val chooses."""
    views = resolution.views()
    labels = evaluator.labels("val")
    logits = evaluator.logits(network, "val", views[0])
    if len(views) == 1:
        return Chosen(view=views[0], logits=logits, report={"chosen": asdict(views[0])})
    require_sizes(network, views)
    others = evaluator.predicted(network, "val", views[1:])
    correct = torch.cat([logits.argmax(1)[None], others]) == labels
    choice = resolution.choose(correct, labels)
    view = views[choice.index]
    report = {"chosen": asdict(view), "default": asdict(views[0]), **choice.report}
    report["curve"] = [point(network, evaluator, view, right) for view, right in zip(views, correct, strict=True)]
    logits = evaluator.logits(network, "val", view) if choice.index else logits
    return Chosen(view=view, logits=logits, report=report)


def point(network: nn.Module, evaluator: Evaluator, view: View, right: Tensor) -> dict[str, float]:
    """An entry of `curve`: a view, its accuracy on val, and its cost. right: bool [N], correctness on val."""
    return {
        **asdict(view),
        "crop_ratio": view.size / view.resize,
        "val_accuracy": right.sum().item() / len(right),
        "gflops_per_image": flops_per_image(network, view.size) / 1e9,
        "milliseconds_per_image": milliseconds_per_image(network, evaluator, view.size),
    }


@torch.inference_mode()
def milliseconds_per_image(network: nn.Module, evaluator: Evaluator, size: int) -> float:
    """Time of the predictor at `size` px, without cropping: the fastest of a few batches."""
    images = torch.zeros(TIMED_IMAGES, 3, size, size, device=evaluator.device)
    images = images.to(memory_format=evaluator.memory_format)
    times = []
    for _ in range(1 + TIMED_BATCHES):
        began = time.perf_counter()
        with evaluator.autocast():
            evaluator.predictor(network, images).cpu()  # waits for the device
        times.append(time.perf_counter() - began)
    return 1000 * min(times[1:]) / TIMED_IMAGES


def score(network: nn.Module, chosen: Chosen, evaluator: Evaluator, result: dict[str, Any]) -> dict[str, np.ndarray]:
    """Write the scores on val and test into `result`; returns the arrays of `predictions.npz`."""
    arrays: dict[str, np.ndarray] = {}
    per_split = {"val": chosen.logits, "test": evaluator.logits(network, "test", chosen.view)}
    for split, logits in per_split.items():
        labels = evaluator.labels(split)
        result["metrics"] |= {f"{split}/{name}": value for name, value in scores(logits, labels).items()}
        result["evaluated_images"][split] = len(labels)
        arrays |= prediction_arrays(split, logits, labels)
    accuracies = per_class_accuracy(per_split["test"], evaluator.labels("test"))
    result["per_class_accuracy"] = dict(zip(evaluator.data.classes, accuracies, strict=True))
    result["confusion_matrix"] = confusion_matrix(per_split["test"], evaluator.labels("test"))
    result["flops_per_image"] = flops_per_image(network, chosen.view.size)
    result["resolution"] = chosen.report
    return arrays


def prediction_arrays(split: str, logits: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """The arrays of a split: logits float16 [N, C], labels int64 [N], and correctness as bits, uint8 [⌈N / 8⌉]."""
    correct = (logits.argmax(1) == labels).numpy()
    return {
        f"{split}_logits": logits.half().numpy(),
        f"{split}_labels": labels.numpy(),
        f"{split}_correct": np.packbits(correct),
    }
