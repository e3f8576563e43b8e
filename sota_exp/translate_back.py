"""A composed configuration as the command line of torchvision's reference training, and what it has no flag for."""

import math
from pathlib import PurePath
from typing import Any

from sota_exp.config import leaves
from sota_exp.translate import IMAGENET_TRAIN, SCHEDULES, Translation, parse, steps_per_epoch

#: Groups of which every value ought to be said by a flag.
MEANT = ("augmentation", "regularization", "schedule", "optimizer", "loss", "model", "evaluation", "supervision")

#: Slot → option → the flags it is, filled in with the values of the option.
FLAGS_OF: dict[str, dict[str, str]] = {
    "augmentation/policy": {
        "none": "",
        "trivialaugment": "--auto-augment ta_wide",
        "randaugment": "--auto-augment ra --ra-magnitude {magnitude}",
        "augmix": "--auto-augment augmix --augmix-severity {severity}",
        "autoaugment": "--auto-augment {policy}",
    },
    "augmentation/erase": {"none": "", "random_erasing": "--random-erase {p}"},
    "augmentation/mix": {
        "none": "",
        "mixup": "--mixup-alpha {alpha}",
        "cutmix": "--cutmix-alpha {alpha}",
        "mixup_or_cutmix": "--mixup-alpha {mixup_alpha} --cutmix-alpha {cutmix_alpha}",
    },
    "augmentation/repeat": {"none": "", "repeated": "--ra-sampler --ra-reps {num_repeats}"},
    "augmentation/crop": {"random_resized": ""},
    "augmentation/flip": {"random": ""},
    "augmentation/geometry": {"none": ""},
    "regularization/smoothing": {"none": "", "label_smoothing": "--label-smoothing {label_smoothing}"},
    "regularization/weight_decay": {"everywhere": "", "weights_only": "--norm-weight-decay 0.0"},
    "regularization/norm": {"batch": "", "sync_batch": "--sync-bn"},
    "regularization/clip": {"none": "", "norm": "--clip-grad-norm {max_norm}"},
    "regularization/dropout": {"none": ""},
    "regularization/stochastic_depth": {"none": ""},
    "regularization/distillation": {"none": ""},
    "schedule/accumulation": {"none": ""},
    "schedule/early_stopping": {"none": ""},
    "optimizer": {
        "sgd": "--opt sgd --momentum {momentum}",
        "nesterov": "--opt sgd_nesterov --momentum {momentum}",
        "rmsprop": "--opt rmsprop --momentum {momentum}",
        "adamw": "--opt adamw",
    },
    "loss": {"cross_entropy": ""},
    "supervision": {"full": ""},
    "evaluation/fine_tune": {"none": ""},
    "evaluation/tta": {"none": ""},
    "evaluation/resolution": {"fixed": ""},
    "model/arch": {"torchvision": "--model {name}"},
    "model/tuning": {"full": ""},
    "model/weights": {"scratch": "", "pretrained": "--weights {tag}"},
}


def to_flags(
    choices: dict[str, str], tree: dict[str, Any], lr: float, processes: int = 1, num_images: int = IMAGENET_TRAIN
) -> Translation:
    """A composed configuration as the reference's command.

    lr: the peak learning rate after any scaling with the batch.
    """
    words, lost = [], []
    for slot, known in FLAGS_OF.items():
        option = choices[slot]
        if option in known:
            words += known[option].format(**node_of(tree, slot)).split()
        else:
            lost.append(f"{slot}={option}: the reference has no such thing")
    if tree["regularization"]["weight_decay"].get("exempt") == "norm_and_bias":
        words += ["--bias-weight-decay", "0.0"]
    epochs, size = tree["schedule"]["length"]["epochs"], tree["data"]["image_size"]
    words += ["--batch-size", f"{tree['batch_size'] // processes}", "--epochs", f"{epochs}", "--lr", repr(lr)]
    words += ["--weight-decay", repr(tree["optimizer"]["weight_decay"])]
    words += ["--val-crop-size", f"{size}", "--val-resize-size", f"{round(size / tree['data']['crop_ratio'])}"]
    ratio = tree["augmentation"]["train_size"].get("ratio", 1.0)
    words += ["--train-crop-size", f"{round(size / ratio)}"]
    interpolation = tree["data"]["interpolation"]
    if interpolation not in (None, "bilinear"):
        words += ["--interpolation", interpolation]
    elif interpolation is None and choices["model/weights"] == "pretrained":
        lost.append(
            "data.interpolation=null: as the weights were published; the reference does as --interpolation says"
        )
    for part in (_schedule_back(choices, tree, lr), _ema_back(choices, tree, words, processes, num_images)):
        words += part.words
        lost += part.lost
    if "root" in tree["data"]:
        words += ["--data-path", str(PurePath(tree["data"]["root"]))]
        if (fraction := tree["data"]["test_fraction"]) is not None:
            lost.append(f"data.test_fraction={fraction}: the reference cuts no test part from the training images")
    return Translation(words=[*launcher(processes), "train.py", *words], lost=lost)


