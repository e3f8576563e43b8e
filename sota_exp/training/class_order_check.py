"""Whether weights of another program have their outputs in the order of the data's classes: said before and after."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from sota_exp.config.values import format_override_value
from sota_exp.data.class_order import natural_key
from sota_exp.data.image_files import FileSource
from sota_exp.data.splits import split_off
from sota_exp.errors import ConfigError
from sota_exp.stages.data import DataSource
from sota_exp.training.metrics import compute_confusion_matrix

#: Smallest gain in accuracy on test, in standard errors and as a fraction, that another order must bring.
LEAST_STANDARD_ERRORS, LEAST_GAIN = 3.0, 0.1

#: Number of classes that the warning names.
MAX_NAMED = 50

log = logging.getLogger(__name__)


def require_certain_order(source: DataSource, classes: Sequence[str], is_set: bool) -> None:
    """Check that the order of classes does not depend on how a program compares numbers in names.

    is_set: whether the command sets `data.class_order`.

    Raises:
        ConfigError: it depends on that, and is not set.
    """
    by_name, by_number = sorted(classes), sorted(classes, key=natural_key)
    if isinstance(source, FileSource) and not is_set and by_number != by_name:
        raise ConfigError(
            "data.class_order: the weights do not say in which order their classes are; set the one of their training: "
            f"data.class_order=lexical ({', '.join(by_name[:3])} …, torchvision's), data.class_order=natural "
            f"({', '.join(by_number[:3])} …, timm's), or data.class_order=FILE with one name per line"
        )


def warn_of_another_order(arrays: dict[str, np.ndarray], classes: Sequence[str]) -> None:
    """Warn where predictions fit the classes in another order far better.

    The order is chosen on val and judged on test; where these are one part or the same images, on two random halves.
    arrays: of `predictions.npz`.
    """
    parts = [(arrays[key], arrays[key.replace("logits", "labels")]) for key in arrays if key.endswith("_logits")]
    name = "test"
    if len(parts) == 1 or np.array_equal(parts[0][0], parts[1][0]):
        parts, name = split_in_halves(*parts[0]), "half of the images"
    chosen_on, judged_on = (
        compute_confusion_matrix(torch.from_numpy(logits), torch.from_numpy(labels)) for logits, labels in parts
    )
    if (better := find_better_order(chosen_on, judged_on, classes)) is not None:
        order, accuracy = better
        names = format_override_value(order) if len(order) <= MAX_NAMED else "FILE with their names in their order"
        told = "the outputs of these weights seem to be in another order of classes; with it the accuracy on %s is"
        log.warning(f"{told} %.2f %%: data.class_order=%s", name, 100 * accuracy, names)


def split_in_halves(logits: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits, [N, C], and labels, int64 [N], of two random halves of the images, stratified by class."""
    first, second = split_off(np.arange(len(labels)), labels, len(labels) // 2, seed=0)
    return [(logits[half], labels[half]) for half in (first, second)]


def find_better_order(
    val: Sequence[Sequence[int]], test: Sequence[Sequence[int]], classes: Sequence[str]
) -> tuple[list[str], float] | None:
    """The class names in the order of the outputs and the accuracy on test with it, where that is clearly higher.

    val, test: confusion matrices [true class][output], of different images. The order is chosen on val, by the
    assignment of most images, so that the accuracy on test is honest.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, outputs = linear_sum_assignment(np.array(val), maximize=True)
    counts = np.array(test)
    if (num := counts.sum()) == 0:
        return None
    before, after = counts.trace() / num, counts[rows, outputs].sum() / num
    error = np.sqrt((before * (1 - before) + after * (1 - after)) / num)
    if after - before < max(LEAST_STANDARD_ERRORS * error, LEAST_GAIN):
        return None
    return [classes[row] for row in np.argsort(outputs)], float(after)
