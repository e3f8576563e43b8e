"""The command line of a command: its options, its help, its errors in one line, and the words that a shell completes.

Commands that compose a configuration take overrides, which Hydra parses; all others take arguments and options.
"""

import argparse
import itertools
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sota_exp.config.data_paths import expand_home
from sota_exp.config.shell_words import join_command
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError

#: Columns of all help texts.
WIDTH = 80

#: Most columns of the left side of a list.
LEFT_WIDTH = 30

#: The flag of the commands that use what a run names: files, servers, packages.
TRUST, TRUST_HELP = "--trust", "use files, servers and packages that a stranger's run names"

#: The groups of a run.
ALL_GROUPS = (
    *("data", "data/split", "model", "augmentation", "regularization", "schedule", "loss", "optimizer"),
    *("supervision", "evaluation/fine_tune", "evaluation/resolution", "evaluation/tta", "evaluation/metrics"),
    *("runtime", "tracking", "recipe", "scale", "experiment"),
)

#: The groups of what all runs of a study or a search share.
SHARED_GROUPS = ("data", "recipe", "scale", "runtime", "tracking", "experiment")

#: The keys of a run that are in no group, and that of its directory → what they are.
RUN_KEYS = {
    "seed=0": "of all random numbers of a training",
    "batch_size=128": "images per step, over all GPUs and micro-batches",
    "evaluation.select=best": "saved weights: of the best epoch on val, or the last",
    "hydra.run.dir": "the directory (outputs/RECIPE-DATA-seedN-DIGEST)",
}

#: What Hydra's command line has beside overrides.
HYDRA_FLAGS = {
    "-m": "one run per combination of values: seed=0,1,2",
    "--cfg job": "print the configuration, and run nothing",
    "--config-dir DIR": "a folder with options and experiments of yours",
    "--info defaults": "print the list of choices; also plugins, searchpath",
}

#: What RUN is.
RUN_WORDS = "a run's directory, its name or the beginning of it, or its MLflow id"
RUN_HELP = f"{RUN_WORDS}; or a file of weights"

#: `key=value`, as overrides are written; the last part of a dotted key is group 1.
KEY_AND_VALUE = re.compile(r"(?:[a-z_]+[./])*([a-z_]+)=(.*)", re.DOTALL)

#: Words that choose values of several groups.
PRESET = re.compile(r"\+?(recipe|scale|experiment)=")


