"""Every file of conf/search: the recipe's own values lie inside it, and what it draws composes and builds."""

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sota_exp import CONF
from sota_exp.config.build import build
from sota_exp.config.experiment import Experiment
from sota_exp.config.hydra_compose import register_resolvers
from sota_exp.sweep.settings import read_goal, read_settings, to_plain
from sota_exp.sweep.space import read_space
from sota_exp.sweep.start_points import flatten_config
from tests.experiments import composed

SEARCHES = sorted(path.stem for path in (CONF / "search").glob("*.yaml"))


def opened(name):
    """(space, the recipe's own values, its options, the sweeper's node)."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF)):
        overrides = ["hydra/sweeper=sota_exp", f"+search={name}", "data=fake"]
        config = compose("config", overrides, return_hydra_config=True)
    node = to_plain(config.hydra.sweeper)
    trees = [node[key] or {} for key in ("params", "conditional", "derived")]
    choices = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    return read_space(*trees, ["data=fake"]), flatten_config(config), choices, node


@pytest.mark.parametrize("name", SEARCHES)
def test_it_reaches_the_recipe_and_what_it_draws_builds(name):
    space, values, choices, node = opened(name)
    assert set(space.point(values, choices)) >= set(space.knobs)
    read_settings({key: value for key, value in node.items() if key != "_target_"})
    assert read_goal(node).objectives[0] == "val/accuracy"
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(2):
        overrides = space.overrides(space.draw_values(study.ask(), choices))
        build(Experiment, composed(*overrides).values)


def test_there_are_the_searches_that_the_documents_name():
    assert [*SEARCHES] == [
        *("accuracy_vs_cost", "learning_rate", "short_recipe", "techniques", "weight_decay"),
        "weight_decay_lr_resolution",
    ]
