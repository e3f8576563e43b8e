"""Composing for tests, which share Hydra's work, and composing as users do."""

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.default_element import GroupDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf, base

from sota_exp.config.hydra_compose import compose_with_hydra
from sota_exp.config.overrides import compose_configuration
from sota_exp.config.values import flatten

#: What `compositions_share_their_work` of tests/composing.py replaces.
REPLACED = (
    (ConfigRepository, "_find_object_source"),
    (ConfigRepository, "load_config"),
    (ConfigLoaderImpl, "_load_single_config"),
    (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
    (OverridesParser, "parse_rule"),
    (config_loader_impl, "create_defaults_list"),
    (DictConfig, "__deepcopy__"),
    (DictConfig, "update"),
    (ListConfig, "append"),
    (GroupDefault, "is_interpolation"),
    (base, "parse"),
)


def everything(overrides):
    """All that Hydra composed, in its order, and the run's configuration."""
    config = OmegaConf.to_container(compose_with_hydra(overrides), resolve=False)
    return list(flatten(config).items()), compose_configuration(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["recipe=torchvision", "data=fake", "augmentation/mix=none", "optimizer.lr=0.3", "+seeds=[1,2]"],
        ["recipe=rsb_a2", "experiment=cutmix_long", "regularization=none", "~augmentation.flip"],
        ["+study=ladder", "scale=smoke"],
        ["hydra.searchpath=[file://mine]", "augmentation/mix=mixup", "augmentation/erase=own"],
    ],
    ids=["nothing", "values", "experiment", "study", "own files"],
)
def test_what_tests_share_of_hydras_work_changes_no_configuration(overrides, tmp_path, monkeypatch):
    own = tmp_path / "mine" / "augmentation"
    monkeypatch.chdir(tmp_path)
    for alpha in (0.5, 0.25) if "augmentation/erase=own" in overrides else (0.5,):
        for slot, name in (("mix", "mixup"), ("erase", "own")):
            (own / slot).mkdir(parents=True, exist_ok=True)
            (own / slot / f"{name}.yaml").write_text(f"alpha: {alpha}\n")
        with monkeypatch.context() as patch:
            for owner, name in REPLACED:
                patch.setattr(owner, name, getattr(owner, name).__wrapped__)
            expected = everything(overrides)
        assert everything(overrides) == expected
        assert everything(overrides) == expected
        assert ("augmentation.erase.alpha", alpha) in expected[0] or "augmentation/erase=own" not in overrides


@pytest.mark.parametrize(
    "overrides, ratio",
    [
        (["augmentation/crop=random_resized"], 0.875),
        (["augmentation/crop=pad"], 1.0),  # training shows whole images, so evaluation does
        (["augmentation/crop=none"], 1.0),
        (["augmentation/crop=pad", "data.crop_ratio=0.9"], 0.9),
    ],
)
def test_evaluation_shows_objects_at_the_size_of_training(overrides: list[str], ratio: float) -> None:
    found = compose_configuration(["data=image_folder", "data.root=photos", *overrides])
    assert found.experiment.data.crop_ratio == ratio
    assert found.experiment.evaluation.resolution.views()[0].resize == round(96 / ratio)
