"""The rule table: every rule fires where it should and nowhere else, and has a reason, a fix and a source."""

import itertools

import pytest

from sota_exp import CONF
from sota_exp.config.rules import RULES, check_rules, find_fired_rules
from sota_exp.errors import ConfigError
from tests.experiments import composed
from tests.rows import each_row

#: A configuration that breaks each rule, and the nearest ones that do not.
LOGITS = ("data=fake", "regularization/distillation=logits", "model/arch=timm", "model.arch.name=resnet18")
EXAMPLES = {
    "FixRes without resized crop": (
        ["augmentation/train_size=fixres", "augmentation/crop=pad"],
        ["augmentation/train_size=fixres", "augmentation/crop=random_resized"],
    ),
    "several sizes for a network of fixed size": (
        ["model/arch=timm", "model.arch.name=vit_tiny_patch16_224", "model.arch.img_size=48",
         "evaluation/resolution=search"],
        ["model/arch=timm", "model.arch.name=resnet18", "evaluation/resolution=search"],
    ),
    "FixRes below 16 px": (
        ["recipe=torchvision", "data=fake", "data.image_size=20"],
        ["recipe=torchvision", "data=fake", "data.image_size=21"],
    ),
    "padding for photographs": (
        ["recipe=small_images", "data.image_size=96"],
        ["recipe=small_images", "data.image_size=64"],
    ),
    "FixRes of ratio one": (
        ["recipe=torchvision", "augmentation.train_size.ratio=1"],
        ["recipe=torchvision", "augmentation.train_size.ratio=1.1"],
    ),
    "FixRes with crops that hardly enlarge": (
        ["recipe=torchvision", "augmentation.crop.scale=[0.5,1.0]"],
        ["recipe=torchvision", "augmentation.crop.scale=[0.35,1.0]"],
    ),
    "fine-tuning for a size without resized crop": (
        ["evaluation/fine_tune=classifier_and_norm", "augmentation/crop=pad"],
        ["evaluation/fine_tune=classifier_and_norm", "augmentation/crop=random_resized"],
    ),
    "fine-tuning on hidden labels": (
        ["evaluation/fine_tune=classifier_and_norm", "supervision=label_propagation"],
        ["evaluation/fine_tune=classifier_and_norm", "supervision=full"],
    ),
    "fine-tuning with another loss": (
        ["evaluation/fine_tune=classifier_and_norm", "loss=binary_cross_entropy"],
        ["evaluation/fine_tune=classifier_and_norm", "loss=cross_entropy"],
    ),
    "selection on test images": (
        ["data=fake", "data.test_fraction=null"],
        ["data=fake", "data.test_fraction=null", "evaluation.select=last"],
    ),
    "flips that change labels": (
        ["data=digits_on_photos", "augmentation/flip=none", "evaluation/tta=flip"],
        ["data=digits_on_photos", "augmentation/flip=none", "evaluation/tta=multi_crop"],
    ),
    "large rotations that change labels": (
        ["data=digits_on_photos", "augmentation/policy=trivialaugment"],
        ["data=digits_on_photos", "augmentation/policy=randaugment"],
    ),
    "repeats without augmentation": (
        ["augmentation=none", "augmentation/crop=none", "augmentation/repeat=repeated",
         "augmentation/flip=alternating"],
        ["augmentation=none", "augmentation/crop=none", "augmentation/repeat=repeated", "augmentation/flip=random"],
    ),
    "repeats in a short training": (
        ["augmentation/repeat=repeated", "schedule.length.epochs=16"],
        ["augmentation/repeat=repeated", "schedule.length.epochs=17"],
    ),
    "mixing an image with itself": (
        ["augmentation/repeat=repeated", "augmentation/mix=cutmix", "batch_size=7"],
        ["augmentation/repeat=repeated", "augmentation/mix=cutmix", "batch_size=8"],
    ),
    "pretrained weights at a small size": (
        ["model/arch=timm", "model/weights=pretrained", "data.image_size=95"],
        ["model/arch=timm", "model/weights=pretrained", "data.image_size=96"],
    ),
    "a pretrained teacher at a small size": (
        [*LOGITS, "data.image_size=48"],
        [*LOGITS, "data.image_size=48", "regularization.distillation.image_size=224"],
    ),
    "a network without files": (
        ["model/arch=python", "model.arch.digest=x"],
        ["model/arch=small"],
    ),
    "pretrained weights of a small network": (
        ["model/arch=small", "model/weights=pretrained"],
        ["model/arch=timm", "model/weights=pretrained"],
    ),
    "group norm with pretrained weights": (
        ["model/arch=timm", "model/weights=pretrained", "regularization/norm=group"],
        ["model/arch=timm", "model/weights=pretrained", "regularization/norm=none"],
    ),
    "zero-initialized branches of a trained network": (
        ["model/arch=timm", "model/weights=pretrained", "regularization.norm.zero_init_last_gamma=true"],
        ["model/arch=timm", "model/weights=scratch", "regularization.norm.zero_init_last_gamma=true"],
    ),
    "ghost batches as large as the batch": (
        ["regularization/norm=ghost_batch", "batch_size=32"],
        ["regularization/norm=ghost_batch", "batch_size=33"],
    ),
    "ghost batches cut by micro-batches": (
        ["regularization/norm=ghost_batch", "schedule/accumulation=micro_batches",
         "schedule.accumulation.micro_batch_size=48"],
        ["regularization/norm=ghost_batch", "schedule/accumulation=micro_batches",
         "schedule.accumulation.micro_batch_size=64"],
    ),
    "batch norm in micro-batches": (
        ["schedule/accumulation=micro_batches", "regularization/norm=batch"],
        ["schedule/accumulation=micro_batches", "regularization/norm=group"],
    ),
    "batch norm of few images": (
        ["batch_size=7", "regularization/norm=batch"],
        ["batch_size=8", "regularization/norm=batch"],
    ),
    "synchronized batch norm in one process": (
        ["regularization/norm=sync_batch"],
        ["regularization/norm=batch"],
    ),
    "tuning a classifier on random features": (
        ["model/tuning=gradual", "model/weights=scratch"],
        ["model/tuning=gradual", "model/arch=timm", "model/weights=pretrained"],
    ),
    "stochastic depth in a frozen network": (
        ["model/tuning=head_only", "regularization/stochastic_depth=linear"],
        ["model/tuning=gradual", "regularization/stochastic_depth=linear"],
    ),
    "training statistics in a frozen network": (
        ["model/tuning=head_only", "regularization/norm=ghost_batch"],
        ["model/tuning=head_only", "regularization/norm=group"],
    ),
    "clipping without the trained classifier": (
        ["model/tuning=head_only", "regularization/clip=adaptive"],
        ["model/tuning=head_only", "regularization/clip=adaptive", "regularization.clip.exclude_classifier=false"],
    ),
    "a pretrained teacher of other classes": (
        ["regularization/distillation=logits"],
        ["regularization/distillation=logits", "data=imagenet"],
    ),
    "a teacher of the student's architecture": (
        [*LOGITS, "regularization.distillation.name=resnet18"],
        [*LOGITS, "regularization.distillation.name=resnet50"],
    ),
    "label smoothing with a teacher": (
        [*LOGITS, "regularization/smoothing=label_smoothing"],
        [*LOGITS, "regularization/smoothing=none"],
    ),
    "label techniques that distillation ignores": (
        [*LOGITS, "regularization.distillation.alpha=1", "regularization/smoothing=label_smoothing"],
        [*LOGITS, "regularization.distillation.alpha=0.9", "regularization/smoothing=label_smoothing"],
    ),
    "a softmax teacher with binary cross-entropy": (
        [*LOGITS, "loss=binary_cross_entropy"],
        [*LOGITS, "loss=cross_entropy"],
    ),
    "smoothed binary targets": (
        ["loss=binary_cross_entropy", "regularization/smoothing=label_smoothing"],
        ["loss=binary_cross_entropy", "regularization/smoothing=none"],
    ),
    "evaluation enlarges what training shows whole": (
        ["augmentation/crop=pad", "data.crop_ratio=0.875"],
        ["augmentation/crop=pad", "data=image_folder", "data.root=x"],
    ),
    "label propagation with every label given": (
        ["supervision=label_propagation", "supervision.labelled_fraction=1.0"],
        ["supervision=label_propagation", "supervision.labelled_fraction=1.0", "supervision.labelled_file=some.txt"],
    ),
    "label propagation that never starts": (
        ["supervision=label_propagation", "schedule.length.epochs=10", "supervision.labels_only=0.91"],
        ["supervision=label_propagation", "schedule.length.epochs=10", "supervision.labels_only=1.0"],
    ),
    "label propagation on frozen features": (
        ["supervision=label_propagation", "model/tuning=head_only"],
        ["supervision=label_propagation", "model/tuning=gradual"],
    ),
    "a batch too small for labelled and unlabelled images": (
        ["supervision=label_propagation", "batch_size=1"],
        ["supervision=label_propagation", "batch_size=2"],
    ),
    "one-cycle with a warm-up": (
        ["schedule/lr=one_cycle", "schedule/warmup=linear"],
        ["schedule/lr=one_cycle", "schedule/warmup=none"],
    ),
    "warm-up within one epoch": (
        ["schedule/stepping=epoch", "schedule.length.epochs=20", "schedule.warmup.fraction=0.05"],
        ["schedule/stepping=epoch", "schedule.length.epochs=20", "schedule.warmup.fraction=0.06"],
    ),
    "restarts within one epoch": (
        ["schedule/lr=cosine_restarts", "schedule/stepping=epoch", "schedule.length.epochs=14"],
        ["schedule/lr=cosine_restarts", "schedule/stepping=epoch", "schedule.length.epochs=15"],
    ),
    "restarts of one cycle": (
        ["schedule/lr=cosine_restarts", "schedule.lr.num_cycles=1"],
        ["schedule/lr=cosine_restarts", "schedule.lr.num_cycles=2"],
    ),
    "early stopping of an annealed schedule": (
        ["schedule/early_stopping=patience", "schedule/lr=cosine"],
        ["schedule/early_stopping=patience", "schedule/lr=step"],
    ),
    "patience as long as training": (
        ["schedule/early_stopping=patience", "schedule.length.epochs=6"],
        ["schedule/early_stopping=patience", "schedule.length.epochs=7"],
    ),
    "early stopping that keeps the last epoch": (
        ["schedule/early_stopping=patience", "evaluation.select=last"],
        ["schedule/early_stopping=patience", "evaluation.select=best"],
    ),
    "early stopping before the second stage": (
        ["schedule/early_stopping=patience", "regularization/average=swa", "schedule.length.epochs=14"],
        ["schedule/early_stopping=patience", "regularization/average=ema", "schedule.length.epochs=14"],
    ),
    "micro-batch as large as the batch": (
        ["schedule/accumulation=micro_batches", "batch_size=32"],
        ["schedule/accumulation=micro_batches", "batch_size=33"],
    ),
    "long EMA horizon": (
        ["regularization/average=ema", "regularization.average.horizon=0.6"],
        ["regularization/average=ema", "regularization.average.horizon=0.4"],
    ),
    "EMA shorter than a step": (
        ["regularization/average=ema", "scale=quick", "scale.train_images=512", "scale.epochs=2",
         "regularization.average.horizon=0.05"],
        ["regularization/average=ema", "scale=smoke", "regularization.average.horizon=0.05"],
    ),
    "SWA under an annealed schedule": (
        ["regularization/average=swa", "schedule/lr=cosine"],
        ["regularization/average=swa", "schedule/lr=constant"],
    ),
    "linear scaling for an adaptive optimizer": (
        ["optimizer=adamw", "schedule/lr_scaling=linear"],
        ["optimizer=adamw", "schedule/lr_scaling=square_root"],
    ),
    "an SGD learning rate for an adaptive optimizer": (
        ["recipe=small_images", "optimizer=adamw", "optimizer.lr=0.1"],
        ["recipe=small_images", "optimizer=adamw"],
    ),
    "linear scaling without warm-up": (
        ["schedule/lr_scaling=linear", "schedule/warmup=none", "batch_size=1024"],
        ["schedule/lr_scaling=linear", "schedule/warmup=linear", "batch_size=1024"],
    ),
    "linear scaling beyond its range": (
        ["schedule/lr_scaling=linear", "batch_size=8193"],
        ["schedule/lr_scaling=linear", "batch_size=8192"],
    ),
    "L2 in Adam": (
        ["optimizer=adam", "optimizer.weight_decay=0.01"],
        ["optimizer=adam", "optimizer.weight_decay=0.01", "regularization/weight_decay=none"],
    ),
    "weight decay of zero": (
        ["regularization/weight_decay=weights_only", "optimizer.weight_decay=0"],
        ["regularization/weight_decay=weights_only", "optimizer.weight_decay=1e-5"],
    ),
}  # fmt: skip

