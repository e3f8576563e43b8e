"""Shell completion: of overrides Hydra's, with the command's name before them; of options our own."""

import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from sota_exp.cli.command_line import CommandLine, list_completions
from sota_exp.errors import ConfigError


def main(arguments: list[str], commands: Sequence[str], load_command: Callable[[str], ModuleType]) -> None:
    """`install=bash` prints the rule for the shell; `query=bash` prints the completions of COMP_LINE.

    commands: the names of all. load_command: name → module, with its command line `COMMAND`.

    Raises:
        ConfigError: no action is given.
    """
    if not arguments:
        raise ConfigError(
            "--shell-completion needs install=SHELL, uninstall=SHELL or query=SHELL; SHELL is bash, zsh or fish"
        )
    words = os.environ.get("COMP_LINE", "").split(" ")
    if arguments[0].startswith("query"):
        line = load_command(words[1]).COMMAND if len(words) > 2 and words[1] in commands else None
        if line is None or isinstance(line, CommandLine):
            found = (
                list_completions(line, words[2:]) if line else [each for each in commands if each.startswith(words[-1])]
            )
            print(("\n" if arguments[0].endswith("fish") else " ").join(found))
            return
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    from sota_exp.config import compose

    compose.run_hydra(lambda config: None, ["--shell-completion", *arguments], "")
    sys.stdout.flush()
