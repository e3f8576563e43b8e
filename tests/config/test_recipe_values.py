"""A recipe's values apply to the options that it chose: one override replaces an option and its values."""

from itertools import zip_longest

import pytest
import yaml
from omegaconf import OmegaConf

from sota_exp import CONF
from sota_exp.cli import main
from sota_exp.config.build import build
from sota_exp.config.experiment import Experiment
from sota_exp.config.recipe_values import drop_replaced_values, list_slot_values
from sota_exp.config.search_path import read_config_directories
from sota_exp.errors import ConfigError
from tests.experiments import TINY, composed
from tests.options import options

#: Recipes that set values inside slots.
WITH_VALUES = ("few_images", "photos", "rsb_a2", "semi_supervised", "torchvision_exact", "transfer")


OURS = (CONF,)


def test_the_recipes_that_set_values_are_known():
    assert ("regularization/stochastic_depth", "drop_path_rate") in list_slot_values("recipe/rsb_a2", OURS)
    assert ("regularization/average", "anchor") in list_slot_values("recipe/torchvision_exact", OURS)
    assert list_slot_values("recipe/no such", OURS) == frozenset()


@pytest.mark.parametrize("recipe", WITH_VALUES)
def test_any_option_replaces_the_recipes_own(recipe):
    """The options of one slot one after the other, those of all slots at once."""
    slots = sorted({slot for slot, _ in list_slot_values(f"recipe/{recipe}", OURS)} - {"data"})
    # python is built only in the process that hands a network in.
    by_slot = [[str(each) for each in options() if each.slot == slot and each.name != "python"] for slot in slots]
    for chosen in zip_longest(*by_slot):
        build(Experiment, composed("data=fake", f"recipe={recipe}", *filter(None, chosen)).values)


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        ("recipe=semi_supervised", "augmentation.mix.alpha", 0.5),
        ("recipe=semi_supervised augmentation/mix=cutmix", "augmentation.mix.alpha", 1.0),
        ("recipe=semi_supervised augmentation/mix=cutmix augmentation.mix.alpha=0.5", "augmentation.mix.alpha", 0.5),
        ("recipe=few_images", "data.split.near_duplicates", True),
        ("recipe=few_images data/split=repeated", "data.split.near_duplicates", False),
        ("recipe=few_images data/split=holdout", "data.split", {"_option_": "holdout"}),
        ("recipe=few_images optimizer=nesterov", "optimizer.lr", 0.1),
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
    "experiment/bare": "# Mine.\noptimizer: {lr: 0.003}\n",
    "experiment/bare_list": "defaults: [{override /augmentation/mix: cutmix}]\n",
    "experiment/no_such_slot": HEAD + "defaults: [{override /augmentation/mixx: cutmix}]\n",
    "exp/bare_list": "# @package _group_\ndefaults: [{override /augmentation/mix: cutmix}]\n",
    "recipe/bare": "recipe: {name: h, epochs: 2, long_epochs: 4}\noptimizer: {lr: 0.003}\n",
    "scale/bare": "epochs: 2\nlong_epochs: 3\ntrain_images: 20\neval_images: null\n",
    "search/bare": "hydra: {sweeper: {params: {optimizer.lr: 'interval(0.01,0.1)'}}}\n",
    "study/bare": "kind: ladder\n",
    "exp/bar": HEAD + "defaults: [{override /recipe: small_images}, {override /augmentation/mix: mixup}]\n"
    "augmentation: {mix: {alpha: 0.4}}\nseed: 9\n",
    "exp/chosen_slot": HEAD + "defaults: [{override /augmentation/mix: cutmix}]\n",
    "exp/typo": HEAD + "augmentation: {mix: {alhpa: 0.4}}\n",
    "exp/no_package": "seed: 9\n",
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
        *((f"{plus}experiment=foo augmentation.mix.alpha", 0.3) for plus in ("", "+")),
        ("experiment=foo augmentation/mix=mixup augmentation.mix.alpha", 0.2),
        ("experiment=foo augmentation/mix=none augmentation.mix.alpha", None),
        ("experiment=foo augmentation.mix.alpha=0.1 augmentation.mix.alpha", 0.1),
        ("+exp=bar augmentation.mix.alpha", 0.4),
        ("+exp=bar seed", 9),
        ("recipe=semi_supervised +exp=chosen_slot augmentation.mix.alpha", 1.0),
        ("experiment=cutmix_long augmentation.mix.alpha", 0.5),
        ("experiment=cutmix_long augmentation/mix=mixup augmentation.mix.alpha", 0.2),
    ],
)
def test_cfg_job_prints_the_values_of_a_run_with_the_users_files_too(of_the_user, capsys, overrides, expected):
    assert printed(capsys, of_the_user, *overrides.split()) == expected


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("+exp=no_package", "exp=no_package: the first line of the file must be `# @package _global_`"),
        ("experiment=bare", "experiment=bare: the first line of the file must be `# @package _global_`"),
        ("experiment=bare_list", "experiment=bare_list: the first line of the file must be `# @package _global_`"),
        ("recipe=bare", "recipe=bare: the first line of the file must be `# @package _global_`"),
        ("+exp=bare_list", "exp=bare_list: the first line of the file must be `# @package _global_`"),
        (
            "experiment=no_such_slot",
            "experiment/no_such_slot.yaml: override /augmentation/mixx: no such group. Did you",
        ),
        ("scale=bare", "scale.name: a value is missing; give one: scale.name=…"),
        ("+exp=typo augmentation/mix=mixup", "augmentation.mix.alhpa: no such key"),
        ("experiment=foo lr=0.1", "lr: no such key. Did you mean optimizer.lr?"),
        ("augmentation/mix=mymix augmentation.mix.alhpa=1", "augmentation.mix.alhpa: no such key; legal: alpha."),
        ("exp=bar", "exp: not in the defaults list; write +exp=bar"),
        (
            "+exp=baz",
            "exp=baz: no such option; legal: bar, bare_list, chosen_slot, no_package, typo. Did you mean bar?",
        ),
        (
            "experiment=fo",
            "experiment=fo: no such option; legal: bare, bare_list, cutmix_long, ",
        ),
    ],
)
def test_mistakes_in_experiments_name_the_file_or_the_key(of_the_user, capsys, overrides, words):
    for name in ("train", "explain"):
        command = [name, "--config-dir", str(of_the_user), "data=fake", *overrides.split()]
        assert main.run_command_line(command) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sweep search=bare", "search=bare: the first line of the file must be `# @package _global_`"),
        ("sweep experiment=bare seed=range(3)", "experiment=bare: the first line of the file must be"),
        ("train -m experiment=bare,foo", "experiment=bare: the first line of the file must be"),
        ("ablate study=ladder experiment=bare", "experiment=bare: the first line of the file must be"),
        ("ablate study=bare", "study.title: a value is missing; give one: study.title=…"),
        ("ablate study=bar", "study=bar: no such option; legal: add_one_in, auto, bare, "),
    ],
)
def test_so_do_mistakes_in_searches_and_studies(of_the_user, tmp_path, capsys, command, words):
    name, *others = command.split()
    arguments = [f"--config-dir={of_the_user}", "data=fake", f"hydra.sweep.dir={tmp_path}/s", *others]
    assert main.run_command_line([name, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_every_experiment_composes(name):
    tree = composed(f"experiment={name}", "data=fake", "model/weights=scratch", "data.image_size=32")
    assert tree.values["recipe"]["name"] in ("small_images", "transfer", "few_images", "torchvision")
    assert build(Experiment, tree.values).batch_size in (16, 32, 64, 128)


def test_an_empty_slot_of_a_recipe_is_a_mistake_in_one_line(of_the_user, capsys):
    assert main.run_command_line(["explain", "--config-dir", str(of_the_user), "data=fake", "recipe=empty_slot"]) == 2
    assert "augmentation/mix: no option is chosen" in capsys.readouterr().err


def test_a_run_with_the_users_files_is_evaluated_and_repeated_with_them(of_the_user, tmp_path, monkeypatch, capsys):
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
    for again in ([], own):  # A run knows its directory.
        evaluate = ["evaluate", "run=run", *again, "evaluation/tta=flip", f"hydra.run.dir=flipped{len(again)}"]
        assert main.run_command_line(evaluate) == 0
        assert main.run_command_line(["rerun", "run", *again, "--cfg", "job"]) == 0
    assert main.run_command_line(["rerun", "run", "seed=1", "tracking=none", "hydra.run.dir=again"]) == 0
    assert main.run_command_line(["rerun", "again", "augmentation/mix=none", "hydra.run.dir=third"]) == 0
    capsys.readouterr()
    assert main.run_command_line(["diff", "third", "again"]) == 0
    assert "sota-exp rerun third augmentation/mix=mymix" in " ".join(capsys.readouterr().out.split())
    command = ["train", *TINY, "recipe=small_images", "model/arch=small", "tracking=none", "hydra.run.dir=plain"]
    assert main.run_command_line(command) == 0
    capsys.readouterr()
    assert main.run_command_line(["diff", "plain", "again"]) == 0
    found = capsys.readouterr().out
    assert f"sota-exp rerun plain --config-dir={of_the_user} " in found and "augmentation/mix=mymix" in found


def test_a_directory_of_files_that_is_gone_is_not_searched(tmp_path):
    source = {"path": str(tmp_path / "gone"), "schema": "file", "provider": "command-line"}
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": {"runtime": {"config_sources": [source]}}}))
    assert read_config_directories(tmp_path) == []
    (tmp_path / "gone").mkdir()
    assert read_config_directories(tmp_path) == [tmp_path / "gone"]


def test_both_search_paths_are_searched(of_the_user, tmp_path_factory, capsys):
    other = tmp_path_factory.mktemp("with = and spaces")
    (other / "recipe").mkdir()
    (other / "recipe" / "second.yaml").write_text(
        HEAD + "defaults: [small_images, _self_]\nrecipe: {name: second}\nseed: 7\n"
    )
    assert printed(capsys, other, "recipe=second", "seed") == 7
    assert printed(capsys, of_the_user, f"hydra.searchpath=['file://{other}']", "recipe=second", "seed") == 7