#: Other ways in which a rule of several conditions fires, and other neighbours of it that are legal.
MORE = (
    (True, "several sizes for a network of fixed size", ["model/arch=torchvision", "model.arch.name=vit_b_16",
                                                  "recipe=ladder_09_fixres"]),
    (False, "several sizes for a network of fixed size", ["model/arch=timm", "model.arch.name=vit_tiny_patch16_224",
                                                   "model.arch.img_size=48"]),
    (True, "flips that change labels", ["data=digits_on_photos", "augmentation/flip=random"]),
    (True, "flips that change labels", ["data=digits_on_photos", "augmentation/flip=alternating"]),
    (False, "flips that change labels", ["data=animals_on_photos", "augmentation/flip=random", "evaluation/tta=flip"]),
    (True, "large rotations that change labels", ["augmentation/geometry=rotate_scale",
                                                  "augmentation.geometry.degrees=90"]),
    (False, "large rotations that change labels", ["data=fake", "augmentation/geometry=rotate_scale",
                                                   "augmentation.geometry.degrees=90"]),
    (False, "large rotations that change labels", ["augmentation/policy=trivialaugment"]),
    (False, "repeats without augmentation", ["augmentation=none", "augmentation/crop=none",
                                             "augmentation/repeat=repeated", "augmentation/mix=mixup"]),
    (True, "mixing an image with itself", ["augmentation/mix=mixup", "batch_size=1"]),
    (False, "mixing an image with itself", ["augmentation/mix=mixup", "batch_size=2"]),
    (False, "mixing an image with itself", ["augmentation/repeat=repeated", "augmentation/mix=none", "batch_size=4"]),
    (False, "a pretrained teacher at a small size", [*LOGITS, "regularization.distillation.source=file",
                                                    "regularization.distillation.path=a.safetensors"]),
    (True, "ghost batches as large as the batch", ["regularization/norm=ghost_batch", "batch_size=64",
                                                   "schedule/accumulation=micro_batches"]),
    (True, "batch norm of few images", ["schedule/accumulation=micro_batches",
                                        "schedule.accumulation.micro_batch_size=4"]),
    (True, "tuning a classifier on random features", ["model/tuning=head_only"]),
    (False, "a pretrained teacher of other classes", ["regularization/distillation=logits",
                                                     "regularization.distillation.source=file"]),
    (False, "a teacher of the student's architecture", [*LOGITS, "regularization.distillation.name=resnet18",
                                                    "regularization.distillation.source=torchvision"]),
    (False, "label smoothing with a teacher", [*LOGITS, "regularization/smoothing=label_smoothing",
                                           "regularization.distillation.alpha=1"]),
    (True, "early stopping before the second stage", ["schedule/early_stopping=patience", "model/tuning=gradual",
                                                      "schedule.length.epochs=25"]),
    (False, "early stopping before the second stage", ["schedule/early_stopping=patience", "model/tuning=gradual",
                                                       "schedule.length.epochs=24"]),
    (True, "early stopping before the second stage", ["schedule/early_stopping=patience", "schedule.length.epochs=13",
                                                      "supervision=label_propagation"]),
    (False, "early stopping before the second stage", ["schedule/early_stopping=patience", "schedule.length.epochs=12",
                                                       "supervision=label_propagation"]),
    (False, "early stopping before the second stage", ["schedule/early_stopping=patience", "schedule.length.epochs=13",
                                                       "supervision=label_propagation", "supervision.labels_only=1"]),
    (False, "label propagation that never starts", ["supervision=label_propagation", "schedule.length.epochs=10",
                                                    "supervision.labels_only=0.9"]),
    (True, "evaluation enlarges what training shows whole", ["augmentation/crop=none", "data.crop_ratio=0.875"]),
    (False, "evaluation enlarges what training shows whole", ["augmentation/crop=random_resized",
                                                              "data.crop_ratio=0.875"]),
    (False, "linear scaling without warm-up", ["schedule/lr_scaling=linear", "schedule/warmup=none",
                                               "schedule/lr=one_cycle", "batch_size=1024"]),
    (False, "an SGD learning rate for an adaptive optimizer", ["recipe=rsb_a2"]),
)  # fmt: skip

