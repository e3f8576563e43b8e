"""The model of weights of another program, which do not say their network, classes and preprocessing."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.configuration import Configuration
from sota_exp.errors import ConfigError
from sota_exp.models.build import build_network, get_preprocessing
from sota_exp.models.load_weights import find_network_prefix
from sota_exp.models.parts import find_classifier_name
from sota_exp.models.saved import SavedModel
from sota_exp.models.weight_files import read_state
from sota_exp.stages.data import DataSet
from sota_exp.training.class_order_check import require_certain_order

log = logging.getLogger(__name__)


def build_foreign_model(
    configuration: Configuration, weights: Path, data: DataSet, is_order_set: bool, is_view_set: bool
) -> SavedModel:
    """The configured network with the given weights, for the classes of the data set.

    is_order_set: whether the command sets the order of classes. is_view_set: whether it sets how images are resized,
    which is logged otherwise.

    Raises:
        ConfigError: the weights have another number of classes, or no statistics of batch norm, or the order of their
            classes is uncertain.
    """
    experiment, source = configuration.experiment, configuration.values["model"]["weights"]
    require_certain_order(experiment.data, data.classes, is_order_set)
    given = read_state(source["path"], source["prefix"], source["entry"])
    with prefix_invalid_values("model.arch"):
        known = count_classes(experiment.model.arch(len(data.classes)), given, weights)
    require_equal_classes(known, len(data.classes), "class_order" in vars(experiment.data))
    network = build_network(experiment, len(data.classes)).eval()
    require_statistics(network, given, weights)
    preprocessing, view = get_preprocessing(experiment, data), experiment.evaluation.resolution.views()[0]
    if not is_view_set:
        log.info(
            "%s does not say how its images were resized: here the shorter side to %d px, %s, and the centre of %d px; "
            "data.image_size, data.crop_ratio and data.interpolation set it",
            weights.name,
            view.resize,
            preprocessing.interpolation,
            view.size,
        )
    return SavedModel(
        network=network,
        classes=data.classes,
        preprocessing=preprocessing,
        view=view,
        predictor=experiment.evaluation.tta,
        white=data.white,
    )


def count_classes(network: nn.Module, given: Mapping[str, Tensor], weights: Path) -> int | None:
    """The number of outputs of weights, key → tensor [...], of a network; None if they have no classifier like its."""
    prefix = find_network_prefix(network, given, "path", str(weights))
    classifier = given.get(f"{prefix}{find_classifier_name(network)}.weight")
    return None if classifier is None else len(classifier)


def require_equal_classes(known: int | None, num: int, can_be_ordered: bool) -> None:
    """Check that weights of `known` classes, if this is known, have as many as the data set, `num`.

    can_be_ordered: whether the data set has the key `data.class_order`.

    Raises:
        ConfigError: they have not.
    """
    if known in (None, num):
        return
    fix = "choose a set with these classes"
    if known is not None and known > num and can_be_ordered:
        fix = (
            f"with the names of all {known} in the order of the outputs those that are there are scored: "
            "data.class_order=FILE with one name per line, or a list"
        )
    raise ConfigError(f"data: the set has {num} classes, the weights have {known}; {fix}")


def require_statistics(network: nn.Module, given: Mapping[str, Tensor], weights: Path) -> None:
    """Check that weights, key → tensor [...], have the statistics of batch norm that the network has.

    Raises:
        ConfigError: they have none.
    """
    uses = any(isinstance(layer, _BatchNorm) and layer.track_running_stats for layer in network.modules())
    if uses and not any(key.endswith("running_mean") for key in given):
        raise ConfigError(
            f"weights={weights}: no statistics of batch norm are in it (running_mean), without which the outputs are "
            "others; save network.state_dict(), not the parameters alone, or set regularization/norm=group or none if "
            "the network was trained so"
        )
