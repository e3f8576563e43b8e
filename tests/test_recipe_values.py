"""A recipe's values belong to the options that it chose: one word switches any of them off."""

import pytest
import yaml

from sota_exp import cli
from sota_exp.composing import conf_directory
from sota_exp.config import build
from sota_exp.errors import ConfigError
from sota_exp.experiment import Experiment
from sota_exp.recipes import keys_set, without_strangers
from tests.experiments import composed
from tests.options import options

#: Recipes that set values inside slots.
WITH_VALUES = ("rsb_a2", "semi_supervised", "torchvision_exact", "transfer")


OURS = (conf_directory(),)


def test_the_recipes_that_set_values_are_known():
    assert ("regularization/stochastic_depth", "drop_path_rate") in keys_set("rsb_a2", OURS)
    assert ("regularization/average", "anchor") in keys_set("torchvision_exact", OURS)
    assert keys_set("no such recipe", OURS) == frozenset()


@pytest.mark.parametrize("recipe", WITH_VALUES)
def test_any_option_replaces_the_recipes_own(recipe):
    for slot, _ in sorted(keys_set(recipe, OURS)):
        for option in options():
            if option.slot == slot and slot != "data":
                build(Experiment, composed("data=fake", f"recipe={recipe}", str(option)).tree)


@pytest.mark.parametrize(
    ("said", "key", "meant"),
    [
        ("recipe=semi_supervised", "augmentation.mix.alpha", 0.5),
        ("recipe=semi_supervised augmentation/mix=cutmix", "augmentation.mix.alpha", 1.0),
        ("recipe=semi_supervised augmentation/mix=cutmix augmentation.mix.alpha=0.5", "augmentation.mix.alpha", 0.5),
        ("recipe=transfer", "model.arch.name", "resnet50"),
        ("recipe=transfer model/arch=small", "model.arch.name", "resnet_s"),
        ("recipe=transfer model/arch=timm", "model.arch.name", "resnet18"),
        ("recipe=torchvision_exact data=image_folder data.root=x", "data.image_size", 224),
    ],
)
def test_a_key_of_the_same_name_has_the_value_of_the_option_that_is_chosen(said, key, meant):
    node = composed(*said.split()).tree
    for name in key.split("."):
        node = node[name]
    assert node == meant


def test_the_recipes_own_options_keep_its_values():
    tree = composed("data=fake", "recipe=rsb_a2").tree
    assert tree["regularization"]["stochastic_depth"]["drop_path_rate"] == 0.05
    assert tree["augmentation"]["policy"]["magnitude"] == 21


def test_a_value_that_the_user_gives_is_never_left_out():
    """Else a mistake would pass in silence."""
    said = [
        "recipe=rsb_a2",
        "regularization/stochastic_depth=none",
        "regularization.stochastic_depth.drop_path_rate=0.2",
    ]
    with pytest.raises(ConfigError, match="drop_path_rate"):
        build(Experiment, composed("data=fake", *said).tree)


def test_what_is_given_is_not_changed():
    tree = {"regularization": {"stochastic_depth": {"_target_": "x", "drop_path_rate": 0.05}}}
    choices = {"recipe": "rsb_a2", "regularization/stochastic_depth": "none"}
    found = without_strangers(tree, choices, [], OURS)
    assert found == {"regularization": {"stochastic_depth": {"_target_": "x"}}}
    assert tree["regularization"]["stochastic_depth"]["drop_path_rate"] == 0.05


@pytest.fixture
def of_the_user(tmp_path):
    """A directory for `--config-dir`: a recipe on top of one of ours, and a mix of the user's own."""
    (tmp_path / "recipe").mkdir()
    base = "# @package _global_\ndefaults:\n  - rsb_a2\n  - _self_\nrecipe:\n  name: mine\n"
    (tmp_path / "recipe" / "mine.yaml").write_text(base)
    (tmp_path / "augmentation" / "mix").mkdir(parents=True)
    mix = "_target_: sota_exp.augmentation.mix.mixup.Mixup\nalpha: 0.9\n"
    (tmp_path / "augmentation" / "mix" / "mymix.yaml").write_text(mix)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "key", "meant"),
    [
        (
            ("recipe=mine", "regularization/stochastic_depth=none"),
            "regularization.stochastic_depth.drop_path_rate",
            None,
        ),
        (("recipe=mine",), "regularization.stochastic_depth.drop_path_rate", 0.05),
        (("recipe=semi_supervised", "augmentation/mix=mymix"), "augmentation.mix.alpha", 0.9),
        (("recipe=semi_supervised", "augmentation/mix=cutmix"), "augmentation.mix.alpha", 1.0),
    ],
)
def test_what_is_printed_is_what_a_run_has_with_files_of_the_user_too(of_the_user, capsys, tmp_path, said, key, meant):
    command = ["train", "--config-dir", str(of_the_user), "data=fake", *said]
    assert cli.run([*command, "--cfg", "job", "--resolve"]) == 0
    node = yaml.safe_load(capsys.readouterr().out)
    *names, last = key.split(".")
    for name in names:
        node = node[name]
    assert node.get(last) == meant
    assert cli.run(["explain", *command[1:]]) == 0
