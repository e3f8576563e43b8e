"""Composing for tests, which share Hydra's work, and composing as users do."""

import pytest
from omegaconf import OmegaConf

from sota_exp.config.hydra_compose import compose_with_hydra
from sota_exp.config.overrides import compose_configuration
from sota_exp.config.values import flatten


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["recipe=torchvision", "data=fake", "augmentation/mix=none", "optimizer.lr=0.3", "+seeds=[1,2]"],
        ["recipe=rsb_a2", "experiment=cutmix_long", "regularization=none", "~augmentation.flip"],
        ["+study=ladder", "scale=smoke"],
    ],
    ids=len,
)
def test_what_tests_share_of_hydras_work_changes_no_configuration(overrides, tmp_path):
    """With a folder of one's own on the search path, `compositions_share_their_work` of conftest.py leaves Hydra alone."""
    alone = [*overrides, f"hydra.searchpath=[file://{tmp_path}]"]
    for _ in range(2):
        assert compose_configuration(overrides) == compose_configuration(alone)
        assert written(overrides) == written(alone)


def written(overrides):
    """All that Hydra composed, without what names the search path."""
    config = OmegaConf.to_container(compose_with_hydra(overrides), resolve=False)
    hydra = config["hydra"]
    del hydra["searchpath"], hydra["runtime"]["config_sources"], hydra["overrides"], hydra["job"]["override_dirname"]
    return list(flatten(config).items())
