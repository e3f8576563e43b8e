"""`sota-exp diff`: the exact differences of two runs, and the overrides that turn the first into the second."""

from rich.table import Table as RichTable

from sota_exp.cli.command_line import RUN_WORDS, CommandLine
from sota_exp.config.shell_words import join_command
from sota_exp.errors import ConfigError
from sota_exp.report.comparison.config_difference import find_config_difference
from sota_exp.report.document.markdown import Table
from sota_exp.report.terminal import escape, make_console, to_rich
from sota_exp.runs.find import SavedRun, find_run
from sota_exp.runs.trust import is_trusted

#: What the runs are called in the table: their names are too long for its columns.
HEADINGS = ("first", "second")

COMMAND = CommandLine(
    "diff",
    "Lists the differences of two runs: choices, values, versions, commit, device and data; and the overrides that "
    "turn the first into the second. sota-exp compare compares their metrics and costs.",
    {
        "diff small_images torchvision": "two names, or their beginnings",
        "diff multirun/train-1f2e3d4c/0 multirun/train-1f2e3d4c/1": "two runs of a multirun",
        "diff outputs/old 0123456789abcdef0123456789abcdef": "a directory, and an MLflow run id",
    },
    trusts=True,
)
COMMAND.add_argument("one", metavar="RUN", help=RUN_WORDS)
COMMAND.add_argument("other", metavar="RUN", help="the other run")


def main(arguments: list[str]) -> None:
    """Print the differences of the two runs in the arguments.

    Raises:
        ConfigError: not two runs.
    """
    given = COMMAND.parse(arguments)
    one, other = find_run(given.one), find_run(given.other)
    found = find_config_difference(one, other)
    if not (found.choices or found.values or found.environment):
        names = f"{escape(one.name)} and {escape(other.name)}"
        make_console().print(f"No difference: {names} have the same configuration, versions, commit, device and data.")
        return
    sections = (found.choices, found.values, found.environment)
    for heading, run in zip(HEADINGS, (one, other), strict=True):
        make_console().print(f"[bold]{heading}[/]: {escape(run.name)}", soft_wrap=True)
    make_console().print(build_difference_table(HEADINGS, *sections))
    make_console().print(f"\n{format_rerun_command(one, other)}", soft_wrap=True, markup=False)


def build_difference_table(names: tuple[str, str], *sections: dict[str, tuple[str, str]]) -> RichTable:
    """One row per difference of two runs, with an empty row after each section but the last."""
    rows: list[list[str]] = []
    for section in filter(None, sections):
        rows += [["", *("" for _ in names)]] if rows else []
        rows += [[name, *values] for name, values in section.items()]
    return to_rich(Table(["", *names], rows, names))


def format_rerun_command(one: SavedRun, other: SavedRun) -> str:
    """The command line that trains the second run's configuration, as changes of the first."""
    if one.config == other.config:
        return "The configurations are equal: no override turns one into the other."
    from sota_exp.config.overrides import find_shortest_changes
    from sota_exp.config.search_path import build_search_path_override, read_config_directories

    directories = [run.directory for run in (one, other) if is_trusted(run.directory)]
    places = build_search_path_override([], directories)
    try:
        changes = find_shortest_changes(one.configuration, other.configuration, places)
    except ConfigError as error:
        return f"No overrides turn the first into the second with the options of this version: {error}"
    known = read_config_directories(one.directory)
    new = [place for place in read_config_directories(other.directory) if place not in known]
    places = (
        [f"--config-dir={new[0]}"]
        if len(new) == 1
        else build_search_path_override([], [other.directory] if new else [])
    )
    return f"The first becomes the second with\n  {join_command(['sota-exp', 'rerun', one.name, *places, *changes])}"
