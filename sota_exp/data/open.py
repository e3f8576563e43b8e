"""Opens the data set of an experiment."""

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.experiment import Experiment
from sota_exp.data.splits import limit_data_set
from sota_exp.stages.data import DataSet


def open_data(experiment: Experiment) -> DataSet:
    """The data set, limited to the number of images of the experiment's scale; errors name the key."""
    with prefix_invalid_values("data"):
        return limit_data_set(experiment.data(), experiment.scale)