def unsaid(tree: dict[str, Any], again: dict[str, Any], lost: list[str]) -> list[str]:
    """`key=value: the flags mean …` for every value that the flags do not say; `again` is what they translate back to.

    Left out: slots that are `lost` already, and the learning rate and its scaling, whose product is a flag.
    """
    known = (*(line.partition("=")[0].replace("/", ".") for line in lost), "optimizer.lr", "schedule.lr_scaling")
    meant = {name: value for name, value in tree.items() if name in MEANT}
    there, said = leaves(meant), leaves({name: value for name, value in again.items() if name in MEANT})
    return [
        f"{key}={value}: the flags mean {said.get(key, 'another option')}"
        for key, value in there.items()
        if key not in known
        and not key.endswith("._option_")
        and not key.startswith(tuple(f"{name}." for name in known))
        and not same(value, said.get(key))
    ]


def same(one: object, other: object) -> bool:
    """Equal, or numbers apart by no more than rounding."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(same, one, other))
    return one == other


def launcher(processes: int) -> list[str]:
    return ["torchrun", f"--nproc_per_node={processes}"]


def node_of(tree: dict[str, Any], slot: str) -> dict[str, Any]:
    """The values of the option in a slot."""
    node = tree
    for name in slot.split("/"):
        node = node[name]
    return node


def _schedule_back(choices: dict[str, str], tree: dict[str, Any], lr: float) -> Translation:
    schedule, epochs = tree["schedule"], tree["schedule"]["length"]["epochs"]
    words, lost = [], []
    back = {ours: theirs for theirs, ours in SCHEDULES.items()}
    option, warmup = choices["schedule/lr"], choices["schedule/warmup"]
    warmup_epochs = round(epochs * schedule["warmup"].get("fraction", 0.0))
    if choices["schedule/stepping"] != "epoch":
        lost.append("schedule/stepping=step: the reference moves its schedule once an epoch")
    if option == "constant":
        words += ["--lr-scheduler", "steplr", "--lr-step-size", f"{epochs}"]
    elif option in back:
        words += ["--lr-scheduler", back[option]]
    else:
        lost.append(f"schedule/lr={option}: the reference has no such thing")
    if option == "step":
        first = schedule["lr"]["milestones"][0] * (epochs - warmup_epochs)
        words += ["--lr-step-size", f"{round(first)}", "--lr-gamma", repr(schedule["lr"]["gamma"])]
    if option == "cosine" and schedule["lr"]["floor"]:
        words += ["--lr-min", repr(schedule["lr"]["floor"] * lr)]
    if option == "exponential":
        words += ["--lr-gamma", repr(schedule["lr"]["final_factor"] ** (1 / max(1, epochs - warmup_epochs)))]
    if warmup != "none":
        factor = schedule["warmup"]["start_factor" if warmup == "linear" else "factor"]
        words += [
            "--lr-warmup-method",
            warmup,
            "--lr-warmup-epochs",
            f"{warmup_epochs}",
            "--lr-warmup-decay",
            repr(factor),
        ]
    return Translation(words=words, lost=lost)


def _ema_back(
    choices: dict[str, str], tree: dict[str, Any], words: list[str], processes: int, num_images: int
) -> Translation:
    option = choices["regularization/average"]
    if option == "none":
        return Translation(words=[], lost=[])
    if option != "ema":
        return Translation(words=[], lost=[f"regularization/average={option}: the reference has no such thing"])
    flags, _ = parse(words)
    average, epochs = tree["regularization"]["average"], flags["epochs"]
    every, steps = average["every"], epochs * steps_per_epoch(flags, processes, num_images)
    kept = average["decay"] if average["decay"] is not None else math.exp(-every / (average["horizon"] * steps))
    decay = 1 - (1 - kept) * epochs / (processes * flags["batch-size"] * every)
    anchored = average["anchor"] == "epoch"
    lost = "regularization.average.anchor=last: the reference averages after steps 1, 1 + every, … of each epoch"
    return Translation(
        words=["--model-ema", "--model-ema-steps", f"{every}", "--model-ema-decay", f"{decay:.10g}"],
        lost=[] if anchored else [lost],
    )