def take_own_directories(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The user's directories that --config-dir and hydra.searchpath name, and the other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    found, others = parser.parse_known_args(words)
    search = [word.partition("=")[2].strip("[]") for word in others if word.startswith("hydra.searchpath=")]
    listed = [place.strip("'\" ").removeprefix("file://") for place in ",".join(search).split(",")]
    places = [Path(place) for place in (found.config_dir, *listed) if place and os.path.isdir(place)]
    return places, [word for word in others if not word.startswith("hydra.searchpath=")]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What a command takes that composes a configuration: overrides, which Hydra parses, and flags.

    purpose: what it is for, in paragraphs. examples: words after `sota-exp` → what they do. groups: those of the
    configuration that its help lists. listed: a group whose options it lists. keys: what it takes beside them →
    what it is. trusts: whether it takes `--trust`.
    """

    name: str
    usage: str = "[GROUP=OPTION | KEY=VALUE …]"
    purpose: str
    examples: Mapping[str, str]
    groups: Sequence[str]
    listed: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    trusts: bool = False

    def format_help(self, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
        """The help of the command, or of the group that the first of the words `after` --help names.

        Both know the user's directories among all words; that of a group has its values with a recipe of these words.

        Raises:
            ConfigError: there is no such group.
        """
        from sota_exp.config.group_help import describe_group, describe_values, list_groups

        own, words = take_own_directories([*before, *after])
        _, asked = take_own_directories(after)
        if asked:
            presets = [word for word in words if PRESET.match(word) and word != asked[0]]
            values = describe_values(asked[0], presets, own) if presets else {}
            return "\n\n".join(format_sections(describe_group(asked[0], own) | values))
        heading = f"groups (sota-exp {self.name} --help GROUP lists options, keys and values)"
        rows = {name: text for name, text in list_groups().items() if name.partition("=")[0] in self.groups}
        flags = dict(self.flags) | HYDRA_FLAGS | ({TRUST: TRUST_HELP} if self.trusts else {})
        options = describe_group(self.listed, own) if self.listed else {}
        sections = dict(list(options.items())[:1]) | {"keys": self.keys, heading: rows, "flags": flags}
        return format_page(f"sota-exp {self.name} {self.usage}", self.purpose, self.examples, sections)


class CommandLine(argparse.ArgumentParser):
    """What a command takes that composes nothing: arguments and options.

    purpose, examples, trusts: as those of `Composition`. choices: heading → value of an option → what it means.
    """

    def __init__(
        self,
        name: str,
        purpose: str,
        examples: Mapping[str, str],
        *,
        choices: Mapping[str, Mapping[str, str]] | None = None,
        trusts: bool = False,
    ) -> None:
        super().__init__(prog=f"sota-exp {name}", add_help=False, allow_abbrev=False)
        self.name, self.purpose, self.examples = name, purpose, examples
        self.choices, self.trusts = choices or {}, trusts
        if trusts:
            self.add_argument(TRUST, action="store_true", help=TRUST_HELP)

    @property
    def options(self) -> dict[str, argparse.Action]:
        """Option → its action, `--trust` last."""
        found = {name: action for action in self._actions for name in action.option_strings}
        return dict(sorted(found.items(), key=lambda item: item[0] == TRUST))

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments and options of a command that composes nothing.

        Raises:
            ConfigError: they are not legal, or written as overrides are.
        """
        self._refuse_overrides(words)
        self._refuse_unknown_options(words)
        self.usage = self.format_usage()  # While it parses, argparse takes required options for others.
        found, others = self.parse_known_intermixed_args(words)
        if others:
            raise ConfigError(f"{others[0]}: {self.name} takes no further argument: {self.format_usage()}")
        for action in self._actions:
            value = vars(found)[action.dest]
            if value != action.default and "" in (value if isinstance(value, list) else [value]):
                self.error(f"{format_action(action).strip('[]')}: a value is missing")
        return found

    def error(self, message: str) -> NoReturn:
        """Raise a `ConfigError` of one line; `ArgumentParser` would print all options and exit."""
        text = message.removeprefix("argument ")
        if found := re.fullmatch(r"the following arguments are required: (.+)", message):
            text = f"{self.name} needs {found[1]}: {self.usage or self.format_usage()}"
        raise ConfigError(f"{text}; see {self.prog} --help")

    def format_usage(self) -> str:
        """`sota-exp predict RUN IMAGE … [--top N]` in one line."""
        arguments = [action for action in self._actions if not action.option_strings]
        return " ".join([self.prog, *map(format_action, [*arguments, *self.options.values()])])

    def format_help(self, before: Sequence[str] = (), after: Sequence[str] = ()) -> str:
        """The help of the command, whatever other words there are."""
        arguments = [action for action in self._actions if not action.option_strings]
        sections = {
            heading: {format_action(action).strip("[]"): describe_action(action) for action in actions}
            for heading, actions in {"arguments": arguments, "options": [*self.options.values()]}.items()
        }
        return format_page(self.format_usage(), self.purpose, self.examples, {**self.choices, **sections})

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            legal = format_legal(str(value), map(str, action.choices))
            raise ConfigError(f"{'/'.join(action.option_strings)} {value} is not legal; {legal}")

    def _refuse_overrides(self, words: Sequence[str]) -> None:
        """Refuse `top=5`, which this command took in its first release, with the line that is meant.

        Raises:
            ConfigError: a word is written so, and no file has this name.
        """
        given = {word: KEY_AND_VALUE.fullmatch(word) for word in words if not os.path.lexists(expand_home(word))}
        meant = {word: self._translate(*found.groups()) for word, found in given.items() if found}
        if wrong := next((word for word in words if meant.get(word)), None):
            first = [each for word in words for each in meant.get(word, ()) if len(meant[word]) == 1]
            options = [each for word in words for each in meant.get(word, ()) if len(meant[word]) == 2]
            line = join_command([*first, *(word for word in words if not meant.get(word)), *options])
            raise ConfigError(f"{wrong}: {self.name} takes arguments and options, not keys: {self.prog} {line}")

    def _refuse_unknown_options(self, words: Sequence[str]) -> None:
        """Raise a `ConfigError` for the first one; argparse would rather name what is missing because of it."""
        for name in (word.partition("=")[0] for word in itertools.takewhile("--".__ne__, words)):
            if re.match(r"--?[A-Za-z]", name) and name not in self.options:
                legal = format_legal(name, self.options) if self.options else f"it has none: {self.format_usage()}"
                raise ConfigError(f"{name}: no such option of {self.name}; {legal}")

    def _translate(self, key: str, value: str) -> list[str]:
        """The words for `key=value`: an option, or the first argument; [] if there is no such key."""
        option = f"--{key.replace('_', '-')}"
        is_run = key in ("run", "weights") and "run" in [action.dest for action in self._actions]
        return [option, value] if option in self.options else [value] * is_run


def one_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option whose value is a whole number.

    Raises:
        ArgumentTypeError: by what it returns, of another value.
    """
    words = f"a whole number, at least {least}" if most is None else f"a whole number from {least} to {most}"

    def parse(value: str) -> int:
        if not value.isdecimal() or not least <= int(value) <= (most or int(value)):
            raise argparse.ArgumentTypeError(f"{value} is not legal: {words}")
        return int(value)

    return parse


def format_action(action: argparse.Action) -> str:
    """An argument or option as usage lines have it: `[--top N]`, `IMAGE …`."""
    metavar = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        word = f"{metavar} …" if action.nargs in ("+", "*") else metavar
        return f"[{word}]" if action.nargs in ("?", "*") else word
    word = action.option_strings[0] if action.nargs == 0 else f"{action.option_strings[0]} {metavar}"
    return word if action.required else f"[{word}]"


def describe_action(action: argparse.Action) -> str:
    """What an argument or option is, its legal values and its default."""
    legal = [", ".join(map(str, action.choices))] if action.choices else []
    default = [f"default: {action.default}"] if action.default not in (None, False, "") else []
    return "; ".join([action.help or "", *legal, *default])


def format_page(
    usage: str, purpose: str, examples: Mapping[str, str], sections: Mapping[str, Mapping[str, str]]
) -> str:
    """The help of a command. sections: heading → rows."""
    parts = [textwrap.fill(f"usage: {usage}", WIDTH, subsequent_indent=" " * 4, break_on_hyphens=False)]
    parts += [textwrap.fill(part, WIDTH, break_on_hyphens=False) for part in purpose.split("\n\n")]
    parts.append("\n".join(["examples:", *format_examples(examples)]))
    return "\n\n".join([*parts, *format_sections(sections)])


def format_sections(sections: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Each section with rows, under its heading."""
    for heading, rows in sections.items():
        if rows:
            yield "\n".join([textwrap.fill(f"{heading}:", WIDTH, break_on_hyphens=False), *format_rows(rows)])


def format_examples(examples: Mapping[str, str]) -> Iterator[str]:
    """Each example, and what it does."""
    for words, purpose in examples.items():
        lines = textwrap.wrap(f"sota-exp {words}", WIDTH - 8, break_on_hyphens=False, break_long_words=False)
        yield "  " + " \\\n      ".join(lines)
        yield from [f"      {purpose}"] * bool(purpose)


def format_rows(rows: Mapping[str, str]) -> Iterator[str]:
    """`  name  text` with all texts in one column, wrapped at `WIDTH`; a long name has a line of its own."""
    width = min(max(map(len, rows)), LEFT_WIDTH) + 4
    for name, text in rows.items():
        lines = textwrap.wrap(text, WIDTH - width, break_on_hyphens=False) or [""]
        if len(name) > LEFT_WIDTH:
            yield f"  {name}"
            yield from (f"{'':<{width}}{each}" for each in lines)
            continue
        yield f"  {name:<{width - 2}}{lines[0]}".rstrip()
        yield from (f"{'':<{width}}{each}" for each in lines[1:])


def list_completions(line: CommandLine, words: Sequence[str]) -> list[str]:
    """What may follow: values of an option, or options; [] where files may. words: the last is begun."""
    before, begun = (words[-2] if len(words) > 1 else ""), words[-1]
    name, sign, value = begun.partition("=")
    if sign and name in line.options:
        return [f"{name}={each}" for each in line.options[name].choices or () if str(each).startswith(value)]
    if before in line.options and line.options[before].nargs != 0:
        return [str(each) for each in line.options[before].choices or () if str(each).startswith(begun)]
    return [each for each in line.options if each.startswith(begun)] if begun.startswith("-") else []
