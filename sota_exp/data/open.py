"""Opens the data set of an experiment."""

from sota_exp.config.build import keyed
from sota_exp.config.experiment import Experiment
from sota_exp.data.splits import limited
from sota_exp.stages.data import DataSet


def open_data(experiment: Experiment) -> DataSet:
    """The data set, limited to the number of images of the experiment's scale; errors name the key."""
    with keyed("data"):
        return limited(experiment.data(), experiment.scale)
