"""`sota-exp translate`: a command of torchvision's reference training as one of ours."""

import shlex
import sys

from sota_exp.cli.command_line import CommandLine
from sota_exp.config.shell_words import join_command
from sota_exp.config.translate.from_torchvision import translate_command
from sota_exp.config.translate.shorten import shorten_overrides
from sota_exp.errors import ConfigError

COMMAND = CommandLine(
    "translate",
    "Translates a command of torchvision's reference training into a sota-exp command. Flags without a counterpart are "
    "listed on standard error, and so is what is to do by hand.",
    {
        'translate "torchrun train.py --model resnet50 --epochs 600"': "one quoted command",
        "translate torchrun --nproc_per_node=8 train.py --model resnet50": "its words",
        'translate "train.py --auto-augment ta_wide" 2> lost.txt': "what is lost to a file",
    },
)
COMMAND.add_argument("words", nargs="+", metavar="WORD", help="the command, quoted or not")


def main(arguments: list[str]) -> None:
    """Print the sota-exp command; on standard error the flags that are lost, and what is to do by hand.

    Raises:
        ConfigError: the text is no command.
    """
    if not arguments:
        COMMAND.error("the following arguments are required: WORD")
    try:
        words = shlex.split(arguments[0]) if len(arguments) == 1 else arguments
    except ValueError as error:
        raise ConfigError(f"{arguments[0]}: no command of a shell: {error}") from error
    translation = translate_command(words)
    print(join_command(["sota-exp", "train", *shorten_overrides(translation.words)]))
    for line in translation.lost:
        print(f"no counterpart: {line}", file=sys.stderr)
    for line in translation.to_do:
        print(f"to do: {line}", file=sys.stderr)
