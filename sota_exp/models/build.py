"""Builds the network and the preprocessing of an experiment."""

from dataclasses import replace

from torch import nn

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.models.model_json import TRANSFORM_SLOTS
from sota_exp.stages.data import DataSet, Preprocessing


def build_network(experiment: Experiment, num_classes: int) -> nn.Module:
    """Build the architecture, load its weights, then apply the norm, stochastic depth and dropout of regularization."""
    arch, weights = experiment.model.arch, experiment.model.weights
    with prefix_invalid_values("model.arch"):
        model = arch(num_classes)
    with prefix_invalid_values("model.weights"):
        model = weights(model, arch)
    regularization = experiment.regularization
    for slot in TRANSFORM_SLOTS:
        with prefix_invalid_values(f"regularization.{slot}"):
            model = vars(regularization)[slot](model)
    return model


def get_preprocessing(experiment: Experiment, data: DataSet) -> Preprocessing:
    """The preprocessing of the initial weights; `data.interpolation`, where it is set, overrides theirs."""
    model, interpolation = experiment.model, experiment.data.interpolation
    with prefix_invalid_values("model.weights"):
        preprocessing = model.weights.preprocessing(model.arch, data.preprocessing)
    return preprocessing if interpolation is None else replace(preprocessing, interpolation=interpolation)
