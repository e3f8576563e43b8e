"""usage: sota-exp translate "torchrun --nproc_per_node=8 train.py --model resnet50 …"

Translates a command of torchvision's reference training into a sota-exp command. Flags without a counterpart are
listed on standard error.
"""

import shlex
import sys

from sota_exp.config.translate.from_torchvision import translate_command
from sota_exp.config.translate.torchvision_flags import InvalidFlagError
from sota_exp.errors import ConfigError


def main(arguments: list[str]) -> None:
    """Print the sota-exp command, and the flags that are lost on standard error.

    Raises:
        ConfigError: the reference does not accept the command.
    """
    if not arguments:
        print(__doc__)
        return
    try:
        translation = translate_command(shlex.split(arguments[0]) if len(arguments) == 1 else arguments)
    except InvalidFlagError as error:
        raise ConfigError(f"translate: {error}") from error
    print(shlex.join(["sota-exp", "train", *translation.words]))
    for line in translation.lost:
        print(f"no counterpart: {line}", file=sys.stderr)
