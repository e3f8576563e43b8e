"""`sota-exp report`: the page of a study or a sweep, from its files, without training or evaluation."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.cli.command_line import CommandLine
from sota_exp.config.data_paths import describe_no_folder, expand_home, is_folder
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import make_console
from sota_exp.runs.trust import require_trust

if TYPE_CHECKING:
    from sota_exp.report.document.write import WrittenReport

#: The directory in which studies and sweeps are found by name.
STUDY_ROOT = Path("multirun")

COMMAND = CommandLine(
    "report",
    "Writes the report of a study or sweep into its directory, from the files in it, without training or evaluation: "
    "report.html, a self-contained page (summary, effects with intervals, curves, costs, configurations), report.md, "
    "the same as Markdown, and figures/, every figure as SVG and PNG. For single runs: sota-exp compare RUN RUN … "
    "--html FILE.",
    {
        "report ladder-torchvision-cifar10-1f2e3d4c": "a name below multirun/",
        "report multirun/learning_rate-1f2e3d4c": "a sweep",
        "report /shared/studies/ladder --trust": "of another user, whose files it names",
    },
    trusts=True,
)
COMMAND.add_argument("directory", metavar="DIRECTORY", help="that of a study or sweep, or its name below multirun/")


def main(arguments: list[str]) -> None:
    """Write the report of the directory in the arguments and print its summary.

    Raises:
        ConfigError: not one directory, or not that of a study or sweep.
    """
    if not arguments:
        raise ConfigError(f"report needs a directory{format_known_names()}; see sota-exp report --help")
    written = write_report(find_directory(COMMAND.parse(arguments).directory))
    out = make_console()
    for paragraph in written.answer:
        out.print(paragraph, markup=False)
    page, text, *pictures = written.paths
    out.print(f"{page}, {text.name} and {len(pictures)} figures", style="dim", soft_wrap=True)


def find_directory(word: str) -> Path:
    """Find a directory by its path or its name below multirun/.

    Raises:
        ConfigError: no such directory.
    """
    for directory in (expand_home(word), STUDY_ROOT / word):
        if is_folder(directory):
            return directory
    raise ConfigError(f"{word}: {describe_no_folder(word)}{format_known_names()}")


def format_known_names() -> str:
    """The names of all studies and sweeps, for the end of an error message."""
    names = sorted({path.parent.name for kind in ("study.json", "sweep.json") for path in STUDY_ROOT.glob(f"*/{kind}")})
    return f"; legal: {', '.join(names)}" if names else ""


def write_report(directory: Path) -> "WrittenReport":
    """Write the report of the directory's study or sweep.

    Raises:
        ConfigError: the directory contains neither, or its figures are elsewhere.
    """
    if not (directory / "figures").resolve().is_relative_to(directory.resolve()):
        require_trust(directory, {"figures": f"a link to {os.readlink(directory / 'figures')}"})
    if (directory / "study.json").is_file():
        from sota_exp.report.study.page import write_study_report

        return write_study_report(directory)
    if (directory / "sweep.json").is_file():
        from sota_exp.report.sweep.page import write_sweep_report

        return write_sweep_report(directory)
    raise ConfigError(
        f"{directory} contains neither study.json nor sweep.json, from sota-exp ablate or sota-exp sweep"
        f"{format_known_names()}. For single runs: sota-exp compare {directory} --html report.html"
    )
