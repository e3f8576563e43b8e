"""`sota-exp techniques`: all slots and options, with summary and paper."""

import itertools
import json

from rich.table import Table

from sota_exp import CONF, PACKAGE
from sota_exp.cli.command_line import CommandLine
from sota_exp.config.catalog import CatalogOption, load_catalog
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import make_console

COMMAND = CommandLine(
    "techniques",
    "Lists all slots and their options: what each does, and the paper it is from. The options' keys and defaults: "
    "sota-exp train --help GROUP.",
    {
        "techniques": "all",
        "techniques augmentation/mix": "a slot; augmentation: all slots in it",
        "techniques optimizer --json": "with defaults, for programs",
    },
)
COMMAND.add_argument("group", nargs="?", metavar="GROUP", help="a group or a slot")
COMMAND.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: list[str]) -> None:
    """Print the table of all options or of one group, or JSON.

    Raises:
        ConfigError: no such group.
    """
    chosen = COMMAND.parse(arguments)
    found = load_catalog(CONF, PACKAGE)
    if chosen.group is not None:
        groups = {option.group for option in found} | {option.group.split("/")[0] for option in found}
        if chosen.group not in groups:
            raise ConfigError(f"{chosen.group}: no such group; {format_legal(chosen.group, sorted(groups))}")
        found = [option for option in found if f"{option.group}/".startswith(f"{chosen.group}/")]
    if chosen.json:
        listed = [{key: value for key, value in vars(each).items() if key != "package"} for each in found]
        print(json.dumps([row | {"paper": each.paper} for row, each in zip(listed, found, strict=True)], indent=2))
        return
    make_console().print(build_technique_table(found))


def build_technique_table(found: list[CatalogOption]) -> Table:
    """One row per option, with an empty row after each slot."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("slot", no_wrap=True)
    rows.add_column("option", no_wrap=True)
    rows.add_column("what it does", ratio=3)
    rows.add_column("paper", ratio=2, style="dim")
    for group, members in itertools.groupby(found, key=lambda option: option.group):
        for index, option in enumerate(members):
            style = "dim" if option.name == "none" else "cyan"
            rows.add_row(
                group if index == 0 else "", f"[{style}]{option.name}[/]", option.summary, option.short_citation
            )
        rows.add_row()
    return rows
