"""`sota-exp techniques`: all slots and options, with summary and paper."""

import itertools
import json
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sota_exp import CONF, PACKAGE
from sota_exp.cli.command_line import CommandLine
from sota_exp.config.catalog import CatalogOption, load_catalog
from sota_exp.config.data_paths import describe_no_folder, expand_home, is_folder
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
COMMAND.add_argument("--config-dir", metavar="DIR", help="a folder with options of yours")
COMMAND.add_argument("--json", action="store_true", help="print JSON")


def main(arguments: list[str]) -> None:
    """Print the table of all options or of one group, or JSON.

    Raises:
        ConfigError: no such group or folder.
    """
    chosen = COMMAND.parse(arguments)
    own = [] if chosen.config_dir is None else [expand_home(chosen.config_dir)]
    for place in own:
        if not is_folder(place):
            raise ConfigError(f"--config-dir {chosen.config_dir}: {describe_no_folder(place)}")
    found = load_catalog(CONF, PACKAGE, own)
    if chosen.group is not None:
        groups = {option.group for option in found} | {option.group.split("/")[0] for option in found}
        if chosen.group not in groups:
            raise ConfigError(f"{chosen.group}: no such group; {format_legal(chosen.group, sorted(groups))}")
        found = [option for option in found if f"{option.group}/".startswith(f"{chosen.group}/")]
    if chosen.json:
        listed = [{key: value for key, value in vars(each).items() if key != "package"} for each in found]
        print(json.dumps([row | {"paper": each.paper} for row, each in zip(listed, found, strict=True)], indent=2))
        return
    out = make_console()
    for part in build_technique_list(found):
        out.print(part)


def build_technique_list(found: list[CatalogOption]) -> Iterator[RenderableType]:
    """Each slot, and below it its options: what each does, and its paper in the line after."""
    width = max(len(option.name) for option in found)
    for group, members in itertools.groupby(found, key=lambda option: option.group):
        yield f"[bold]{group}[/]"
        rows = Table.grid(padding=(0, 2))
        rows.add_column(no_wrap=True, min_width=width + 2)
        rows.add_column()
        for option in members:
            lines = Text(option.summary)
            if option.short_citation:
                lines.append(f"\n{option.short_citation}", style="dim")
            rows.add_row(Text(f"  {option.name}", "dim" if option.name == "none" else "cyan"), lines)
        yield rows
        yield ""
