"""usage: sota-exp translate "torchrun --nproc_per_node=8 train.py --model resnet50 …"

Translates a command of torchvision's reference training into a sota-exp command. Flags without a counterpart are
listed on standard error.
"""

import shlex
import sys

from sota_exp.config.translate.from_torchvision import translate_command
from sota_exp.config.translate.shorten import shorten_overrides
from sota_exp.errors import ConfigError


def main(arguments: list[str]) -> None:
    """Print the sota-exp command, and the flags that are lost on standard error.

    Raises:
        ConfigError: the text is no command.
    """
    if not arguments:
        print(__doc__)
        return
    try:
        words = shlex.split(arguments[0]) if len(arguments) == 1 else arguments
    except ValueError as error:
        raise ConfigError(f"{arguments[0]}: no command of a shell: {error}") from error
    translation = translate_command(words)
    print(shlex.join(["sota-exp", "train", *shorten_overrides(translation.words)]))
    for line in translation.lost:
        print(f"no counterpart: {line}", file=sys.stderr)
