"""The command line of torchvision's reference training (references/classification/train.py) as our overrides.

One table says what every flag is worth by default, another why some have no counterpart. Nothing is guessed: what is
lost is listed.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from typing import Any

#: Flag → the reference's default; of a switch, False.
DEFAULTS: dict[str, Any] = {
    "data-path": None,
    "model": "resnet18",
    "device": "cuda",
    "batch-size": 32,
    "epochs": 90,
    "workers": 16,
    "opt": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight-decay": 1e-4,
    "norm-weight-decay": None,
    "bias-weight-decay": None,
    "transformer-embedding-decay": None,
    "label-smoothing": 0.0,
    "mixup-alpha": 0.0,
    "cutmix-alpha": 0.0,
    "lr-scheduler": "steplr",
    "lr-warmup-epochs": 0,
    "lr-warmup-method": "constant",
    "lr-warmup-decay": 0.01,
    "lr-step-size": 30,
    "lr-gamma": 0.1,
    "lr-min": 0.0,
    "print-freq": 10,
    "output-dir": None,
    "resume": None,
    "start-epoch": 0,
    "cache-dataset": False,
    "sync-bn": False,
    "test-only": False,
    "auto-augment": None,
    "ra-magnitude": 9,
    "augmix-severity": 3,
    "random-erase": 0.0,
    "amp": False,
    "world-size": 1,
    "dist-url": "env://",
    "model-ema": False,
    "model-ema-steps": 32,
    "model-ema-decay": 0.99998,
    "use-deterministic-algorithms": False,
    "interpolation": "bilinear",
    "val-resize-size": 256,
    "val-crop-size": 224,
    "train-crop-size": 224,
    "clip-grad-norm": None,
    "ra-sampler": False,
    "ra-reps": 3,
    "weights": None,
    "backend": "PIL",
    "use-v2": False,
}

#: What `--interpolation` can say here too.
RESIZING = ("bilinear", "bicubic")

#: Flags that take a number although their default is None.
NUMBERS = ("norm-weight-decay", "bias-weight-decay", "transformer-embedding-decay", "clip-grad-norm")

#: Short and second names.
ALIASES = {"b": "batch-size", "j": "workers", "wd": "weight-decay"}

#: Flag → why there is nothing to translate it to.
NO_COUNTERPART = {
    "bias-weight-decay": "regularization.weight_decay.exempt=norm_and_bias spares biases; they have none of their own",
    "transformer-embedding-decay": "regularization.weight_decay.exempt=one_dimensional spares what timm names",
    "print-freq": "a record is written every epoch",
    "resume": "a repeated command goes on from its checkpoint",
    "start-epoch": "a repeated command goes on from its checkpoint",
    "cache-dataset": "images are decoded once, and always kept",
    "test-only": "sota-exp evaluate run=DIR",
    "amp": "runtime.precision=bf16 is bfloat16; the flag means float16 with a scaled loss",
    "world-size": "torchrun says it",
    "dist-url": "torchrun says it",
    "use-deterministic-algorithms": "results repeat to the bit on the processor; nothing is promised of other devices",
    "backend": "images are cut by PyTorch's own uint8 kernel",
    "use-v2": "augmentation is our own, on the device",
}

AUTO_AUGMENT = {"ra": "randaugment", "ta_wide": "trivialaugment", "augmix": "augmix"}
AUTO_AUGMENT |= dict.fromkeys(("imagenet", "cifar10", "svhn"), "autoaugment")
OPTIMIZERS = {"sgd": "sgd", "sgd_nesterov": "nesterov", "rmsprop": "rmsprop", "adamw": "adamw"}
#: What the reference writes into its code.
RMSPROP = ["optimizer.alpha=0.9", "optimizer.eps=0.0316"]
SMALLEST = sys.float_info.min
#: Flags that count something, with the least of it.
SMALLEST_LEGAL = dict.fromkeys(
    ("epochs", "batch-size", "train-crop-size", "val-crop-size", "val-resize-size"), (1, "at least 1")
) | {"lr-warmup-epochs": (0, "at least 0")}
WARMUPS = ("linear", "constant")
SCHEDULES = {"steplr": "step", "cosineannealinglr": "cosine", "exponentiallr": "exponential"}


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Words of the other command, and what is lost: `flag: reason`."""

    words: list[str]
    lost: list[str]


