"""`sota-exp report`: the page of a run, a study or a sweep, from its files, without training or evaluation."""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sota_exp.cli.command_line import CommandLine
from sota_exp.cli.saved_model_argument import find_run_weights, load_named_model
from sota_exp.config.data_paths import expand_home, is_folder
from sota_exp.config.shell_words import quote_word
from sota_exp.errors import ConfigError, first_line
from sota_exp.report.terminal import format_next, make_console
from sota_exp.runs.arrays import open_arrays
from sota_exp.runs.find import find_runs, find_runs_below, format_run_path
from sota_exp.runs.sent_position import FOLDS_FILE
from sota_exp.runs.trust import require_trust

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sota_exp.report.document.write import WrittenReport

#: The directory in which studies and sweeps are found by name, and their files.
STUDY_ROOT, STUDY_FILES = Path("multirun"), ("study.json", "sweep.json")

COMMAND = CommandLine(
    "report",
    "Writes the report of a run, a study or a sweep into its directory, from the files in it, without training or "
    "evaluation: report.html, a self-contained page (summary, curves, effects with intervals, confusions, mistakes, "
    "costs, configuration), report.md, the same as Markdown, and figures/, every figure as SVG and PNG.",
    {
        "report outputs/a_run": "a run, by its directory, its name or the beginning of it",
        "report ladder-torchvision-cifar10-1f2e3d4c": "a study or sweep, by its name below multirun/",
        "report /shared/studies/ladder --trust": "of another user, whose files it names",
    },
    trusts=True,
)
COMMAND.add_argument(
    "directory", metavar="DIRECTORY", help="that of a run, a study or a sweep, or its name below outputs/ or multirun/"
)
COMMAND.add_argument(
    "--grad-cam",
    action="store_true",
    help="of a run: beside each of the worst mistakes, what in it spoke for the wrong class, by the saved network; "
    "needs pip install 'sota-exp[grad-cam]'",
)


def main(arguments: list[str]) -> None:
    """Write the report of the directory in the arguments and print its summary.

    Raises:
        ConfigError: not one directory, or not that of a study or sweep.
    """
    if not arguments:
        raise ConfigError(f"report needs a directory{format_known_names()}; see sota-exp report --help")
    given = COMMAND.parse(arguments)
    directory = find_directory(given.directory)
    added = {"with_heat": draw_heat_of_mistakes(directory)} if given.grad_cam else {}
    written, out = write_report(directory, **added), make_console()
    for paragraph in written.answer:
        out.print(paragraph, markup=False)
    if (directory / "study.json").is_file():
        from sota_exp.study.terminal import build_study_tables

        found = json.loads((directory / "study.json").read_text())
        for part in (*build_study_tables(found), *format_next((found.get("next") or {}).get("lines", ()))):
            out.print(part)
    page, text, *pictures = written.paths
    out.print(f"{page}, {text.name} and {len(pictures)} figures", style="dim", soft_wrap=True)


def find_directory(word: str) -> Path:
    """Find the directory of a study, a sweep or a run by its path, its name below multirun/ or outputs/, or its start.

    Raises:
        ConfigError: no such directory, or several.
    """
    if (found := find_study_directory(word, STUDY_FILES)) is not None:
        return found
    try:
        runs = find_runs(word)
    except ConfigError as error:
        raise ConfigError(f"{error}{format_known_names()}") from error
    refuse_several(word, runs)
    return runs[0]


def refuse_several(word: str, runs: Sequence[Path]) -> None:
    """Refuse to write a page of several runs.

    Raises:
        ConfigError: there are several; the message has commands for one of them and for all, and the file of all folds.
    """
    if len(runs) > 1:
        one = f"sota-exp report {quote_word(format_run_path(runs[0]))}"
        every = f"sota-exp compare {quote_word(word)} --html report.html"
        folds = sorted({str(file) for run in runs if (file := run.parent / FOLDS_FILE).is_file()})
        every += f"; their scores are in {', '.join(folds)}" if folds else ""
        raise ConfigError(f"{word} means {len(runs)} runs, and a page is of one: {one}. All of them: {every}")


def find_study_directory(word: str, files: Sequence[str]) -> Path | None:
    """The directory with one of these files that is called so, or whose name below multirun/ alone begins so.

    Raises:
        ConfigError: several begin so.
    """
    for directory in (expand_home(word), STUDY_ROOT / word):
        if is_folder(directory) and any((directory / name).is_file() for name in files):
            return directory
    found = [name for name in list_studies(files) if word and name.startswith(word)]
    if len(found) > 1:
        raise ConfigError(f"{word} means {len(found)} directories below {STUDY_ROOT}/; name one: {', '.join(found)}")
    return STUDY_ROOT / found[0] if found else None


def list_studies(files: Sequence[str]) -> list[str]:
    """The names below multirun/ of directories with one of these files, sorted."""
    return sorted({path.parent.name for file in files for path in STUDY_ROOT.glob(f"*/{file}")})


def format_known_names(files: Sequence[str] = STUDY_FILES) -> str:
    """The names of all studies and sweeps, for the end of an error message."""
    names = list_studies(files)
    return f"; legal: {', '.join(names)}" if names else ""


def draw_heat_of_mistakes(directory: Path) -> "NDArray[np.uint8]":
    """The images of `mistakes.npz` beside their Grad-CAM for the predicted class: uint8 [K, 3, S, 2 S].

    Raises:
        ConfigError: captum is not installed, the directory is not that of one finished training, or its network has no
            feature map.
    """
    if importlib.util.find_spec("captum") is None:
        raise ConfigError("--grad-cam needs captum: pip install 'sota-exp[grad-cam]'")
    if any((directory / name).is_file() for name in STUDY_FILES):
        raise ConfigError(
            f"--grad-cam is of the page of one run, and {directory} is a study or sweep: name a run of it"
        )
    refuse_several(str(directory), [*find_runs_below(directory)])
    model = load_named_model(find_run_weights(directory))
    import torch

    from sota_exp.models.grad_cam import draw_grad_cam

    try:
        with open_arrays(directory / "mistakes.npz") as arrays:
            images, classes = (torch.from_numpy(arrays[name]) for name in ("images", "predicted"))
    except (OSError, KeyError) as error:
        raise ConfigError(f"{directory}: no mistakes can be shown: {first_line(error)}") from error
    return draw_grad_cam(model, images, classes).numpy()


def write_report(directory: Path, **added: "NDArray[np.uint8]") -> "WrittenReport":
    """Write the report of the directory's study, sweep or run. added: of a run, see `RunFigureData.mistakes`.

    Raises:
        ConfigError: it is none of them, the run has not finished, or figures are elsewhere.
    """
    if not (directory / "figures").resolve().is_relative_to(directory.resolve()):
        require_trust(directory, {"figures": f"a link to {os.readlink(directory / 'figures')}"})
    if (directory / "study.json").is_file():
        from sota_exp.report.study.page import write_study_report

        return write_study_report(directory)
    if (directory / "sweep.json").is_file():
        from sota_exp.report.sweep.page import write_sweep_report

        return write_sweep_report(directory)
    refuse_several(str(directory), [*find_runs_below(directory)])
    from sota_exp.report.run.page import write_run_report

    return write_run_report(directory, **added)


def find_page(directory: Path) -> Path:
    """The page of the directory's study, sweep or run; written where it is not there."""
    if not (directory / "report.html").is_file():
        write_report(directory)
    return directory / "report.html"
