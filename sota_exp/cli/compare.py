"""usage: sota-exp compare RUN RUN … [--each] [--json] [--html FILE]

Compares runs: differences of configuration, metrics, costs, and confidence intervals of differences. Runs that differ
only in their seed are one column, mean ± standard deviation over seeds. RUN is a run's directory, a directory of runs,
a name below outputs/ or multirun/ or a prefix of names, or an MLflow run id.

  sota-exp compare outputs/a_run outputs/another          two runs
  sota-exp compare multirun/train-1f2e3d4c                all runs of a multirun
  sota-exp compare small_images torchvision               the runs whose names begin like this
  sota-exp compare multirun/train-1f2e3d4c --each         one column per seed
  sota-exp compare multirun/train-1f2e3d4c --json         all numbers as JSON
  sota-exp compare small_images torchvision --html page.html   a self-contained page

Differences of test accuracy are paired by image. "95 %: images" is the interval for the noise of a finite test set,
"95 %: seeds" that for the noise of training, unknown with one seed. won : lost counts the images that only one of the
two classifies correctly.
"""

import json
from pathlib import Path

from sota_exp.errors import ConfigError
from sota_exp.report.comparison.compare_runs import compare_runs
from sota_exp.report.comparison.terminal import comparison_to_json, print_comparison
from sota_exp.report.terminal import make_console
from sota_exp.runs.find import SavedRun, find_runs

COMPARE_FLAGS = ("--each", "--json", "--html")


def main(arguments: list[str]) -> None:
    """Print the comparison of the runs in the arguments.

    Raises:
        ConfigError: an unknown flag, or no runs.
    """
    arguments, page = split_html_argument(arguments)
    flags = [word for word in arguments if word.startswith("-")]
    if unknown := [flag for flag in flags if flag not in COMPARE_FLAGS]:
        raise ConfigError(f"{unknown[0]}: no such option of compare; legal: {', '.join(COMPARE_FLAGS)}")
    words = [word for word in arguments if word not in flags]
    runs = [SavedRun.read(path) for word in words for path in find_runs(word)]
    if not runs:
        raise ConfigError("compare needs runs: sota-exp compare RUN RUN …; see sota-exp compare --help")
    comparison = compare_runs(runs, each="--each" in flags)
    if "--json" in flags:
        print(json.dumps(comparison_to_json(comparison), indent=2))
    else:
        print_comparison(comparison, make_console())
    if page is not None:
        from sota_exp.report.comparison.page import write_comparison_page

        write_comparison_page(comparison, page)


def split_html_argument(arguments: list[str]) -> tuple[list[str], Path | None]:
    """Split the arguments into those without `--html FILE` or `--html=FILE`, and that file.

    Raises:
        ConfigError: the name of the file is missing.
    """
    index = next((place for place, word in enumerate(arguments) if word.partition("=")[0] == "--html"), None)
    if index is None:
        return arguments, None
    word = arguments[index]
    name = word.partition("=")[2] or "".join(arguments[index + 1 : index + 2])
    if not name or name.startswith("-"):
        raise ConfigError("--html: expected the name of a file to write, such as --html page.html")
    return arguments[:index] + arguments[index + (1 if "=" in word else 2) :], Path(name)
