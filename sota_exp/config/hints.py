"""What an unknown key or option probably means: keys and options of the same name in other places."""

import functools
import os
from collections.abc import Iterable

from sota_exp import CONF
from sota_exp.config.formats import load_yaml
from sota_exp.config.hydra_compose import SWEEP_KEYS, list_config_groups
from sota_exp.config.values import list_options

#: Names of keys in other programs → name here.
OTHER_NAMES = {
    "learning_rate": "lr",
    "base_lr": "lr",
    "wd": "weight_decay",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "lr0": "lr",
    "bs": "batch_size",
    "batch": "batch_size",
    "train_batch_size": "batch_size",
    "num_workers": "workers",
    "img_size": "image_size",
    "imgsz": "image_size",
    "input_size": "image_size",
    "dataset": "data",
    "data_dir": "root",
    "data_path": "root",
    "data_root": "root",
    "dir": "root",
    "folder": "root",
    "train_dir": "root",
    "image_dir": "root",
    "root_dir": "root",
    "val_split": "val_fraction",
    "test_split": "test_fraction",
    "arch": "model.arch.name",
    "net": "model.arch.name",
    "backbone": "model.arch.name",
    "opt": "optimizer",
    "drop_path": "drop_path_rate",
    "droppath": "drop_path_rate",
    "tracking_uri": "uri",
    "devices": "runtime.device",
    "device": "runtime.device",
    "gpu": "runtime.device",
    "gpus": "runtime.device",
    "accelerator": "runtime.device",
    "amp": "runtime.precision",
    "fp16": "runtime.precision",
    "bf16": "runtime.precision",
    "mixed_precision": "runtime.precision",
    "grad_checkpointing": "checkpoint_activations",
    "gradient_checkpointing": "checkpoint_activations",
}

#: Names of keys in other programs → what has their effect here.
OTHER_WAYS = {
    "wandb": "tracking=mlflow",
    "tensorboard": "tracking=mlflow",
    "output_dir": "hydra.run.dir",
    "save_dir": "hydra.run.dir",
    "out_dir": "hydra.run.dir",
    "log_dir": "hydra.run.dir",
    "ckpt_path": "model/weights=checkpoint model.weights.path=FILE",
    "n_trials": "hydra.sweeper.n_trials, of sota-exp sweep",
    "seeds": "study.seeds of ablate, hydra.sweeper.seeds of sweep, or -m seed=0,1,2",
    "patience": "schedule/early_stopping=patience schedule.early_stopping.patience=N",
    "warmup_epochs": "schedule/warmup=linear schedule.warmup.fraction=F, of all epochs",
    "run_name": "hydra.run.dir",
    "experiment_name": "tracking.experiment",
    "resume": "the same command again, which resumes its run",
}

#: (slot, name in other programs) → name of its option here.
OTHER_OPTIONS = {("model/weights", "imagenet"): "pretrained", ("model/weights", "default"): "pretrained"}

#: Names of keys in other programs → why there is no such key here.
NOT_NEEDED = {
    "num_classes": "the classes are those of the data",
    "num_labels": "the classes are those of the data",
    "classes": "the classes are those of the data",
    "deterministic": "runs repeat to the bit",
}

#: Groups whose keys are hinted at only if no other key has the name.
LAST_GROUPS = ("gradient_descent", "recipe", "scale")


def hint_at_own(told: str, directories: Iterable[object]) -> str:
    """What is told of an unknown option, and how one of the user's is found if nothing is known and none is named.

    directories: those of the user that the command names.
    """
    is_known = "Did you mean" in told or not told.endswith(".") or any(True for _ in directories)
    return told if is_known else f"{told} Yours with --config-dir DIR."


