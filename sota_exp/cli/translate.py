"""usage: sota-exp translate "torchrun --nproc_per_node=8 train.py --model resnet50 …"

Translates a command of torchvision's reference training into a sota-exp command. Flags without a counterpart are
listed on standard error.
"""

import shlex
import sys

from sota_exp.config.translate.from_torchvision import translate_command
from sota_exp.config.translate.shorten import shorten_overrides


def main(arguments: list[str]) -> None:
    """Print the sota-exp command, and the flags that are lost on standard error."""
    if not arguments:
        print(__doc__)
        return
    translation = translate_command(shlex.split(arguments[0]) if len(arguments) == 1 else arguments)
    print(shlex.join(["sota-exp", "train", *shorten_overrides(translation.words)]))
    for line in translation.lost:
        print(f"no counterpart: {line}", file=sys.stderr)
