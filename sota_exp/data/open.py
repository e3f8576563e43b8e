"""The data of an experiment, limited to its scale."""

from sota_exp.config.build import keyed
from sota_exp.config.experiment import Experiment
from sota_exp.data.splits import limited
from sota_exp.stages.data import DataSet


def open_data(experiment: Experiment) -> DataSet:
    """The set, limited to the scale; what is wrong with it names its key."""
    with keyed("data"):
        return limited(experiment.data(), experiment.scale)
