"""usage: sota-exp report DIRECTORY

Writes the report of a study or sweep into its directory, from the files in it, without training or evaluation.

  report.html   self-contained page: summary, effects with intervals, curves, costs, configurations
  report.md     the same as Markdown
  figures/      every figure as SVG and PNG

DIRECTORY contains study.json (from sota-exp ablate) or sweep.json (from sota-exp sweep), or is its name below
multirun/:

  sota-exp report multirun/ladder-torchvision-cifar10-1f2e3d4c
  sota-exp report ladder-torchvision-cifar10-1f2e3d4c

For single runs use sota-exp compare RUN RUN … --html FILE. The same files give the same bytes.
"""

from collections.abc import Callable
from pathlib import Path

from sota_exp.errors import ConfigError
from sota_exp.report.document.document import get_plain_text
from sota_exp.report.document.write import WrittenReport
from sota_exp.report.terminal import make_console

#: File in the directory → the function `module:name` that writes its report.
REPORT_FUNCTIONS = {
    "study.json": "sota_exp.report.study.page:write_study_report",
    "sweep.json": "sota_exp.report.sweep.page:write_sweep_report",
}

#: The directory in which studies and sweeps are found by name.
STUDY_ROOT = Path("multirun")


def main(arguments: list[str]) -> None:
    """Write the report of the directory in the arguments and print its summary.

    Raises:
        ConfigError: not one directory, or not that of a study or sweep.
    """
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise ConfigError(f"report takes one directory{format_known_names()}; see sota-exp report --help")
    directory = find_directory(arguments[0])
    written = load_report_function(directory)(directory)
    out = make_console()
    for paragraph in written.answer:
        out.print(get_plain_text(paragraph.words).strip(), markup=False)
    page, text, *pictures = written.paths
    out.print(f"{page}, {text.name} and {len(pictures)} figures", style="dim", soft_wrap=True)


def find_directory(word: str) -> Path:
    """Find a directory by its path or its name below multirun/.

    Raises:
        ConfigError: no such directory.
    """
    for directory in (Path(word).expanduser(), STUDY_ROOT / word):
        if directory.is_dir():
            return directory
    raise ConfigError(f"{word}: no such directory{format_known_names()}")


def format_known_names() -> str:
    """The names of all studies and sweeps, for the end of an error message."""
    names = sorted({path.parent.name for kind in REPORT_FUNCTIONS for path in STUDY_ROOT.glob(f"*/{kind}")})
    return f"; legal: {', '.join(names)}" if names else ""


def load_report_function(directory: Path) -> Callable[[Path], WrittenReport]:
    """The function that writes the report of the directory.

    Raises:
        ConfigError: the directory contains neither a study nor a sweep.
    """
    import importlib

    for name, function in REPORT_FUNCTIONS.items():
        if (directory / name).is_file():
            module, _, attribute = function.partition(":")
            report: Callable[[Path], WrittenReport] = vars(importlib.import_module(module))[attribute]
            return report
    raise ConfigError(
        f"{directory} contains neither study.json nor sweep.json, from sota-exp ablate or sota-exp sweep"
        f"{format_known_names()}. "
        f"For single runs: sota-exp compare {directory} --html report.html"
    )