#: The rules that recipes break at their own values: each is true, and the recipe's header or command says what to do.
OF_RECIPES = {
    ("distill", "quick"): {"a pretrained teacher at a small size", "a pretrained teacher of other classes"},
    ("distill", "full"): {"a pretrained teacher at a small size", "a pretrained teacher of other classes"},
    ("torchvision_exact", "quick"): {"warm-up within one epoch"},
    ("transfer", "quick"): {"pretrained weights at a small size"},
    ("transfer", "full"): {"pretrained weights at a small size"},
}


def names(overrides):
    found = composed(*overrides)
    return {rule.name for rule in find_fired_rules(found)}


def test_every_rule_has_its_examples():
    assert {rule.name for rule in RULES} == set(EXAMPLES)


@each_row("name", EXAMPLES)
def test_a_rule_fires_on_what_it_means_and_not_on_its_neighbour(name):
    broken, kept = EXAMPLES[name]
    assert name in names(broken)
    assert name not in names(kept)


@pytest.mark.slow
@each_row("fires, name, overrides", MORE)
def test_every_part_of_a_condition_counts(fires, name, overrides):
    assert (name in names(overrides)) == fires


@pytest.mark.slow
@each_row(
    "scale, recipe",
    itertools.product(["quick", "full"], sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))),
)
def test_recipes_fire_no_rule_but_those_that_their_headers_answer(recipe, scale):
    assert names([f"recipe={recipe}", f"scale={scale}"]) == OF_RECIPES.get((recipe, scale), set())