def find_key_elsewhere(key: str, legal: Iterable[str]) -> str:
    """The legal key with the last name of `key`, or an option or a slot of that name, or an option with that key.

    `optimizer.lr` for `lr`, `schedule.length.epochs` for `trainer.max_epochs`, `augmentation/mix=mixup` for `mixup`,
    `regularization/dropout=head|none` for `dropout`, `data=image_folder data.root=…` for `data_dir`; empty for none.
    """
    parent, _, name = key.rpartition(".")
    if name in OTHER_WAYS:
        return OTHER_WAYS[name]
    name = OTHER_NAMES.get(name, name)
    slots = {group.replace("/", ".") for group in list_config_groups()}
    top, legal = parent.partition(".")[0], list(legal)
    if name in legal:
        return name
    values = [path for path in legal if path not in slots and path.rpartition(".")[2] == name]
    inside = [path for path in values if path.startswith(f"{top}.")]
    found = inside or ([] if name == "name" else values)  # Every group of presets has a name.
    if found:
        return min(found, key=lambda path: (path.startswith(LAST_GROUPS), path.count(".")))
    return (
        find_slot(name) or find_option_elsewhere("", name) or ("" if name in NOT_NEEDED else find_option_with_key(name))
    )


def find_option_with_key(name: str) -> str:
    """`slot=option slot.key=…` of the one slot with options that have the key; empty if there is none."""
    slots = [slot for slot in list_config_groups() if slot.split("/")[0] not in SWEEP_KEYS]
    found = [(slot, options[0]) for slot in slots if (options := list_options_with_key(slot, name))]
    return f"{found[0][0]}={found[0][1]} {found[0][0].replace('/', '.')}.{name}=…" if len(found) == 1 else ""


def find_slot(name: str) -> str:
    """`slot=option|option` of the one slot with this last name; empty if there is none."""
    found = [slot for slot in list_config_groups() if "/" in slot and slot.rpartition("/")[2] == name]
    found = [slot for slot in found if slot.split("/")[0] not in SWEEP_KEYS]
    options = list_options(found[0]) if len(found) == 1 else []
    return f"{found[0]}={'|'.join(options)}" if options else ""


def find_option_elsewhere(group: str, option: str) -> str:
    """`slot=option` of the slot that has the option, one below `group` first; empty if there is none."""
    slots = [slot for slot in list_config_groups() if slot.split("/")[0] not in SWEEP_KEYS]
    having = [slot for slot in slots if slot != group and (CONF / slot / f"{option.lower()}.yaml").is_file()]
    inside = [slot for slot in having if slot.startswith(f"{group}/")]
    found = inside or ([] if option in ("none", "null") else having)
    return f"{found[0]}={option.lower()}" if len(found) == 1 else ""


@functools.cache
def list_options_with_key(slot: str, key: str) -> list[str]:
    """The options of a slot that have a key; first those that need a value for it."""
    texts = {path.stem: path.read_text() for path in (CONF / slot).glob("*.yaml")}
    contents = {name: load_yaml(text) for name, text in texts.items() if f"\n{key}:" in f"\n{text}"}  # YAML is slow.
    having = {name: content[key] for name, content in contents.items() if isinstance(content, dict) and key in content}
    return sorted(having, key=lambda name: (having[name] != "???", name))


def format_options_with_key(slot: str, key: str) -> str:
    """` It is a key of slot=option|option: …`, or an empty string if no option of the slot has the key."""
    having = list_options_with_key(slot, key)
    if not having:
        return ""
    return f" It is a key of {slot}={'|'.join(having)}: choose one of them too."


#: Option of hydra/launcher → the extra of this package with its plug-in.
LAUNCHER_EXTRAS = {
    "joblib": "joblib",
    **dict.fromkeys(("slurm", "submitit_slurm", "submitit_local"), "slurm"),
    **dict.fromkeys(("ray", "ray_aws"), "ray"),
}


def format_meant_option(group: str, option: str) -> str:
    """A sentence on what `group=option` probably means; empty if nothing is known."""
    if (group, option) in OTHER_OPTIONS:
        return f" Did you mean {group}={OTHER_OPTIONS[group, option]}?"
    if group == "data" and os.path.isdir(option):
        return f" A folder of images: data=image_folder data.root={option}"
    if group == "hydra/launcher" and option in LAUNCHER_EXTRAS:
        return f" Its plug-in is not installed: pip install 'sota-exp[{LAUNCHER_EXTRAS[option]}]'"
    if elsewhere := find_option_elsewhere(group, option):
        return f" Did you mean {elsewhere}?"
    if group in ("model", "model/arch"):
        return f" A network by its name: model/arch=timm model.arch.name={option}, or model/arch=torchvision."
    return ""
