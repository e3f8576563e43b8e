"""Every recipe builds, and each step of the ladder is the step before plus the change in its row."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from sota_exp import CONF
from sota_exp.config.experiment import Experiment
from sota_exp.config.fingerprint import format_differences
from sota_exp.config.values import flatten
from sota_exp.data.open import open_data
from sota_exp.models.build import build_network
from sota_exp.techniques.augmentation.policy.trivialaugment import TrivialAugment
from sota_exp.techniques.regularization.average.ema import EMA
from tests import archives
from tests.experiments import composed
from tests.rows import each_row

RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
LADDER = [name for name in RECIPES if name.startswith("ladder_")]

#: Step → the slots that it changes and the values that it sets, without the values of new options.
STEPS = {
    "ladder_01_lr_optimizations": (
        {"schedule": "torchvision", "schedule/lr": "cosine", "schedule/warmup": "linear"},
        {"optimizer.lr": 0.125},
    ),
    "ladder_02_trivialaugment": ({"augmentation/policy": "trivialaugment"}, {}),
    "ladder_03_long_training": ({"schedule/length": "long"}, {}),
    "ladder_04_random_erasing": ({"augmentation/erase": "random_erasing"}, {}),
    "ladder_05_label_smoothing": ({"regularization/smoothing": "label_smoothing"}, {}),
    "ladder_06_mixup": ({"augmentation/mix": "mixup"}, {}),
    "ladder_07_cutmix": ({"augmentation/mix": "mixup_or_cutmix"}, {}),
    "ladder_08_weight_decay_tuning": (
        {"regularization/weight_decay": "weights_only"},
        {"optimizer.weight_decay": 2e-5},
    ),
    "ladder_09_fixres": ({"augmentation/train_size": "fixres"}, {}),
    "ladder_10_ema": ({"regularization/average": "ema"}, {}),
    "ladder_11_inference_resize": ({"evaluation/resolution": "search"}, {}),
    "ladder_12_repeated_augmentation": ({"augmentation/repeat": "repeated"}, {}),
}


def test_the_ladder_has_thirteen_steps() -> None:
    assert ["ladder_00_baseline", *STEPS] == LADDER


@each_row("recipe", RECIPES)
def test_it_builds_and_its_header_has_paper_cost_and_command(recipe: str) -> None:
    experiment = composed("data=fake", f"recipe={recipe}").experiment
    assert experiment.recipe.name == recipe
    text = Path(CONF / "recipe" / f"{recipe}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    for heading in ("Paper", "Cost", "Expected", "Command"):
        assert text.count(f"\n# {heading}: ") == 1, heading
    assert f"recipe={recipe}" in text


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "lamb", "lion", "muon", "rmsprop"])
def test_another_optimizer_keeps_its_own_rate_and_decay(optimizer: str) -> None:
    """With `optimizer=…` alone: a recipe's values are for gradient descent."""
    own = yaml.safe_load((CONF / "optimizer" / f"{optimizer}.yaml").read_text())
    del own["_target_"]
    assert composed(f"optimizer={optimizer}").values["optimizer"] == {"_option_": optimizer, **own}


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov"])
def test_both_kinds_of_momentum_take_the_recipes_rate(optimizer: str) -> None:
    """Without a recipe's rate, they have their own default."""
    with_rate = composed("recipe=small_images", f"optimizer={optimizer}").values["optimizer"]
    assert (with_rate["lr"], with_rate["weight_decay"]) == (0.8, 5e-4)
    without = composed("recipe=rsb_a2", f"optimizer={optimizer}").values["optimizer"]
    assert (without["lr"], without["weight_decay"]) == (0.1, {"sgd": 1e-4, "nesterov": 5e-4}[optimizer])
    assert composed(f"optimizer={optimizer}", "optimizer.lr=3.0").values["optimizer"]["lr"] == 3


