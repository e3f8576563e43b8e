"""A recipe's values apply to the options that it chose: one override replaces an option and its values."""

from itertools import zip_longest

import pytest
import yaml
from omegaconf import OmegaConf

from sota_exp import CONF
from sota_exp.cli import main
from sota_exp.config.build import build
from sota_exp.config.experiment import Experiment
from sota_exp.config.recipe_values import drop_replaced_values, list_recipe_keys
from sota_exp.errors import ConfigError
from tests.experiments import TINY, composed
from tests.options import options

#: Recipes that set values inside slots.
WITH_VALUES = ("rsb_a2", "semi_supervised", "torchvision_exact", "transfer")


OURS = (CONF,)


def test_the_recipes_that_set_values_are_known():
    assert ("regularization/stochastic_depth", "drop_path_rate") in list_recipe_keys("rsb_a2", OURS)
    assert ("regularization/average", "anchor") in list_recipe_keys("torchvision_exact", OURS)
    assert list_recipe_keys("no such recipe", OURS) == frozenset()


@pytest.mark.parametrize("recipe", WITH_VALUES)
def test_any_option_replaces_the_recipes_own(recipe):
    """The options of one slot one after the other, those of all slots at once."""
    slots = sorted({slot for slot, _ in list_recipe_keys(recipe, OURS)} - {"data"})
    by_slot = [[str(option) for option in options() if option.slot == slot] for slot in slots]
    for chosen in zip_longest(*by_slot):
        build(Experiment, composed("data=fake", f"recipe={recipe}", *filter(None, chosen)).values)


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
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
def test_a_key_of_the_same_name_has_the_value_of_the_option_that_is_chosen(overrides, key, expected):
    node = composed(*overrides.split()).values
    for name in key.split("."):
        node = node[name]
    assert node == expected


def test_the_recipes_own_options_keep_its_values():
    tree = composed("data=fake", "recipe=rsb_a2").values
    assert tree["regularization"]["stochastic_depth"]["drop_path_rate"] == 0.05
    assert tree["augmentation"]["policy"]["magnitude"] == 21


def test_a_value_that_the_user_sets_is_always_kept():
    """Otherwise a mistake would not be reported."""
    overrides = [
        "recipe=rsb_a2",
        "regularization/stochastic_depth=none",
        "regularization.stochastic_depth.drop_path_rate=0.2",
    ]
    with pytest.raises(ConfigError, match="drop_path_rate"):
        build(Experiment, composed("data=fake", *overrides).values)


def test_the_argument_is_not_changed():
    tree = {"regularization": {"stochastic_depth": {"_target_": "x", "drop_path_rate": 0.05}}}
    config = OmegaConf.create(tree)
    choices = {"recipe": "rsb_a2", "regularization/stochastic_depth": "none"}
    found = drop_replaced_values(config, choices, [], OURS)
    assert found == {"regularization": {"stochastic_depth": {"_target_": "x"}}}
    assert config == tree


HEAD = "# @package _global_\n"
ALPHA = "augmentation: {mix: {alpha: 0.7}}\n"

#: Recipes, presets and options of a user, for `--config-dir`.
OF_THE_USER = {
    "recipe/mine": HEAD + "defaults: [rsb_a2, _self_]\nrecipe: {name: mine}\n",
    "recipe/slot_first": HEAD + "defaults: [small_images, _self_, {override /augmentation/mix: mixup},"
    " {override /augmentation: classic}]\nrecipe: {name: a}\n" + ALPHA,
    "recipe/on_a_preset": HEAD + "defaults: [semi_supervised, _self_, {override /augmentation: classic}]\n"
    "recipe: {name: b}\n",
    "recipe/inherits": HEAD + "defaults: [small_images, _self_, {override /augmentation: mypreset}]\n"
    "recipe: {name: c}\n" + ALPHA,
    "recipe/packaged": HEAD
    + "defaults: [small_images, _self_, {override /augmentation/mix@augmentation.mix: cutmix}]\n"
    "recipe: {name: d}\n" + ALPHA,
    "recipe/absolute": HEAD + "defaults: [/recipe/semi_supervised, _self_]\nrecipe: {name: e}\n",
    "recipe/interpolates": HEAD + "defaults: [small_images, _self_, {override /optimizer: adamw},"
    " {override /schedule/length: long}]\nrecipe: {name: f}\noptimizer: {lr: 0.002}\nschedule: {length: {epochs: 5}}\n",
    "recipe/empty_slot": HEAD + "defaults: [small_images, _self_]\nrecipe: {name: g}\naugmentation: {mix: null}\n",
    "augmentation/mypreset": "defaults: [classic, {override mix: cutmix}]\n",
    "augmentation/mix/mymix": "_target_: sota_exp.techniques.augmentation.mix.mixup.Mixup\nalpha: 9e-1\n",
    "experiment/foo": HEAD + "defaults: [{override /recipe: semi_supervised}, {override /augmentation/mix: cutmix}]\n"
    "augmentation: {mix: {alpha: 0.3}}\n",
}