class WrongFlag(ValueError):
    """A word that the reference does not take, or a value of the wrong type."""


def parser() -> argparse.ArgumentParser:
    """The reference's own command line."""
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag, default in DEFAULTS.items():
        names = [
            f"--{flag}",
            *(f"{'-' if len(short) == 1 else '--'}{short}" for short, full in ALIASES.items() if full == flag),
        ]
        if isinstance(default, bool):
            made.add_argument(*names, dest=flag, action="store_true")
        else:
            kind = float if flag in NUMBERS else str if default is None else type(default)
            made.add_argument(*names, dest=flag, type=kind, default=default)
    return made


def parse(words: list[str]) -> tuple[dict[str, Any], int]:
    """(value of every flag, number of processes) of `torchrun --nproc_per_node=8 train.py --model …`.

    Raises:
        WrongFlag: something the reference would not take either.
    """
    scripts = [index for index, word in enumerate(words) if word.endswith(".py")]
    launcher, flags = (words[: scripts[0]], words[scripts[0] + 1 :]) if scripts else ([], words)
    counts = {}
    for index, word in enumerate(launcher):
        name, _, value = word.lstrip("-").partition("=")
        if (name := name.replace("-", "_")) in ("nproc_per_node", "nnodes"):
            counts[name] = count(name, value or "".join(launcher[index + 1 : index + 2]))
    processes = math.prod(counts.values())
    try:
        values, unknown = parser().parse_known_args(flags)
    except argparse.ArgumentError as error:
        raise WrongFlag(str(error)) from error
    if unknown:
        raise WrongFlag(f"{unknown[0]}: the reference has no such flag")
    for flag, (least, legal) in SMALLEST_LEGAL.items():
        if vars(values)[flag] < least:
            raise WrongFlag(f"--{flag} {vars(values)[flag]}: legal: {legal}")
    return vars(values), processes


def count(name: str, value: str) -> int:
    """Processes or machines that torchrun's `name` says: of a range the least, as it starts with as many."""
    least = value.partition(":")[0]
    if not least.isdecimal() or int(least) < 1:
        raise WrongFlag(f"--{name} {value}: a number is needed here, since the effective batch depends on it")
    return int(least)


def is_distributed(words: list[str]) -> bool:
    """Whether a launcher starts the reference's processes, be it one."""
    return any(word.endswith(("torchrun", "torch.distributed.launch", "torch.distributed.run")) for word in words)


def to_overrides(words: list[str]) -> Translation:
    """The reference's command as overrides of `sota-exp train`.

    Raises:
        WrongFlag: see `parse`.
    """
    flags, processes = parse(words)
    given = [flag for flag in NO_COUNTERPART if flags[flag] != DEFAULTS[flag]]
    if flags["norm-weight-decay"] == 0 and flags["bias-weight-decay"] == 0:
        given.remove("bias-weight-decay")  # norms and biases are spared together
    lost = [f"--{flag}: {NO_COUNTERPART[flag]}" for flag in given]
    if flags["val-crop-size"] > flags["val-resize-size"]:
        flags["val-resize-size"] = flags["val-crop-size"]
        lost.append(
            "--val-resize-size: a crop larger than the image is padded with black there; ours is the whole image"
        )
    if flags["interpolation"] not in RESIZING:
        lost.append(f"--interpolation: images are resized {' or '.join(RESIZING)}, antialiased")
    elif flags["interpolation"] != "bilinear" and flags["auto-augment"]:
        lost.append("--interpolation: images are resized so; --auto-augment moves pixels bilinearly")
    if flags["ra-sampler"] and not is_distributed(words):
        flags["ra-sampler"] = False
        lost.append("--ra-sampler: without torchrun the reference ignores it, and so does this translation")
    if flags["lr-scheduler"] == "exponentiallr" and final_factor(flags) == SMALLEST:
        lost.append("--lr-gamma: so small a rate at the end is no number; ours falls to the smallest there is")
    parts = [
        ["recipe=ladder_00_baseline", "scale=full", f"batch_size={flags['batch-size'] * processes}"],
        _data(flags),
        _model(flags),
        _optimizer(flags),
        _schedule(flags),
        _augmentation(flags),
        _regularization(flags, processes),
    ]
    return Translation(words=[word for part in parts for word in part], lost=lost)