@each_row("before, after", list(pairwise(LADDER)))
def test_each_step_is_the_one_before_and_one_change(before: str, after: str) -> None:
    """On any data and model: here not those of the recipe."""
    own = ("data=fake", "model=torchvision", "batch_size=64")
    one, other = composed(*own, f"recipe={before}"), composed(*own, f"recipe={after}")
    slots, values = STEPS[after]
    changed = {slot: option for slot, option in other.choices.items() if one.choices.get(slot) != option}
    assert changed == {"recipe": after, **slots}
    of_slots = tuple(f"{slot.replace('/', '.')}." for slot in slots if "/" in slot)
    first, second = flatten(one.values), flatten(other.values)
    differing = {key: second.get(key) for key in {*first, *second} if first.get(key) != second.get(key)}
    assert {key: value for key, value in differing.items() if not key.startswith(of_slots)} == {
        "recipe.name": after,
        **values,
    }
    assert other.values["model"] == one.values["model"]
    assert other.values["batch_size"] == 64


def test_the_last_step_is_the_whole_recipe() -> None:
    """It equals `recipe=torchvision`, except for how the published numbers are written."""
    last, whole = composed("data=fake", f"recipe={LADDER[-1]}"), composed("data=fake", "recipe=torchvision")
    assert format_differences(last.values, whole.values) == [
        "recipe.name: ladder_12_repeated_augmentation → torchvision"
    ]


@pytest.fixture(scope="module")
def exact() -> Experiment:
    return composed("data=image_folder", "data.root=.", "recipe=torchvision_exact", "scale=full").experiment


def test_exact_views_and_sizes(exact: Experiment) -> None:
    (view,) = exact.evaluation.resolution.views()
    assert (view.resize, view.size) == (232, 224)
    assert exact.augmentation.train_size(exact.data.image_size) == 176
    assert isinstance(exact.augmentation.policy, TrivialAugment)
    assert exact.augmentation.policy.translate_fraction * 176 == pytest.approx(32)
    assert (exact.batch_size, exact.schedule.length.epochs) == (1024, 600)
    assert exact.schedule.lr_scaling(1024) * exact.optimizer.lr == 0.5


def test_exact_lr_trace_is_that_of_torchs_schedulers_for_600_epochs(exact: Experiment) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    warmup = LinearLR(optimizer, start_factor=0.01, total_iters=5)
    schedule = SequentialLR(optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=595)], milestones=[5])
    steps, trace = 1251, []
    for _ in range(600):
        trace.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    own, share = exact.schedule, exact.schedule.warmup.fraction
    for epoch, expected in enumerate(trace):
        for step in (epoch * steps, epoch * steps + steps - 1):
            progress = own.stepping(step, steps, 600 * steps)
            after = own.lr((progress - share) / (1 - share))
            factor = own.warmup(progress / share) if progress < share else after
            assert 0.5 * factor == pytest.approx(expected, rel=1e-6, abs=1e-9), epoch
    assert trace[:7] == pytest.approx([0.005, 0.104, 0.203, 0.302, 0.401, 0.5, 0.5], abs=1e-4)


def test_exact_ema_is_the_references_number(exact: Experiment) -> None:
    """1 − (1 − 0.99998) · 8 · 128 · 32 / 600 after steps 1, 33, … of each epoch, however many images the set has."""
    average = exact.regularization.average
    assert isinstance(average, EMA)
    assert (average.horizon, average.every, average.anchor) == (None, 32, "epoch")
    assert average.decay == pytest.approx(0.99890773, abs=1e-8)
    assert average.decay == pytest.approx(1 - 2e-5 * 1024 * 32 / 600, abs=1e-12)


def test_the_exact_command_trains_on_all_of_train_and_reports_on_val(tmp_path: Path) -> None:
    """The command of its header, on a small data set in ImageNet's layout."""
    header = (CONF / "recipe" / "torchvision_exact.yaml").read_text()
    (command,) = (line for line in header.splitlines() if line.startswith("# Command: "))
    archives.imagenet(tmp_path)
    words = command.partition("sota_exp train ")[2].replace("IMAGENET", str(tmp_path / "imagenet")).split()
    data = open_data(composed(*words, f"data.cache={tmp_path}").experiment)
    assert (len(data.train), len(data.val), len(data.test)) == (64, 20, 20)
    assert torch.equal(data.val, data.test)


def test_exact_decay_groups_of_resnet50(exact: Experiment) -> None:
    """2e-5 everywhere but on the 53 batch norms; every parameter once."""
    model = build_network(exact, 1000)
    groups = exact.regularization.weight_decay(model, exact.optimizer.weight_decay)
    assert [group["weight_decay"] for group in groups] == [2e-5, 0.0]
    norms = [p for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()]
    assert len(norms) == 106
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in norms}
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(id(p) for p in model.parameters())
