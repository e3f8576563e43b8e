"""Parses the command line of torchvision's reference training (references/classification/train.py)."""

import argparse
from dataclasses import dataclass
from typing import Any

from sota_exp.errors import ConfigError

AUTO_AUGMENT = {"ra": "randaugment", "ta_wide": "trivialaugment", "augmix": "augmix"}
AUTO_AUGMENT |= dict.fromkeys(("imagenet", "cifar10", "svhn"), "autoaugment")
OPTIMIZERS = {"sgd": "sgd", "sgd_nesterov": "nesterov", "rmsprop": "rmsprop", "adamw": "adamw"}
SCHEDULES = {"steplr": "step", "cosineannealinglr": "cosine", "exponentiallr": "exponential"}

#: Flag → its legal values.
CHOICES = {
    "auto-augment": AUTO_AUGMENT,
    "opt": OPTIMIZERS,
    "lr-scheduler": SCHEDULES,
}
WARMUP_METHODS = ("linear", "constant")

#: Flag → default of the reference; False for a switch.
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

#: Flags whose value is a float although their default is None.
FLOAT_FLAGS = ("norm-weight-decay", "bias-weight-decay", "transformer-embedding-decay", "clip-grad-norm")

#: Flag → its alternative name.
ALIASES = {"batch-size": "-b", "workers": "-j", "weight-decay": "--wd"}

#: Flag → its smallest legal value.
MINIMUM_VALUES = {"lr-warmup-epochs": 0} | dict.fromkeys(
    ("epochs", "batch-size", "train-crop-size", "val-crop-size", "val-resize-size"), 1
)


def build_parser() -> argparse.ArgumentParser:
    """The argument parser of the reference."""
    result = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag, default in DEFAULTS.items():
        names = [f"--{flag}", *([ALIASES[flag]] if flag in ALIASES else [])]
        if isinstance(default, bool):
            result.add_argument(*names, dest=flag, action="store_true")
        else:
            kind = float if flag in FLOAT_FLAGS else str if default is None else type(default)
            result.add_argument(*names, dest=flag, type=kind, default=default, choices=CHOICES.get(flag))
    return result


@dataclass(frozen=True, kw_only=True)
class ReferenceCommand:
    """A command of the reference: flag → value of all flags, those that it names, processes a machine, machines."""

    flags: dict[str, Any]
    given: frozenset[str]
    num_local_processes: int
    num_machines: int


def parse_command(words: list[str]) -> ReferenceCommand:
    """Parse `torchrun --nproc_per_node=8 train.py --model …`.

    Raises:
        ConfigError: the reference would not accept the command either.
    """
    scripts = [index for index, word in enumerate(words) if word.endswith(".py")]
    launcher, flags = (words[: scripts[0]], words[scripts[0] + 1 :]) if scripts else ([], words)
    starter = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    starter.add_argument("--nproc_per_node", "--nproc-per-node", type=parse_process_count, default=1)
    starter.add_argument("--nnodes", type=parse_process_count, default=1)
    try:
        started, _ = starter.parse_known_args(launcher)
        values, unknown = build_parser().parse_known_args(flags)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    if unknown:
        raise ConfigError(f"{unknown[0]}: the reference has no such flag")
    for flag, minimum in MINIMUM_VALUES.items():
        if vars(values)[flag] < minimum:
            raise ConfigError(f"--{flag} {vars(values)[flag]}: legal: at least {minimum}")
    names = {word.partition("=")[0] for word in flags} | {word[:2] for word in flags}
    return ReferenceCommand(
        flags=vars(values),
        given=frozenset(flag for flag in DEFAULTS if {f"--{flag}", ALIASES.get(flag, f"--{flag}")} & names),
        num_local_processes=started.nproc_per_node,
        num_machines=started.nnodes,
    )


def parse_process_count(value: str) -> int:
    """Parse a number of processes or machines; of a range such as `2:4` the minimum, with which torchrun starts.

    Raises:
        ArgumentTypeError: not a number, or less than 1.
    """
    minimum = value.partition(":")[0]
    if not minimum.isdecimal() or int(minimum) < 1:
        raise argparse.ArgumentTypeError(f"{value}: legal: a number of at least 1; the batch size depends on it")
    return int(minimum)


def uses_launcher(words: list[str]) -> bool:
    """Whether torchrun or its predecessor starts the processes, even a single one."""
    return any(word.endswith(("torchrun", "torch.distributed.launch", "torch.distributed.run")) for word in words)
