"""usage: sota-exp translate "torchrun --nproc_per_node=8 train.py --model resnet50 …"
       sota-exp translate --reverse [--nproc_per_node=N] OVERRIDE …

Turns a command of torchvision's reference training into one of ours, and one of ours into the reference's where it can.
What has no counterpart is listed beside it, on standard error. --num-images=N tells the size of the training set, which
a decay of the reference needs where regularization.average.horizon is given; ImageNet's unless said otherwise.
"""

import shlex
import sys

from sota_exp.errors import ConfigError
from sota_exp.translate import IMAGENET_TRAIN, Translation, WrongFlag, to_overrides


def main(arguments: list[str]) -> None:
    """Print the other command; what it loses goes to standard error."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    words = shlex.split(arguments[0]) if len(arguments) == 1 else arguments
    num_images, words = number(words, "--num-images", IMAGENET_TRAIN)
    try:
        if "--reverse" in words:
            processes, words = number([word for word in words if word != "--reverse"], "--nproc_per_node", 1)
            overrides = words[2:] if words[:2] == ["sota-exp", "train"] else words
            translation, command = reverse(overrides, processes, num_images), []
        else:
            translation, command = to_overrides(words), ["sota-exp", "train"]
    except WrongFlag as error:
        raise ConfigError(f"translate: {error}") from error
    print(shlex.join([*command, *translation.words]))
    for line in translation.lost:
        print(f"no counterpart: {line}", file=sys.stderr)


def number(words: list[str], flag: str, default: int) -> tuple[int, list[str]]:
    """The value of `flag=N` and the other words.

    Raises:
        ConfigError: not a whole number above 0.
    """
    values = [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")]
    if not values:
        return default, words
    if not values[-1].isdecimal() or int(values[-1]) < 1:
        raise ConfigError(f"translate: {flag}={values[-1]}: legal: a whole number above 0")
    return int(values[-1]), [word for word in words if not word.startswith(f"{flag}=")]


def reverse(overrides: list[str], processes: int, num_images: int) -> Translation:
    """Our command as the reference's.

    Raises:
        ConfigError: overrides that do not compose.
    """
    from sota_exp.config import build
    from sota_exp.recompose import composed
    from sota_exp.translate_back import to_flags, unsaid

    choices, tree = composed(overrides)
    from sota_exp.experiment import Experiment

    experiment = build(Experiment, tree)
    lr = experiment.optimizer.peak_lr * experiment.schedule.lr_scaling(experiment.batch_size)
    found = to_flags(choices, tree, lr, processes, num_images)
    _, again = composed([f"data={choices['data']}", *without_data(to_overrides(found.words).words)])
    return Translation(words=found.words, lost=[*found.lost, *unsaid(tree, again, found.lost)])


def without_data(words: list[str]) -> list[str]:
    """Overrides that leave the set and its place as they are."""
    return [word for word in words if not word.startswith(("data=", "data.root="))]
