"""Shell completion: Hydra's, with the command's name between program and overrides."""

import os
import sys

from sota_exp.config import compose
from sota_exp.errors import ConfigError

#: Commands whose arguments are overrides.
COMMANDS_WITH_OVERRIDES = ("train", "sweep", "ablate", "evaluate", "explain", "look")


def main(arguments: list[str], commands: list[str]) -> None:
    """`install=bash` prints the rule for the shell; `query=bash` prints the completions of COMP_LINE.

    Raises:
        ConfigError: no action is given.
    """
    if not arguments:
        raise ConfigError(
            "--shell-completion needs install=SHELL, uninstall=SHELL or query=SHELL; SHELL is bash, zsh or fish"
        )
    words = os.environ.get("COMP_LINE", "").split(" ")
    if arguments[0].startswith("query"):
        if len(words) < 3:
            print(" ".join(command for command in commands if command.startswith(words[-1])))
            return
        if words[1] not in COMMANDS_WITH_OVERRIDES:
            return
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    compose.run_hydra(lambda config: None, ["--shell-completion", *arguments], "")
    sys.stdout.flush()
