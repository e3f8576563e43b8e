"""The arms of each kind of study: the published ladder, leave-one-out of a recipe, and techniques of one slot."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import yaml

from sota_exp import CONF
from sota_exp.config.configuration import Configuration
from sota_exp.config.values import flatten
from sota_exp.study import plan
from sota_exp.study.arms import StudyConfiguration, find_differences
from sota_exp.study.design import build_blueprint
from sota_exp.study.screening import plan_screening
from sota_exp.study.settings import StudySettings, parse_study_technique
from sota_exp.study.technique import Technique, build_overrides, build_slot_techniques, merge_overrides
from tests.experiments import composed
from tests.rows import each_row
from tests.study.studies import STANDARD

RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("ladder_*.yaml"))


@lru_cache
def table(name: str = "published") -> tuple[Technique, ...]:
    nodes = yaml.safe_load((CONF / "study" / "techniques" / f"{name}.yaml").read_text())
    return tuple(parse_study_technique(name, node) for name, node in nodes.items())


def on_top_of(*given: str, techniques: str = "published") -> tuple[Configuration, list[Technique]]:
    base = composed(*given)
    return base, [each.at(base.choices, flatten(base.values)) for each in table(techniques)]


@each_row("index, recipe", list(enumerate(RECIPES)))
def test_each_step_of_the_ladder_is_the_published_recipe(index: int, recipe: str) -> None:
    _, techniques = on_top_of("data=fake", "recipe=torchvision")
    arm = plan.plan_ladder(techniques).arms[index]
    made = composed(*merge_overrides(("data=fake", "recipe=torchvision"), arm.overrides))
    assert find_differences(made.values, composed("data=fake", f"recipe={recipe}").values) == {}


def test_the_ladder_has_all_thirteen_and_says_what_each_step_changes() -> None:
    arms = plan.plan_ladder(on_top_of("data=fake", "recipe=torchvision")[1]).arms
    assert len(arms) == len(RECIPES) == 13
    assert [arm.reference for arm in arms] == [None, *(arm.name for arm in arms[:-1])]
    changes = {arm.name: arm.changes for arm in arms}
    assert (
        changes["cutmix"] == ("augmentation/mix=mixup_or_cutmix",)
        or "augmentation/mix=mixup_or_cutmix" in changes["cutmix"]
    )
    assert changes["weight_decay_tuning"] == (
        "regularization/weight_decay=weights_only",
        "optimizer.weight_decay=2e-05",
    )
    assert changes["ema"] == ("regularization/average=ema",)


def test_scaled_values_start_from_the_configurations_own() -> None:
    """A recipe with the technique on has the scaled value; one without it has the other."""
    _, whole = on_top_of("data=fake", "recipe=torchvision")
    _, plain = on_top_of("data=fake", "recipe=baseline")
    for techniques in (whole, plain):
        by_name = {each.name: each for each in techniques}
        assert by_name["lr_optimizations"].on[-1] == "optimizer.lr=0.125"
        assert by_name["lr_optimizations"].off[-1] == "optimizer.lr=0.1"
        assert by_name["weight_decay_tuning"].off[-1] == "optimizer.weight_decay=0.0001"


OF_FEW_IMAGES = {
    "without_transfer": {"model/weights": "scratch", "model/tuning": "full"},
    "without_head_first": {"model/tuning": "full"},
    "without_trivialaugment": {"augmentation/policy": "none"},
    "without_inference_resize": {"evaluation/resolution": "fixed"},
    "without_label_smoothing": {"regularization/smoothing": "none"},
    "without_weight_decay": {"regularization/weight_decay": "none"},
    "without_dropout": {"regularization/dropout": "none"},
    "without_ema": {"regularization/average": "none"},
    "with_head_alone": {"model/tuning": "head_only"},
    "with_random_erasing": {"augmentation/erase": "random_erasing"},
    "with_mixup": {"augmentation/mix": "mixup"},
    "with_cutmix": {"augmentation/mix": "cutmix"},
    "with_fixres": {"augmentation/train_size": "fixres"},
    "with_distillation": {"regularization/distillation": "logits"},  # left out where no teacher is named
    "with_long_training": {"schedule/length": "long"},
}


@pytest.mark.parametrize("given", [[], ["model/weights=checkpoint", "model.weights.path=x"]])
def test_one_change_leaves_out_what_is_on_and_adds_what_is_off(given: list[str]) -> None:
    given = ["data=fake", "recipe=few_images", *given]
    base, techniques = on_top_of(*given, techniques="few_images")
    techniques = [each for each in techniques if each.name != "label_propagation"]  # where supervision names it
    of = StudyConfiguration(overrides=tuple(given), compose=lambda overrides: composed(*overrides))
    design = plan.plan_one_change(techniques, base.choices)
    assert [arm.name for arm in design.arms] == ["full", *OF_FEW_IMAGES] and not design.refused
    for arm in design.arms[1:]:
        assert arm.reference == "full" and arm.changes == arm.overrides
        made = composed(*of.combine_overrides(arm.overrides, on_top=True))
        changed = {slot: option for slot, option in made.choices.items() if base.choices[slot] != option}
        assert changed == OF_FEW_IMAGES[arm.name]
    assert [arm.label for arm in design.arms][9:11] == ["With training the head alone", "With random erasing"]


@pytest.mark.parametrize(("has_teacher", "only"), [(False, None), (True, None), (False, ["distillation"])])
def test_distillation_is_compared_where_a_teacher_or_the_technique_is_named(has_teacher: bool, only: Any) -> None:
    teacher = ["regularization/distillation=logits", "regularization.distillation.source=file"]
    teacher += ["regularization.distillation.path=x"]
    given = ["data=fake", "recipe=few_images", *(teacher if has_teacher else [])]
    of = StudyConfiguration(overrides=tuple(given), compose=lambda overrides: composed(*overrides))
    nodes = yaml.safe_load((CONF / "study" / "techniques" / "few_images.yaml").read_text())
    settings = StudySettings(**(STANDARD | {"kind": "one_change", "techniques": nodes, "only": only}))
    arms = [arm.name for arm in build_blueprint(settings, of).arms]
    assert ("without_distillation" in arms) == has_teacher and ("with_distillation" in arms) == bool(only)
    assert len(arms) == (2 if only else len(OF_FEW_IMAGES) + has_teacher)


def test_label_propagation_is_compared_with_the_given_labels_alone() -> None:
    given = ["data=fake", "recipe=few_images", "supervision=label_propagation", "supervision.num_neighbors=20"]
    base, _ = on_top_of(*given, techniques="few_images")
    of = StudyConfiguration(overrides=tuple(given), compose=lambda overrides: composed(*overrides))
    nodes = yaml.safe_load((CONF / "study" / "techniques" / "few_images.yaml").read_text())
    design = build_blueprint(StudySettings(**(STANDARD | {"kind": "one_change", "techniques": nodes})), of)
    arms = {arm.name: composed(*of.combine_overrides(arm.overrides, on_top=True)).experiment for arm in design.arms}
    assert len(arms) == len(OF_FEW_IMAGES) + 1
    assert arms["full"] == base.experiment
    alone = arms["without_label_propagation"]
    assert replace(alone, supervision=base.experiment.supervision) == base.experiment
    assert alone.supervision == replace(base.experiment.supervision, labels_only=1.0)


def test_leaving_out_mixup_leaves_cutmix() -> None:
    base, techniques = on_top_of("data=fake", "recipe=torchvision")
    arms = {arm.name: arm for arm in plan.plan_leave_one_out(techniques, base.choices).arms}
    assert arms["without_mixup"].overrides == ("augmentation/mix=cutmix",)
    assert arms["without_cutmix"].overrides == ("augmentation/mix=mixup",)
    assert arms["without_ema"].overrides == ("regularization/average=none",)
    assert len(arms) == 13 and all(arm.reference == "full" for arm in arms.values() if arm.name != "full")


def test_what_a_recipe_has_off_can_not_be_left_out() -> None:
    base, techniques = on_top_of("data=fake", "recipe=small_images")
    found = plan.plan_leave_one_out(techniques, base.choices)
    assert ("without_trivialaugment", "the recipe has it off") in found.refused
    assert {"without_ema", "without_label_smoothing"} <= {arm.name for arm in found.arms}


def test_slots_that_no_technique_names_are_techniques_of_their_own() -> None:
    choices = {"augmentation/crop": "pad", "augmentation/flip": "none", "regularization/average": "ema"}
    neutral = {"augmentation/crop": "none", "augmentation/flip": "none", "regularization/average": "none"}
    (found,) = build_slot_techniques(choices, neutral, {"regularization/average"})
    assert (found.name, found.on, found.off) == ("pad", ("augmentation/crop=pad",), ("augmentation/crop=none",))


def test_slots_with_options_of_one_name_are_two_techniques() -> None:
    """Warm-up and scaling of the learning rate are both `linear`: neither was left out, and the page named it twice."""
    base = on_top_of("data=fake", "recipe=small_images")[0]
    neutral = {"schedule/warmup": "none", "schedule/lr_scaling": "none", "schedule/lr": "constant"}
    found = {each.name: each for each in build_slot_techniques(base.choices, neutral, set())}
    assert set(found) == {"warmup", "lr_scaling", "cosine"}
    arms = plan.plan_leave_one_out(list(found.values()), base.choices).arms
    changed = {arm.name: arm.overrides for arm in arms}
    assert changed["without_warmup"] == ("schedule/warmup=none",)
    assert changed["without_lr_scaling"] == ("schedule/lr_scaling=none",)


def test_each_alone_and_each_two() -> None:
    techniques = [
        each for each in on_top_of("data=fake", "recipe=torchvision")[1] if each.name in ("mixup", "cutmix", "ema")
    ]
    alone = {arm.name: arm for arm in plan.plan_add_one_in(techniques).arms}
    assert alone["cutmix"].changes == ("augmentation/mix=cutmix",)
    found = plan.plan_pairs(techniques)
    assert [arm.name for arm in found.arms][4:] == ["mixup+cutmix", "mixup+ema", "cutmix+ema"]
    assert "augmentation/mix=mixup_or_cutmix" in found.arms[4].overrides
    assert found.pairs == (("mixup", "cutmix"), ("mixup", "ema"), ("cutmix", "ema"))


def test_a_screening_design_sets_every_technique_in_every_cell() -> None:
    _, techniques = on_top_of("data=fake", "recipe=torchvision")
    found = plan_screening(techniques, False, lambda on: None, False, beside=True)
    assert len(found.arms) == 24 + 1 + 12 and found.design is not None and found.design.shape == (24, 12)
    for arm, row in zip(found.arms[:24], found.design, strict=True):
        on = [each.name for each, sign in zip(techniques, row, strict=True) if sign > 0]
        assert arm.is_cell and arm.overrides == build_overrides(techniques, on)
    assert any("leave-one-out" in note for note in found.notes)


def test_equal_arms_have_disjoint_seeds() -> None:
    arms = plan.plan_null(3).arms
    assert [arm.seed_offset for arm in arms] == [0, 1000, 2000] and [arm.reference for arm in arms] == [
        None,
        "equal_1",
        "equal_1",
    ]


def test_of_overrides_of_one_key_the_last_stays() -> None:
    assert merge_overrides(["a=1", "b=2"], ["a=3", "+c=4"], ["c=5"]) == ("b=2", "a=3", "c=5")


@pytest.mark.parametrize("kind", [plan.plan_ladder, plan.plan_add_one_in, plan.plan_pairs])
def test_techniques_that_are_not_asked_for_are_off_in_every_arm(kind: Any) -> None:
    """So that "the baseline" and "alone" mean the same as in the whole table."""
    _, techniques = on_top_of("data=fake", "recipe=torchvision")
    chosen = [each for each in techniques if each.name in ("label_smoothing", "ema")]
    absent = [each for each in techniques if each not in chosen]
    found = {arm.name: set(arm.overrides) for arm in kind(chosen, absent=absent).arms}
    whole = {arm.name: set(arm.overrides) for arm in plan.plan_add_one_in(techniques).arms}
    assert found["baseline"] == whole["baseline"] and found["label_smoothing"] == whole["label_smoothing"]
    assert all("augmentation/policy=none" in overrides for overrides in found.values())
