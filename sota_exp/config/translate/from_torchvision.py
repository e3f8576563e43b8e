"""Translates a command of torchvision's reference training (references/classification/train.py) into overrides.

Every flag is translated or listed as lost, with the reason.
"""

import sys
from dataclasses import dataclass
from typing import Any

from sota_exp.config.translate.torchvision_flags import (
    AUTO_AUGMENT,
    DEFAULTS,
    OPTIMIZERS,
    SCHEDULES,
    WARMUP_METHODS,
    ReferenceCommand,
    parse_command,
    uses_launcher,
)
from sota_exp.errors import ConfigError

#: Values of `--interpolation` that `data.interpolation` has too.
INTERPOLATIONS = ("bilinear", "bicubic")

#: Flag → why it has no counterpart.
NO_COUNTERPART = {
    "bias-weight-decay": "regularization.weight_decay.exempt=norm_and_bias exempts biases; they have no own decay",
    "transformer-embedding-decay": "regularization.weight_decay.exempt=one_dimensional is the nearest",
    "print-freq": "metrics are written once per epoch",
    "resume": "the same command, repeated, resumes from its checkpoint",
    "start-epoch": "the same command, repeated, resumes from its checkpoint",
    "cache-dataset": "decoded images are always cached",
    "test-only": "use sota-exp evaluate run=DIR",
    "world-size": "torchrun sets it",
    "dist-url": "torchrun sets it",
    "use-deterministic-algorithms": "results on the CPU are always bit-identical; other devices have no such guarantee",
    "backend": "images are resized by PyTorch's uint8 kernel",
    "use-v2": "augmentation is this package's own and runs on the device",
}

#: Flag → its overrides, where it has another value than its default; `{}` is the value.
OVERRIDES = {
    "output-dir": ["hydra.run.dir={}"],
    "device": ["runtime.device={}"],
    "workers": ["runtime.workers={}"],
    "random-erase": ["augmentation/erase=random_erasing", "augmentation.erase.p={}"],
    "label-smoothing": ["regularization/smoothing=label_smoothing", "regularization.smoothing.label_smoothing={}"],
    "amp": ["runtime.precision=fp16"],
    "sync-bn": ["regularization/norm=sync_batch"],
    "clip-grad-norm": ["regularization/clip=norm", "regularization.clip.max_norm={}"],
}

#: Flags that set the same wherever they are, also at the reference's default.
TAKEN_WHERE_GIVEN = ("device", "workers")

