"""Composing arms: arms equal to their reference are refused, and keys that the command sets keep their value."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sota_exp.config.configuration import Configuration
from sota_exp.config.values import flatten
from sota_exp.errors import ConfigError
from sota_exp.study import plan
from sota_exp.study.arms import StudyConfiguration, compose_arms, find_differences, name_options
from sota_exp.study.design import make_forbidden_check
from tests.experiments import TINY, composed
from tests.study.test_plan import table


def compose(overrides: Sequence[str]) -> Configuration:
    try:
        return composed(*overrides)
    except Exception as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def base(*more: str) -> StudyConfiguration:
    given = [item for item in TINY if not item.startswith("schedule.length")]
    overrides = (*given, "scale.epochs=2", "scale.long_epochs=3", "recipe=torchvision", *more)
    return StudyConfiguration(overrides=overrides, compose=compose)


def ladder(of: StudyConfiguration, *names: str) -> plan.StudyDesign:
    chosen = [each for each in table() if each.name in names]
    techniques = [each.at(of.configuration.choices, flatten(of.configuration.values)) for each in chosen]
    return plan.plan_ladder(techniques, make_forbidden_check(techniques, of))


def test_arms_that_differ_in_evaluation_alone_share_a_training() -> None:
    of = base()
    found = compose_arms(ladder(of, "ema", "inference_resize"), of)
    before, ema, resize = found.ready
    assert before.training != ema.training == resize.training and ema.whole != resize.whole
    assert ema.differences["regularization/average"] == ["none", "ema"]
    assert all(key.startswith(("evaluation.", "evaluation/")) for key in resize.differences)


def test_a_baseline_tells_what_it_changes_in_the_configuration_of_the_command() -> None:
    """As every other arm does of its reference; what it overrides in vain is left out, and what the command fixes."""
    of = base("schedule=classic", "regularization/smoothing=none", "optimizer.weight_decay=0.1")
    (baseline, _) = compose_arms(ladder(of, "ema", "label_smoothing", "weight_decay_tuning"), of).ready[:2]
    assert baseline.arm.changes == ("regularization/weight_decay=everywhere", "regularization/average=none")
    assert baseline.differences["regularization/average"] == ["ema", "none"]
    (cell, *_) = compose_arms(plan.StudyDesign(arms=(replace(baseline.arm, is_cell=True, changes=()),)), of).ready
    assert cell.arm.changes == () and cell.differences == {}


def test_an_arm_that_can_not_differ_is_refused_and_the_next_is_compared_with_the_one_before() -> None:
    of = base("augmentation/mix=none")
    found = compose_arms(ladder(of, "label_smoothing", "mixup", "ema"), of)
    assert [arm.name for arm in found.ready] == ["baseline", "label_smoothing", "ema"]
    assert found.ready[2].arm.reference == "label_smoothing"
    ((name, reason),) = found.refused
    assert name == "mixup" and "as its reference, label_smoothing" in reason and "augmentation/mix=none" in reason


def test_an_arm_that_a_rule_forbids_is_refused_with_the_rule() -> None:
    of = base("augmentation/crop=pad")
    found = compose_arms(ladder(of, "fixres", "ema"), of)
    assert [arm.name for arm in found.ready] == ["baseline", "ema"] and found.refused[0][0] == "fixres"
    assert "fixres" in found.refused[0][1]


def test_a_value_that_the_command_gives_is_kept_in_every_arm() -> None:
    of = base("optimizer.lr=0.3")
    found = compose_arms(ladder(of, "lr_optimizations"), of)
    assert {arm.configuration.values["optimizer"]["lr"] for arm in found.ready} == {0.3}


def test_what_the_command_turns_on_can_be_left_out_with_the_values_that_it_gives() -> None:
    of = base("regularization/dropout=head", "regularization.dropout.drop_rate=0.3", "schedule.length.epochs=5")
    choices, values = of.configuration.choices, flatten(of.configuration.values)
    chosen = [each for each in (*table(), *table("few_images")) if each.name in ("lr_optimizations", "dropout")]
    found = compose_arms(plan.plan_one_change([each.at(choices, values) for each in chosen], choices), of)
    assert [arm.name for arm in found.ready] == ["full", "without_lr_optimizations", "without_dropout"]
    assert [arm.configuration.choices["regularization/dropout"] for arm in found.ready] == ["head", "head", "none"]
    rates = [arm.configuration.values["regularization"]["dropout"].get("drop_rate") for arm in found.ready]
    assert rates == [0.3, 0.3, None]
    assert {arm.configuration.values["schedule"]["length"]["epochs"] for arm in found.ready} == {5}


def test_a_study_without_an_arm_to_compare_ends_with_the_reason() -> None:
    of = base("augmentation/mix=none")
    with pytest.raises(ConfigError, match="no arm is left to compare: mixup"):
        compose_arms(ladder(of, "mixup"), of)


def test_equal_arms_on_other_seeds_are_not_refused() -> None:
    of = base()
    found = compose_arms(plan.plan_null(2), of)
    assert len(found.ready) == 2 and found.ready[0].whole == found.ready[1].whole


def test_differences_leave_out_what_changes_no_number() -> None:
    one, other = ({"seed": seed, "scale": {"name": "a"}, "data": {"size": size}} for seed, size in ((0, 1), (1, 2)))
    assert find_differences(one, other | {"scale": {"name": "b"}}) == {"data.size": [1, 2]}


def test_an_option_of_the_users_own_has_its_name_in_differences() -> None:
    options = {"none": {"_option_": "none"}, "mine": {"_target_": "my_package.Invert", "p": 0.5}}
    none, mine = (
        name_options(Configuration(choices={"augmentation/policy": name}, values={"augmentation": {"policy": node}}))
        for name, node in options.items()
    )
    found = {"augmentation/policy": ["none", "mine"], "augmentation.policy.p": [None, 0.5]}
    assert find_differences(none, mine) == found