def test_processes_count(monkeypatch):
    """Synchronized statistics need several; a batch is divided among them before any limit is looked at."""
    sync, mixed = ["regularization/norm=sync_batch"], ["augmentation/mix=mixup", "batch_size=2"]
    assert "synchronized batch norm in one process" in names(sync)
    assert "mixing an image with itself" not in names(mixed)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "synchronized batch norm in one process" not in names(sync)
    assert "mixing an image with itself" in names(mixed)


def test_the_first_of_a_billion_cycles_is_short_at_once():
    assert "restarts within one epoch" in names(
        ["schedule/lr=cosine_restarts", "schedule/stepping=epoch", "schedule.lr.num_cycles=1000000000"]
    )


@each_row("rule", RULES)
def test_a_message_contains_the_reason_and_the_fix(rule):
    assert len(rule.reason) > 20 and len(rule.fix) > 5 and len(rule.source) > 5
    found = composed(*EXAMPLES[rule.name][0])
    if rule.level == "error":
        with pytest.raises(ConfigError) as caught:
            check_rules(found)
        assert caught.value.args[0].startswith(rule.reason) and rule.fix in caught.value.args[0]
    else:
        assert any(warning.startswith(rule.reason) for warning in check_rules(found))


def test_a_value_of_a_wrong_type_is_left_to_the_typed_configuration():
    found = composed(
        "schedule/warmup=linear",
        "schedule.warmup.fraction=much",
        "batch_size=big",
        "schedule/accumulation=micro_batches",
    )
    assert find_fired_rules(found)
