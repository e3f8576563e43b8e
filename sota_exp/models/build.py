"""The network and the preprocessing that an experiment's configuration describes."""

from dataclasses import replace

from torch import nn

from sota_exp.config.build import keyed
from sota_exp.config.experiment import Experiment
from sota_exp.models.saved import TRANSFORMS
from sota_exp.stages.data import DataSet, Preprocessing


def build_network(experiment: Experiment, num_classes: int) -> nn.Module:
    """Architecture, then weights, then what regularization changes of the network: norm, stochastic depth, dropout."""
    arch, weights = experiment.model.arch, experiment.model.weights
    with keyed("model.arch"):
        model = arch(num_classes)
    with keyed("model.weights"):
        model = weights(model, arch)
    regularization = experiment.regularization
    for slot in TRANSFORMS:
        with keyed(f"regularization.{slot}"):
            model = vars(regularization)[slot](model)
    return model


def preprocessing_of(experiment: Experiment, data: DataSet) -> Preprocessing:
    """How images are resized and normalized: as for the weights that training starts from; `data.interpolation` has the last word."""
    model, interpolation = experiment.model, experiment.data.interpolation
    with keyed("model.weights"):
        found = model.weights.preprocessing(model.arch, data.preprocessing)
    return found if interpolation is None else replace(found, interpolation=interpolation)