def _data(flags: dict[str, Any]) -> list[str]:
    crop, resize = flags["val-crop-size"], flags["val-resize-size"]
    words = [f"data.image_size={crop}", f"data.crop_ratio={crop / resize!r}", "evaluation.select=last"]
    if flags["interpolation"] in RESIZING and (flags["interpolation"] != "bilinear" or flags["weights"]):
        words.append(f"data.interpolation={flags['interpolation']}")  # it does not ask how weights were published
    if flags["data-path"]:
        # The reference validates on val/ and reports on it too: every training image trains.
        words = ["data=image_folder", f"data.root={flags['data-path']}", "data.test_fraction=null", *words]
    if flags["output-dir"]:
        words.append(f"hydra.run.dir={flags['output-dir']}")
    if flags["device"] != DEFAULTS["device"]:
        words.append(f"runtime.device={flags['device']}")
    return [*words, *([f"runtime.workers={flags['workers']}"] if flags["workers"] != DEFAULTS["workers"] else [])]


def _model(flags: dict[str, Any]) -> list[str]:
    words = ["model=torchvision", f"model.arch.name={flags['model']}"]
    if flags["weights"]:
        words += ["model/weights=pretrained", f"model.weights.tag={flags['weights'].rpartition('.')[2]}"]
    return words


def _optimizer(flags: dict[str, Any]) -> list[str]:
    name = flags["opt"]
    if name not in OPTIMIZERS:
        raise WrongFlag(f"--opt {name}: the reference has {', '.join(OPTIMIZERS)}")
    words = [
        f"optimizer={OPTIMIZERS[name]}",
        f"optimizer.lr={flags['lr']!r}",
        f"optimizer.weight_decay={flags['weight-decay']!r}",
    ]
    if name == "rmsprop":
        words += RMSPROP
    return [*words, f"optimizer.momentum={flags['momentum']!r}"] if name != "adamw" else words


def final_factor(flags: dict[str, Any]) -> float:
    """Of `--lr-scheduler exponentiallr`: the last learning rate over the first."""
    return max(flags["lr-gamma"] ** (flags["epochs"] - flags["lr-warmup-epochs"]), SMALLEST)


def _schedule(flags: dict[str, Any]) -> list[str]:
    epochs, warmup, name = flags["epochs"], flags["lr-warmup-epochs"], flags["lr-scheduler"]
    if name not in SCHEDULES:
        raise WrongFlag(f"--lr-scheduler {name}: the reference has {', '.join(SCHEDULES)}")
    after = epochs - warmup
    option = SCHEDULES[name]
    if after < 1:
        raise WrongFlag(f"--lr-warmup-epochs {warmup}: legal here: fewer than the {epochs} of --epochs")
    if option == "step" and flags["lr-step-size"] < 1:
        raise WrongFlag(f"--lr-step-size {flags['lr-step-size']}: legal: at least 1")
    if warmup and flags["lr-warmup-method"] not in WARMUPS:
        raise WrongFlag(f"--lr-warmup-method {flags['lr-warmup-method']}: the reference has {', '.join(WARMUPS)}")
    if option == "step" and flags["lr-step-size"] >= after:
        option = "constant"  # no step is reached
    words = [f"schedule/lr={option}", "schedule/lr_scaling=none", "schedule/stepping=epoch"]
    words += ["schedule/length=long", f"schedule.length.epochs={epochs}"]
    if option == "step":
        milestones = [step / after for step in range(flags["lr-step-size"], after, flags["lr-step-size"])]
        words += [
            f"schedule.lr.milestones=[{','.join(map(repr, milestones))}]",
            f"schedule.lr.gamma={flags['lr-gamma']!r}",
        ]
    elif option == "cosine":
        words.append(f"schedule.lr.floor={flags['lr-min'] / flags['lr']!r}")
    elif option == "exponential":
        words.append(f"schedule.lr.final_factor={final_factor(flags)!r}")
    if not warmup:
        return [*words, "schedule/warmup=none"]
    factor = "start_factor" if flags["lr-warmup-method"] == "linear" else "factor"
    words += [f"schedule/warmup={flags['lr-warmup-method']}", f"schedule.warmup.fraction={warmup / epochs!r}"]
    return [*words, f"schedule.warmup.{factor}={flags['lr-warmup-decay']!r}"]


