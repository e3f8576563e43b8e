"""The published command is `recipe=torchvision_exact`."""

import shlex

import pytest

from sota_exp.config.fingerprint import format_differences
from sota_exp.config.translate.from_torchvision import INTERPOLATIONS as FLAG_VALUES
from sota_exp.config.translate.from_torchvision import NO_COUNTERPART, translate_command
from sota_exp.config.translate.shorten import shorten_overrides
from sota_exp.config.translate.torchvision_flags import DEFAULTS
from sota_exp.errors import ConfigError
from sota_exp.stages.data import INTERPOLATIONS
from tests.experiments import composed
from tests.rows import each_row

PUBLISHED = shlex.split(
    "torchrun --nproc_per_node=8 train.py --model resnet50 --batch-size 128 --lr 0.5 --lr-scheduler cosineannealinglr "
    "--lr-warmup-epochs 5 --lr-warmup-method linear --auto-augment ta_wide --epochs 600 --random-erase 0.1 "
    "--weight-decay 0.00002 --norm-weight-decay 0.0 --label-smoothing 0.1 --mixup-alpha 0.2 --cutmix-alpha 1.0 "
    "--train-crop-size 176 --model-ema --val-resize-size 232 --ra-sampler --ra-reps 4"
)

#: Flags → the values that they set.
FLAGS = {
    "--opt sgd_nesterov --momentum 0.8": {"optimizer.momentum": 0.8},
    "--opt adamw --lr 0.001": {"optimizer.lr": 0.001, "optimizer.beta1": 0.9},
    "--opt rmsprop": {"optimizer.eps": 0.001, "optimizer.alpha": 0.9},
    "-b 64": {"batch_size": 64},
    "--wd 0.1": {"optimizer.weight_decay": 0.1},
    "--lr-scheduler exponentiallr --lr-gamma 0.95 --epochs 10": {"schedule.lr.final_factor": 0.95**10},
    "--lr-scheduler cosineannealinglr --lr-step-size 0 --lr-warmup-method foo": {"schedule.lr.floor": 0.0},
    "--lr-step-size 30": {"schedule.lr.milestones": [1 / 3, 2 / 3]},
    "--lr-scheduler cosineannealinglr --lr-min 0.01": {"schedule.lr.floor": 0.1},
    "--lr-warmup-epochs 9 --lr-warmup-decay 0.1": {"schedule.warmup.factor": 0.1, "schedule.warmup.fraction": 0.1},
    "--auto-augment ra --ra-magnitude 7": {"augmentation.policy.magnitude": 7},
    "--auto-augment cifar10": {"augmentation.policy.policy": "cifar10"},
    "--auto-augment augmix --augmix-severity 5": {"augmentation.policy.severity": 5},
    "--mixup-alpha 0.3": {"augmentation.mix.alpha": 0.3},
    "--cutmix-alpha 0.7": {"augmentation.mix.alpha": 0.7},
    "--clip-grad-norm 1.5": {"regularization.clip.max_norm": 1.5},
    "--sync-bn": {},
    "--weights ResNet50_Weights.IMAGENET1K_V2": {
        "model.weights.tag": "IMAGENET1K_V2",
        "data.interpolation": "bilinear",
    },
    "--interpolation bicubic": {"data.interpolation": "bicubic"},
    "--amp": {"runtime.precision": "fp16"},
    "--data-path /data/imagenet --device cpu -j 2": {"data.root": "/data/imagenet", "runtime.workers": 2},
    "--model-ema --epochs 1": {
        "regularization.average.decay": 1 - 2e-5 * 32 * 32,
        "regularization.average.anchor": "epoch",
        "regularization.average.every": 32,
    },
}


def value(tree: dict, key: str) -> object:
    for name in key.split("."):
        tree = tree[name]
    return tree


def test_the_interpolations_are_those_of_the_data() -> None:
    """The translation starts without PyTorch, so it has a list of its own."""
    assert FLAG_VALUES == INTERPOLATIONS


