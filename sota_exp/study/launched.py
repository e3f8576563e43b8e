"""One run of a study: an ordinary training that says little, since the study says how it goes."""

import logging

from omegaconf import DictConfig

from sota_exp import composing
from sota_exp.config import build
from sota_exp.rules import check

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train in Hydra's output directory; the validation accuracy."""
    directory, choices = composing.output_directory(), composing.choices()
    tree = composing.tree_of(config)
    check(choices, tree)
    from sota_exp.experiment import Experiment
    from sota_exp.run import run
    from sota_exp.terminal import shown
    from sota_exp.tracking.listeners import showing
    from sota_exp.watching import Listener, Request

    request = Request(experiment=build(Experiment, tree), tree=tree, choices=choices, directory=shown(directory))
    result = run(request, showing(Listener(), say=log.debug))
    return float(result["metrics"]["val/accuracy"])