def _augmentation(flags: dict[str, Any]) -> list[str]:
    train, val = flags["train-crop-size"], flags["val-crop-size"]
    words = []
    if train != val:
        words += ["augmentation/train_size=fixres", f"augmentation.train_size.ratio={val / train!r}"]
    policy = flags["auto-augment"]
    if policy is not None:
        if policy not in AUTO_AUGMENT:
            raise WrongFlag(f"--auto-augment {policy}: the reference has {', '.join(AUTO_AUGMENT)}")
        words.append(f"augmentation/policy={AUTO_AUGMENT[policy]}")
        words += {
            "ta_wide": [f"augmentation.policy.translate_fraction={32 / train!r}"],
            "ra": [f"augmentation.policy.magnitude={flags['ra-magnitude']}"],
            "augmix": [f"augmentation.policy.severity={flags['augmix-severity']}"],
        }.get(policy, [f"augmentation.policy.policy={policy}"])
    if flags["random-erase"] > 0:
        words += ["augmentation/erase=random_erasing", f"augmentation.erase.p={flags['random-erase']!r}"]
    words += _mixing(flags["mixup-alpha"], flags["cutmix-alpha"])
    if flags["ra-sampler"]:
        words += ["augmentation/repeat=repeated", f"augmentation.repeat.num_repeats={flags['ra-reps']}"]
    return words


def _mixing(mixup: float, cutmix: float) -> list[str]:
    if mixup > 0 and cutmix > 0:
        values = [f"augmentation.mix.mixup_alpha={mixup!r}", f"augmentation.mix.cutmix_alpha={cutmix!r}"]
        return ["augmentation/mix=mixup_or_cutmix", *values]
    if mixup > 0:
        return ["augmentation/mix=mixup", f"augmentation.mix.alpha={mixup!r}"]
    return ["augmentation/mix=cutmix", f"augmentation.mix.alpha={cutmix!r}"] if cutmix > 0 else []


def _regularization(flags: dict[str, Any], processes: int) -> list[str]:
    words = []
    if flags["label-smoothing"] > 0:
        smoothing = f"regularization.smoothing.label_smoothing={flags['label-smoothing']!r}"
        words += ["regularization/smoothing=label_smoothing", smoothing]
    if flags["norm-weight-decay"] == 0:
        exempt = "norm_and_bias" if flags["bias-weight-decay"] == 0 else "norm"
        words += ["regularization/weight_decay=weights_only", f"regularization.weight_decay.exempt={exempt}"]
    elif flags["norm-weight-decay"] is not None and flags["norm-weight-decay"] != flags["weight-decay"]:
        raise WrongFlag("--norm-weight-decay: legal here: 0, or that of all other parameters")
    if flags["sync-bn"]:
        words.append("regularization/norm=sync_batch")
    if flags["clip-grad-norm"] is not None:
        words += ["regularization/clip=norm", f"regularization.clip.max_norm={flags['clip-grad-norm']!r}"]
    if flags["model-ema"]:
        words += ["regularization/average=ema", "regularization.average.horizon=null"]
        words.append(f"regularization.average.decay={ema_decay(flags, processes)!r}")
        words += ["regularization.average.anchor=epoch", f"regularization.average.every={flags['model-ema-steps']}"]
    return words


def ema_decay(flags: dict[str, Any], processes: int) -> float:
    """The share of its average that the reference keeps in an update: what it makes of its flag, at least 0."""
    adjust = processes * flags["batch-size"] * flags["model-ema-steps"] / flags["epochs"]
    return 1 - min(1.0, (1 - flags["model-ema-decay"]) * adjust)
