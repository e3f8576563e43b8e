"""usage: sota-exp diff RUN RUN

Lists the differences of two runs: choices, values, versions, commit, device and data; and the overrides that turn the
first into the second. RUN is a run's directory, a name below outputs/ or multirun/ or its prefix, or an MLflow run id.

  sota-exp diff outputs/a_run outputs/another
  sota-exp diff multirun/train-1f2e3d4c/0 multirun/train-1f2e3d4c/1

sota-exp compare compares their metrics and costs.
"""

import shlex

from rich.markup import escape
from rich.table import Table

from sota_exp.errors import ConfigError
from sota_exp.report.comparison.config_difference import Difference, difference
from sota_exp.report.terminal import console
from sota_exp.runs.find import Run, find_one


def main(arguments: list[str]) -> None:
    """Print the differences of the two runs in the arguments.

    Raises:
        ConfigError: not two runs.
    """
    if len(arguments) != 2:
        raise ConfigError("diff needs two runs: sota-exp diff RUN RUN; see sota-exp diff --help")
    one, other = map(find_one, arguments)
    found = difference(one, other)
    if found.is_nothing:
        console().print(f"No difference: {escape(one.name)} and {escape(other.name)} have the same configuration,")
        console().print("versions, commit, device and data.")
        return
    console().print(table(one, other, found))
    console().print()
    console().print(command(one, other), soft_wrap=True, markup=False)


def table(one: Run, other: Run, found: Difference) -> Table:
    """One row per difference: choices, then values, then environment."""
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    rows.add_column("", style="cyan", overflow="fold")
    for run in (one, other):
        rows.add_column(escape(run.name), overflow="fold")
    sections = [section for section in (found.choices, found.values, found.environment) if section]
    for index, section in enumerate(sections):
        for name, values in section.items():
            rows.add_row(escape(name), *(escape(value) for value in values))
        if index < len(sections) - 1:
            rows.add_row()
    return rows


def command(one: Run, other: Run) -> str:
    """The command line that trains the second run's configuration, as changes of the first."""
    if one.config == other.config:
        return "The configurations are equal: no override turns one into the other."
    from sota_exp.config.overrides import changes_between

    try:
        changes = changes_between(one.configuration, other.configuration)
    except ConfigError as error:
        return f"No overrides turn the first into the second with the options of this version: {error}"
    return f"The first becomes the second with\n  {shlex.join(['sota-exp', 'rerun', one.name, *changes])}"
