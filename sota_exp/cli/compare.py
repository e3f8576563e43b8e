"""usage: sota-exp compare RUN RUN … [--each] [--json] [--html FILE]

What differs between runs, what came out, what it cost, and how sure one can be of a difference. Runs that differ in their
seed alone are one column, mean ± standard deviation over seeds. RUN is a run's directory, a directory of runs, a name below
outputs/ or multirun/ or the beginning of names, or the id of an MLflow run.

  sota-exp compare outputs/a_run outputs/another          two runs
  sota-exp compare multirun/train-1f2e3d4c                all runs of a multirun
  sota-exp compare small_images torchvision               the runs whose names begin so
  sota-exp compare multirun/train-1f2e3d4c --each         every seed in a column of its own
  sota-exp compare multirun/train-1f2e3d4c --json         everything, for a program
  sota-exp compare small_images torchvision --html page.html   the same as one self-contained page

Differences of test accuracy are paired by image. "95 %: images" holds the noise of a finite test set, "95 %: seeds" that of
training anew; with one seed the second is unknown. won : lost counts the images that only one of the two gets right.
"""

import json
from pathlib import Path

from sota_exp.errors import ConfigError
from sota_exp.report.comparison.compute import compare
from sota_exp.report.comparison.terminal import as_json, show
from sota_exp.report.terminal import console
from sota_exp.runs.find import Run, find

FLAGS = ("--each", "--json", "--html")


def main(arguments: list[str]) -> None:
    """Print the comparison of the runs that the arguments name."""
    arguments, page = page_of(arguments)
    flags = [word for word in arguments if word.startswith("-")]
    if strange := [flag for flag in flags if flag not in FLAGS]:
        raise ConfigError(f"{strange[0]}: no such option of compare; legal: {', '.join(FLAGS)}")
    words = [word for word in arguments if word not in flags]
    runs = [Run.read(path) for word in words for path in find(word)]
    if not runs:
        raise ConfigError("compare needs runs: sota-exp compare RUN RUN …; sota-exp compare --help says more")
    comparison = compare(runs, each="--each" in flags)
    if "--json" in flags:
        print(json.dumps(as_json(comparison), indent=2))
    else:
        show(comparison, console())
    if page is not None:
        from sota_exp.report.comparison.page import write

        write(comparison, page)


def page_of(arguments: list[str]) -> tuple[list[str], Path | None]:
    """The arguments without `--html FILE` or `--html=FILE`, and that file.

    Raises:
        ConfigError: no file is named.
    """
    at = next((place for place, word in enumerate(arguments) if word.partition("=")[0] == "--html"), None)
    if at is None:
        return arguments, None
    word = arguments[at]
    name = word.partition("=")[2] or "".join(arguments[at + 1 : at + 2])
    if not name or name.startswith("-"):
        raise ConfigError("--html: expected the name of a file to write, --html page.html")
    return arguments[:at] + arguments[at + (1 if "=" in word else 2) :], Path(name)
