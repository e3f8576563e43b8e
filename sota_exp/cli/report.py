"""usage: sota-exp report DIRECTORY

Writes the report of a study or of a sweep into its directory, from the files that lie there; nothing is trained or scored.

  report.html   one self-contained page: the answer in words, effects with intervals, curves, costs, configurations
  report.md     the same as Markdown
  figures/      every figure as SVG and PNG

DIRECTORY holds study.json (written by sota-exp ablate) or sweep.json (by sota-exp sweep), or is its name below multirun/:

  sota-exp report multirun/ladder-torchvision-cifar10-1f2e3d4c
  sota-exp report ladder-torchvision-cifar10-1f2e3d4c

For plain runs there is sota-exp compare RUN RUN … --html FILE. The same files give the same bytes.
"""

from collections.abc import Callable
from pathlib import Path

from sota_exp.errors import ConfigError
from sota_exp.report.document.document import plain
from sota_exp.report.document.write import Written
from sota_exp.report.terminal import console

#: The file that says what a directory holds, and the function `module:name` that reports it.
KINDS = {
    "study.json": "sota_exp.report.study.page:report",
    "sweep.json": "sota_exp.report.sweep.page:report",
}

#: Where studies and sweeps are looked for by name.
ROOT = Path("multirun")


def main(arguments: list[str]) -> None:
    """Report the directory that the arguments name."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise ConfigError(f"report takes one directory{known()}; sota-exp report --help says more")
    directory = found(arguments[0])
    written = reporter(directory)(directory)
    out = console()
    for paragraph in written.answer:
        out.print(plain(paragraph.words).strip(), markup=False)
    page, text, *pictures = written.paths
    out.print(f"{page}, {text.name} and {len(pictures)} figures", style="dim", soft_wrap=True)


def found(word: str) -> Path:
    """The directory that the word means.

    Raises:
        ConfigError: there is none.
    """
    for directory in (Path(word).expanduser(), ROOT / word):
        if directory.is_dir():
            return directory
    raise ConfigError(f"{word}: no such directory{known()}")


def known() -> str:
    """What could be reported here, for the end of an error."""
    names = sorted({path.parent.name for kind in KINDS for path in ROOT.glob(f"*/{kind}")})
    return f"; there are {', '.join(names)}" if names else ""


def reporter(directory: Path) -> Callable[[Path], Written]:
    """What reports what the directory holds.

    Raises:
        ConfigError: neither a study nor a sweep.
    """
    import importlib

    for name, function in KINDS.items():
        if (directory / name).is_file():
            module, _, attribute = function.partition(":")
            report: Callable[[Path], Written] = vars(importlib.import_module(module))[attribute]
            return report
    raise ConfigError(
        f"{directory} holds neither study.json nor sweep.json: it is no directory of sota-exp ablate or sota-exp sweep{known()}. "
        f"For plain runs: sota-exp compare {directory} --html report.html"
    )
