"""The rule table: every rule fires where it should and is silent where it should, with a reason, a remedy and a source."""

import pytest

from sota_exp.errors import ConfigError
from sota_exp.rules import RULES, check, fired
from tests.experiments import composed

#: A configuration that breaks each rule, and the nearest one that does not.
EXAMPLES = {
    "warm-up as long as training": (
        ["schedule/warmup=linear", "schedule.warmup.fraction=1.0"],
        ["schedule/warmup=linear", "schedule.warmup.fraction=0.99"],
    ),
    "one-cycle with a warm-up": (
        ["schedule/lr=one_cycle", "schedule/warmup=linear"],
        ["schedule/lr=one_cycle", "schedule/warmup=none"],
    ),
    "FixRes without resized crop": (
        ["augmentation/train_size=fixres", "augmentation/crop=pad"],
        ["augmentation/train_size=fixres", "augmentation/crop=random_resized"],
    ),
    "published weights of a small network": (
        ["model/arch=small", "model/weights=pretrained"],
        ["model/arch=timm", "model/weights=pretrained"],
    ),
    "group norm under published weights": (
        ["model/arch=timm", "model/weights=pretrained", "regularization/norm=group"],
        ["model/arch=timm", "model/weights=pretrained", "regularization/norm=batch"],
    ),
    "early stopping under an annealed schedule": (
        ["schedule/early_stopping=patience", "schedule/lr=cosine"],
        ["schedule/early_stopping=patience", "schedule/lr=step"],
    ),
    "batch norm in micro-batches": (
        ["schedule/accumulation=micro_batches", "regularization/norm=batch"],
        ["schedule/accumulation=micro_batches", "regularization/norm=group"],
    ),
    "micro-batch as large as the batch": (
        ["schedule/accumulation=micro_batches", "batch_size=32"],
        ["schedule/accumulation=micro_batches", "batch_size=33"],
    ),
    "long EMA horizon": (
        ["regularization/average=ema", "regularization.average.horizon=0.6"],
        ["regularization/average=ema", "regularization.average.horizon=0.4"],
    ),
    "SWA under an annealed schedule": (
        ["regularization/average=swa", "schedule/lr=cosine"],
        ["regularization/average=swa", "schedule/lr=constant"],
    ),
    "linear scaling for an adaptive optimizer": (
        ["optimizer=adamw", "schedule/lr_scaling=linear"],
        ["optimizer=adamw", "schedule/lr_scaling=square_root"],
    ),
    "flips that change labels": (
        ["data=digits_on_photos", "augmentation/flip=random"],
        ["data=digits_on_photos", "augmentation/flip=none"],
    ),
    "rotations that change labels": (
        ["data=digits_on_photos", "augmentation/policy=trivialaugment"],
        ["data=digits_on_photos", "augmentation/policy=none"],
    ),
    "head-only tuning from scratch": (
        ["model/tuning=head_only", "model/weights=scratch"],
        ["model/tuning=head_only", "model/arch=timm", "model/weights=pretrained"],
    ),
    "smoothed binary targets": (
        ["loss=binary_cross_entropy", "regularization/smoothing=label_smoothing"],
        ["loss=binary_cross_entropy", "regularization/smoothing=none"],
    ),
}  # fmt: skip


def names(overrides):
    found = composed(*overrides)
    return {rule.name for rule in fired(found.choices, found.tree)}


def test_every_rule_has_its_examples():
    assert {rule.name for rule in RULES} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_fires_on_what_it_means_and_not_on_its_neighbour(name):
    broken, kept = EXAMPLES[name]
    assert name in names(broken)
    assert name not in names(kept)


@pytest.mark.parametrize("recipe", ["baseline", "small_images", "torchvision"])
def test_no_recipe_breaks_a_rule(recipe):
    assert names([f"recipe={recipe}"]) == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_why_what_instead_and_who_says_so(rule):
    assert len(rule.reason) > 20 and len(rule.mend) > 5 and len(rule.source) > 5
    found = composed(*EXAMPLES[rule.name][0])
    if rule.level == "error":
        with pytest.raises(ConfigError) as caught:
            check(found.choices, found.tree)
        assert caught.value.args[0].startswith(rule.reason) and rule.mend in caught.value.args[0]
    else:
        assert any(warning.startswith(rule.reason) for warning in check(found.choices, found.tree))


def test_a_value_of_a_wrong_type_is_left_to_the_typed_configuration():
    found = composed(
        "schedule/warmup=linear",
        "schedule.warmup.fraction=much",
        "batch_size=big",
        "schedule/accumulation=micro_batches",
    )
    assert check(found.choices, found.tree)