def test_the_published_command_is_the_exact_recipe() -> None:
    translation = translate_command(PUBLISHED)
    assert translation.lost == []
    here = composed("data=fake", *translation.words)
    there = composed("data=fake", "recipe=torchvision_exact", "scale=full")
    own_name = [
        "recipe.epochs: 90 → 600",
        "recipe.name: ladder_00_baseline → torchvision_exact",
        "scale.epochs: 90 → 600",
    ]
    assert format_differences(here.values, there.values) == own_name


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        ("", []),
        ("--epochs 100", ["regularization.average.decay=", "schedule.length.epochs=100", "schedule.warmup.fraction="]),
        ("--data-path imagenet", ["data=image_folder", "data.root=imagenet", "data.test_fraction=null"]),
        ("--random-erase 0.2 --output-dir here", ["augmentation.erase.p=0.2", "hydra.run.dir=here"]),
        ("--model resnet18", ["model.arch.name='resnet18'"]),
    ],
)
def test_a_command_near_the_published_one_is_its_recipe_with_the_difference_only(flags, changes) -> None:
    words = translate_command([*PUBLISHED, *flags.split()]).words
    short = shorten_overrides(words)
    assert short[:2] == ["recipe=torchvision_exact", "scale=full"]
    assert all(any(word.startswith(change) for word in short[2:]) for change in changes)
    assert len(short) == 2 + len(changes)
    labels = dict.fromkeys(("recipe", "scale"))
    here, there = (composed(*given).values | labels for given in (short, words))
    assert here == there


def test_a_command_far_from_the_published_one_keeps_its_words() -> None:
    words = translate_command(["train.py"]).words
    assert shorten_overrides(words) == words


@each_row("line", FLAGS)
def test_flags_set_what_they_mean(line: str) -> None:
    found = composed("data=fake", *translate_command(line.split()).words)
    assert found.experiment.batch_size == (64 if line == "-b 64" else 32)
    for key, expected in FLAGS[line].items():
        found_value = value(found.values, key)
        assert found_value == (pytest.approx(expected) if isinstance(expected, float | list) else expected)


def test_a_data_path_has_the_references_split() -> None:
    """All of train/ is trained on, val/ is val and test; the steps per epoch are the reference's 1,251."""
    words = translate_command([*PUBLISHED, "--data-path", "."]).words
    found = composed(*words).experiment
    assert (found.data.name, found.data.test_fraction, found.evaluation.select) == ("image_folder", None, "last")
    assert 1_281_167 // found.batch_size == 1251


def test_sync_bn_chooses_its_slot() -> None:
    assert composed("data=fake", *translate_command(["--sync-bn"]).words).choices["regularization/norm"] == "sync_batch"


@each_row("flag", NO_COUNTERPART)
def test_what_has_no_counterpart_is_listed_with_its_reason(flag: str) -> None:
    words = [f"--{flag}"] if isinstance(DEFAULTS[flag], bool) else [f"--{flag}", "7"]
    assert translate_command(words).lost == [f"--{flag}: {NO_COUNTERPART[flag]}"]


@each_row("line", [
        "--modle resnet50", "--epochs many", "--opt sdg", "--auto-augment x", "--norm-weight-decay 0.1",
        "torchrun --nproc_per_node=gpu train.py", "torchrun --nproc_per_node train.py", "torchrun --nnodes=0 train.py",
        "--lr-step-size 0", "--epochs 10 --lr-warmup-epochs 10", "--train-crop-size 0", "--epochs 0",
        "--lr-warmup-epochs -5", "--lr-warmup-epochs 2 --lr-warmup-method foo",
    ])  # fmt: skip
def test_what_the_reference_rejects_is_refused(line: str) -> None:
    with pytest.raises(ConfigError):
        translate_command(line.split())


def test_repeats_without_a_launcher_are_ignored_as_in_the_reference() -> None:
    alone, launched = (
        translate_command([*start, "train.py", "--ra-sampler"]) for start in ([], ["torchrun", "--nproc_per_node=1"])
    )
    assert "augmentation/repeat=repeated" not in alone.words and "augmentation/repeat=repeated" in launched.words
    assert [line.partition(":")[0] for line in alone.lost] == ["--ra-sampler"] and launched.lost == []


def test_a_final_rate_that_underflows_is_listed_and_still_legal() -> None:
    translation = translate_command(["--lr-scheduler", "exponentiallr", "--epochs", "600"])
    assert composed("data=fake", *translation.words).experiment.schedule.lr(1.0) > 0
    assert [line.partition(":")[0] for line in translation.lost] == ["--lr-gamma"]


def test_exempt_biases_are_not_lost() -> None:
    found = translate_command(["--norm-weight-decay", "0.0", "--bias-weight-decay", "0.0"])
    assert found.lost == [] and "regularization.weight_decay.exempt=norm_and_bias" in found.words
    assert translate_command(["--bias-weight-decay", "0.0"]).lost != []


def test_a_range_of_machines_counts_as_its_minimum() -> None:
    words = ["torchrun", "--nnodes=2:4", "--nproc_per_node", "8", "train.py", "--batch-size", "16"]
    assert "batch_size=256" in translate_command(words).words


def test_a_crop_larger_than_the_image_is_listed() -> None:
    found = translate_command(["--val-resize-size", "200", "--val-crop-size", "224"])
    assert "data.crop_ratio=1.0" in found.words
    assert [line.partition(":")[0] for line in found.lost] == ["--val-resize-size"]
