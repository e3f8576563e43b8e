"""What an unknown key or option probably means: keys and options of the same name in other places."""

import functools
import os
from collections.abc import Iterable

from omegaconf import OmegaConf

from sota_exp import CONF
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
    "bs": "batch_size",
    "train_batch_size": "batch_size",
    "num_workers": "workers",
    "img_size": "image_size",
    "dataset": "data",
    "arch": "model.arch.name",
    "device": "runtime.device",
    "gpu": "runtime.device",
    "gpus": "runtime.device",
    "accelerator": "runtime.device",
    "amp": "runtime.precision",
    "fp16": "runtime.precision",
    "bf16": "runtime.precision",
    "mixed_precision": "runtime.precision",
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
    "resume": "the same command again, which resumes its run",
}

#: Names of keys in other programs → why there is no such key here.
NOT_NEEDED = {
    "num_classes": "the classes are those of the data",
    "num_labels": "the classes are those of the data",
}

#: Groups whose keys are hinted at only if no other key has the name.
LAST_GROUPS = ("gradient_descent", "recipe", "scale")


def find_key_elsewhere(key: str, legal: Iterable[str]) -> str:
    """The legal key with the last name of `key`, or an option or a slot of that name; empty if there is none.

    `optimizer.lr` for `lr`, `schedule.length.epochs` for `trainer.max_epochs`, `augmentation/mix=mixup` for `mixup`,
    `regularization/dropout=head|none` for `dropout`.
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
    return find_slot(name) or find_option_elsewhere("", name)


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
    contents = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (CONF / slot).glob("*.yaml")}
    having = {name: content[key] for name, content in contents.items() if isinstance(content, dict) and key in content}
    return sorted(having, key=lambda name: (having[name] != "???", name))


def format_options_with_key(slot: str, key: str) -> str:
    """` It is a key of slot=option|option: …`, or an empty string if no option of the slot has the key."""
    having = list_options_with_key(slot, key)
    if not having:
        return ""
    return f" It is a key of {slot}={'|'.join(having)}: choose one of them too."


def format_meant_option(group: str, option: str) -> str:
    """A sentence on what `group=option` probably means; empty if nothing is known."""
    if elsewhere := find_option_elsewhere(group, option):
        return f" Did you mean {elsewhere}?"
    if group in ("model", "model/arch"):
        return f" A network by its name: model/arch=timm model.arch.name={option}, or model/arch=torchvision."
    if group == "data" and os.path.exists(option):
        return f" A folder of images: data=image_folder data.root={option}"
    return ""