SMALLEST_FLOAT = sys.float_info.min


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The overrides of the command; one line `--flag: reason` per flag that is lost, and what is still to do."""

    words: list[str]
    lost: list[str]
    to_do: list[str]


def translate_command(words: list[str]) -> Translation:
    """Translate a command of the reference into overrides of `sota-exp train`."""
    found = parse_command(words)
    flags, processes = found.flags, found.num_local_processes * found.num_machines
    untranslated = [flag for flag in NO_COUNTERPART if flag in found.given]
    if flags["norm-weight-decay"] == 0 and flags["bias-weight-decay"] == 0:
        untranslated.remove("bias-weight-decay")  # exempt=norm_and_bias covers both.
    lost = [f"--{flag}: {NO_COUNTERPART[flag]}" for flag in untranslated]
    if flags["val-crop-size"] > flags["val-resize-size"]:
        flags["val-resize-size"] = flags["val-crop-size"]
        lost.append(
            "--val-resize-size: the reference pads a crop larger than the image with black; here it is the whole image"
        )
    if flags["interpolation"] not in INTERPOLATIONS:
        lost.append(f"--interpolation: legal here: {' or '.join(INTERPOLATIONS)}, both antialiased")
    elif flags["interpolation"] != "bilinear" and flags["auto-augment"]:
        lost.append("--interpolation: it applies to resizing only; --auto-augment interpolates bilinearly here")
    if flags["ra-sampler"] and not uses_launcher(words):
        flags["ra-sampler"] = False
        lost.append("--ra-sampler: without torchrun the reference ignores it, and so does this translation")
    if flags["opt"] == "rmsprop":
        lost.append(
            "--opt rmsprop: the reference's adds 0.0316 to the root and begins with 0; here 0.001 is inside, with 1"
        )
    if flags["lr-scheduler"] == "exponentiallr" and compute_final_factor(flags) == SMALLEST_FLOAT:
        lost.append("--lr-gamma: the final learning rate underflows to 0; here it ends at the smallest positive float")
    parts = [
        ["recipe=ladder_00_baseline", "scale=full", f"batch_size={flags['batch-size'] * processes}"],
        _translate_data(flags),
        ["model=torchvision", f"model.arch.name={flags['model']}"],
        _translate_optimizer(flags),
        _translate_schedule(flags),
        _translate_augmentation(flags),
        _translate_regularization(flags, processes),
        *(
            [word.format(flags[flag]) for word in words]
            for flag, words in OVERRIDES.items()
            if flags[flag] != DEFAULTS[flag] or (flag in TAKEN_WHERE_GIVEN and flag in found.given)
        ),
    ]
    return Translation(words=[word for part in parts for word in part], lost=lost, to_do=list_what_is_to_do(found))


def list_what_is_to_do(found: ReferenceCommand) -> list[str]:
    """What the words of the command cannot say: how it is started, and the data where it names none."""
    lines = []
    if found.num_local_processes > 1 or found.num_machines > 1:
        start = f"torchrun --nproc_per_node={found.num_local_processes}"
        start += f" --nnodes={found.num_machines}" if found.num_machines > 1 else ""
        lines.append(f"batch_size is that of all processes; to start as many, write `{start} -m sota_exp train …`")
    if not found.flags["data-path"]:
        lines.append(
            "--data-path is missing, so this trains on animals_on_photos; add data=image_folder data.root=DIR "
            "data.test_fraction=null, with DIR/train and DIR/val"
        )
    return lines


def _translate_data(flags: dict[str, Any]) -> list[str]:
    crop, resize = flags["val-crop-size"], flags["val-resize-size"]
    words = [f"data.image_size={crop}", f"data.crop_ratio={crop / resize!r}", "evaluation.select=last"]
    if flags["interpolation"] in INTERPOLATIONS and (flags["interpolation"] != "bilinear" or flags["weights"]):
        # The reference ignores the preprocessing of pretrained weights.
        words.append(f"data.interpolation={flags['interpolation']}")
    if flags["weights"]:
        words += ["model/weights=pretrained", f"model.weights.tag={flags['weights'].rpartition('.')[2]}"]
    if flags["data-path"]:
        # The reference validates and reports on val/, and trains on every image of train/.
        words = ["data=image_folder", f"data.root={flags['data-path']}", "data.test_fraction=null", *words]
    return words


def _translate_optimizer(flags: dict[str, Any]) -> list[str]:
    name = flags["opt"]
    words = [
        f"optimizer={OPTIMIZERS[name]}",
        f"optimizer.lr={flags['lr']!r}",
        f"optimizer.weight_decay={flags['weight-decay']!r}",
    ]
    if name == "rmsprop":
        words += ["optimizer.alpha=0.9", "optimizer.eps=0.001"]  # The reference's 0.0316², inside the root.
    return [*words, f"optimizer.momentum={flags['momentum']!r}"] if name != "adamw" else words


def compute_final_factor(flags: dict[str, Any]) -> float:
    """The last learning rate of `--lr-scheduler exponentiallr` divided by the first."""
    return max(flags["lr-gamma"] ** (flags["epochs"] - flags["lr-warmup-epochs"]), SMALLEST_FLOAT)


def _translate_schedule(flags: dict[str, Any]) -> list[str]:
    epochs, warmup, option = flags["epochs"], flags["lr-warmup-epochs"], SCHEDULES[flags["lr-scheduler"]]
    epochs_after_warmup = epochs - warmup
    if epochs_after_warmup < 1:
        raise ConfigError(f"--lr-warmup-epochs {warmup}: legal here: less than --epochs {epochs}")
    if option == "step" and flags["lr-step-size"] < 1:
        raise ConfigError(f"--lr-step-size {flags['lr-step-size']}: legal: at least 1")
    if option == "step" and flags["lr-step-size"] >= epochs_after_warmup:
        option = "constant"  # Training ends before the first step.
    words = [f"schedule/lr={option}", "schedule/lr_scaling=none", "schedule/stepping=epoch"]
    words += ["schedule/length=long", f"schedule.length.epochs={epochs}"]
    if option == "step":
        steps = range(flags["lr-step-size"], epochs_after_warmup, flags["lr-step-size"])
        milestones = [step / epochs_after_warmup for step in steps]
        words += [
            f"schedule.lr.milestones=[{','.join(map(repr, milestones))}]",
            f"schedule.lr.gamma={flags['lr-gamma']!r}",
        ]
    elif option == "cosine":
        words.append(f"schedule.lr.floor={flags['lr-min'] / flags['lr']!r}")
    elif option == "exponential":
        words.append(f"schedule.lr.final_factor={compute_final_factor(flags)!r}")
    if not warmup:
        return [*words, "schedule/warmup=none"]
    if flags["lr-warmup-method"] not in WARMUP_METHODS:
        raise ConfigError(f"--lr-warmup-method {flags['lr-warmup-method']}: legal: {', '.join(WARMUP_METHODS)}")
    factor = "start_factor" if flags["lr-warmup-method"] == "linear" else "factor"
    words += [f"schedule/warmup={flags['lr-warmup-method']}", f"schedule.warmup.fraction={warmup / epochs!r}"]
    return [*words, f"schedule.warmup.{factor}={flags['lr-warmup-decay']!r}"]


def _translate_augmentation(flags: dict[str, Any]) -> list[str]:
    train, val = flags["train-crop-size"], flags["val-crop-size"]
    words = []
    if train != val:
        words += ["augmentation/train_size=fixres", f"augmentation.train_size.ratio={val / train!r}"]
    policy = flags["auto-augment"]
    if policy is not None:
        words.append(f"augmentation/policy={AUTO_AUGMENT[policy]}")
        words += {
            "ta_wide": [f"augmentation.policy.translate_fraction={32 / train!r}"],
            "ra": [f"augmentation.policy.magnitude={flags['ra-magnitude']}"],
            "augmix": [f"augmentation.policy.severity={flags['augmix-severity']}"],
        }.get(policy, [f"augmentation.policy.policy={policy}"])
    words += _translate_mixing(flags["mixup-alpha"], flags["cutmix-alpha"])
    if flags["ra-sampler"]:
        words += ["augmentation/repeat=repeated", f"augmentation.repeat.num_repeats={flags['ra-reps']}"]
    return words


def _translate_mixing(mixup: float, cutmix: float) -> list[str]:
    if mixup > 0 and cutmix > 0:
        values = [f"augmentation.mix.mixup_alpha={mixup!r}", f"augmentation.mix.cutmix_alpha={cutmix!r}"]
        return ["augmentation/mix=mixup_or_cutmix", *values]
    if mixup > 0:
        return ["augmentation/mix=mixup", f"augmentation.mix.alpha={mixup!r}"]
    return ["augmentation/mix=cutmix", f"augmentation.mix.alpha={cutmix!r}"] if cutmix > 0 else []


def _translate_regularization(flags: dict[str, Any], processes: int) -> list[str]:
    words = []
    if flags["norm-weight-decay"] == 0:
        exempt = "norm_and_bias" if flags["bias-weight-decay"] == 0 else "norm"
        words += ["regularization/weight_decay=weights_only", f"regularization.weight_decay.exempt={exempt}"]
    elif flags["norm-weight-decay"] is not None and flags["norm-weight-decay"] != flags["weight-decay"]:
        raise ConfigError("--norm-weight-decay: legal here: 0, or the value of --weight-decay")
    if flags["model-ema"]:
        words += ["regularization/average=ema", "regularization.average.horizon=null"]
        words.append(f"regularization.average.decay={compute_ema_decay(flags, processes)!r}")
        words += ["regularization.average.anchor=epoch", f"regularization.average.every={flags['model-ema-steps']}"]
    return words


def compute_ema_decay(flags: dict[str, Any], processes: int) -> float:
    """The decay of the reference's EMA per update, in [0, 1]: 1 − `--model-ema-decay` is scaled by batch and epochs."""
    adjust = processes * flags["batch-size"] * flags["model-ema-steps"] / flags["epochs"]
    return 1 - min(1.0, (1 - flags["model-ema-decay"]) * adjust)
