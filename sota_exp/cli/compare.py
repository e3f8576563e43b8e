"""usage: sota-exp compare RUN RUN … [--each] [--json] [--html FILE]

Compares runs: differences of configuration, metrics, costs, and confidence intervals of differences. Runs that differ
only in their seed or fold are one column, mean ± standard deviation over seeds; an accuracy of one run has Wilson's
interval over images. RUN is a run's directory, a directory of runs, a name below outputs/ or multirun/ or a prefix of
names, or an MLflow run id.

  sota-exp compare multirun/train-1f2e3d4c                all runs of a multirun
  sota-exp compare small_images torchvision               the runs whose names begin like this
  sota-exp compare multirun/train-1f2e3d4c --each         one column per seed
  sota-exp compare small_images torchvision --html page.html   a self-contained page

Differences of test accuracy are paired by image, of runs that scored the same images in the same order (result.json has
their digest), else "not comparable"; evaluations of another part alone are compared on that part. "95 %: images" is the
interval for the noise of a finite test set, "95 %: seeds" that for the noise of training, unknown with one seed, or if
differences are equal, "95 %: both" that for new training runs on new images like these. won : lost counts the images
that only one of the two classifies correctly. Folds of a cross-validation are paired by seed, thus by fold, and the
images of all folds are pooled; folds share training images, for which the interval for both is widened.
"""

import argparse
import json
from pathlib import Path

from sota_exp.errors import ConfigError, raise_usage_error
from sota_exp.report.comparison.compare_runs import compare_runs
from sota_exp.report.comparison.terminal import comparison_to_json, print_comparison
from sota_exp.report.terminal import make_console
from sota_exp.runs.find import SavedRun, find_runs


def main(arguments: list[str]) -> None:
    """Print the comparison of the runs in the arguments.

    Raises:
        ConfigError: an unknown flag, `--html` without a file, or no runs.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = raise_usage_error  # type: ignore[method-assign]
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--html", nargs="?", const="")
    options, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such option of compare; legal: --each, --json, --html")
    if options.html == "":
        raise ConfigError("--html: expected the name of a file to write, such as --html page.html")
    runs = [SavedRun.read(path) for word in options.runs for path in find_runs(word)]
    if not runs:
        raise ConfigError("compare needs runs: sota-exp compare RUN RUN …; see sota-exp compare --help")
    comparison = compare_runs(runs, each=options.each)
    if options.json:
        print(json.dumps(comparison_to_json(comparison), indent=2))
    else:
        print_comparison(comparison, make_console())
    if options.html is not None:
        from sota_exp.report.comparison.page import write_comparison_page

        write_comparison_page(compare_runs(runs, each=options.each, has_names=True), Path(options.html))
