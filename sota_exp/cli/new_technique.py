"""`sota-exp new-technique`: begins a technique in a checkout: its module, its YAML, its test and its row."""

from sota_exp import PACKAGE
from sota_exp.cli.command_line import CommandLine
from sota_exp.cli.technique_template import parse_technique, write_technique
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import make_console

COMMAND = CommandLine(
    "new-technique",
    "Begins a technique in a checkout of sota_exp: its module, its YAML, its test and its row in "
    "docs/techniques.md. It "
    "starts as a copy of the slot's option that does nothing, or of the option that --like names."
    "\n\n"
    "A slot that does not exist is begun too: its field, its line in each preset, its call, and its option none. "
    "--like "
    "then names a slot of the same kind, after which the new one acts; by default augmentation/erase or "
    "regularization/clip."
    "\n\n"
    "It can be chosen at once. Its test fails until it is written, and the contract of all options until it has an "
    "effect.",
    {
        'new-technique augmentation/erase/grid_mask "Erases a grid"': "an option of a slot",
        'new-technique optimizer/adan "Nesterov and Adam" --like adamw': "a copy of AdamW",
        'new-technique augmentation/color/jitter "Changes colours"': "a new slot",
    },
)
COMMAND.add_argument("technique", metavar="SLOT/NAME", help="where it is, and its name")
COMMAND.add_argument(
    "summary", nargs="?", default="What it does, in one sentence", metavar="SUMMARY", help="a sentence"
)
COMMAND.add_argument("--like", default="", metavar="OPTION", help="an option of the slot, or a slot, to start from")


def main(arguments: list[str]) -> None:
    """Write the files of the technique, and of its slot if there is none, that the first argument names.

    Raises:
        ConfigError: a wrong argument, no checkout, or a technique that cannot be begun.
    """
    given = COMMAND.parse(arguments)
    root = PACKAGE.parent
    if not all((root / name).is_dir() for name in ("conf", "tests", "docs")):
        raise ConfigError(
            "new-technique works in a checkout: git clone the project, then pip install -e . there. To add options "
            "without one, --config-dir adds YAML files whose _target_ is a class of yours"
        )
    made = parse_technique(root, given.technique, given.summary, given.like)
    files = write_technique(root, made)
    out = make_console()
    for path in files:
        out.print(f"  {path.relative_to(root)}", style="cyan")
    out.print(f"\nThe technique is a copy of {made.like.group}={made.like.name}.")
    if made.new_slot is not None:
        out.print(f"{made.slot} is a slot of the kind {made.new_slot.kind}, and acts right after {made.new_slot.like}.")
    out.print(f"\nchoose it     sota-exp train scale=smoke {made.slot}={made.name}", soft_wrap=True)
    out.print(
        f"when it works make check, and pytest tests/test_contract.py -k '{made.slot}={made.name}'", soft_wrap=True
    )