@pytest.fixture
def of_the_user(tmp_path):
    for name, text in OF_THE_USER.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def printed(capsys, directory, *overrides):
    """The value of the key that is last in `overrides`, as `--cfg job` prints it for the others."""
    assert (
        main.run_command_line(
            ["train", "--config-dir", str(directory), "data=fake", *overrides[:-1], "--cfg", "job", "--resolve"]
        )
        == 0
    )
    node = yaml.safe_load(capsys.readouterr().out)
    for name in overrides[-1].split("."):
        node = node.get(name) if node else None
    return node


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("recipe=mine regularization.stochastic_depth.drop_path_rate", 0.05),
        ("recipe=mine regularization/stochastic_depth=none regularization.stochastic_depth.drop_path_rate", None),
        ("recipe=semi_supervised augmentation/mix=mymix augmentation.mix.alpha", 0.9),
        ("recipe=semi_supervised augmentation/mix=cutmix augmentation.mix.alpha", 1.0),
        ("recipe=semi_supervised augmentation/mix=mixup augmentation.mix.alpha", 0.5),
        ("recipe=semi_supervised augmentation/mix=cutmix augmentation.mix={alpha:0.3} augmentation.mix.alpha", 0.3),
        ("recipe=slot_first augmentation.mix.alpha", 0.7),
        ("recipe=slot_first augmentation/mix=cutmix augmentation.mix.alpha", 1.0),
        ("recipe=on_a_preset augmentation.mix.alpha", 0.5),
        ("recipe=inherits augmentation.mix.alpha", 0.7),
        ("recipe=inherits augmentation/mix=mixup augmentation.mix.alpha", 0.2),
        ("recipe=packaged augmentation.mix.alpha", 0.7),
        ("recipe=absolute augmentation/mix=none augmentation.mix.alpha", None),
        ("recipe=interpolates optimizer.lr", 0.002),
        ("recipe=interpolates optimizer=sgd optimizer.lr", 0.8),
        ("recipe=interpolates schedule/length=standard schedule.length.epochs", 14),
        ("+experiment=foo augmentation.mix.alpha", 0.3),
    ],
)
def test_cfg_job_prints_the_values_of_a_run_with_the_users_files_too(of_the_user, capsys, overrides, expected):
    assert printed(capsys, of_the_user, *overrides.split()) == expected


def test_an_empty_slot_of_a_recipe_is_a_mistake_in_one_line(of_the_user, capsys):
    assert main.run_command_line(["explain", "--config-dir", str(of_the_user), "data=fake", "recipe=empty_slot"]) == 2
    assert "augmentation/mix: no option is chosen" in capsys.readouterr().err


def test_a_run_with_the_users_files_is_evaluated_and_repeated_with_them(of_the_user, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = ["--config-dir", str(of_the_user)]
    words = [
        "recipe=mine",
        "model/arch=small",
        *TINY,
        "augmentation/mix=mymix",
        "augmentation/repeat=none",
        "optimizer=sgd",
    ]
    assert main.run_command_line(["train", *own, *words, "hydra.run.dir=run"]) == 0
    assert main.run_command_line(["evaluate", "run=run", *own, "evaluation/tta=flip", "hydra.run.dir=flipped"]) == 0
    assert main.run_command_line(["rerun", "run", *own, "--cfg", "job"]) == 0


def test_both_search_paths_are_searched(of_the_user, tmp_path_factory, capsys):
    other = tmp_path_factory.mktemp("with = and spaces")
    (other / "recipe").mkdir()
    (other / "recipe" / "second.yaml").write_text(
        HEAD + "defaults: [small_images, _self_]\nrecipe: {name: second}\nseed: 7\n"
    )
    assert printed(capsys, other, "recipe=second", "seed") == 7
    assert printed(capsys, of_the_user, f"hydra.searchpath=['file://{other}']", "recipe=second", "seed") == 7
