"""`sota-exp compare`: configurations, metrics and costs of runs, with confidence intervals of their differences."""

import json
from pathlib import Path

from sota_exp.cli.command_line import RUN_WORDS, CommandLine
from sota_exp.report.terminal import make_console
from sota_exp.runs.find import SavedRun, find_runs

COMMAND = CommandLine(
    "compare",
    "Compares runs: differences of configuration, metrics, costs, and confidence intervals of differences. Runs that "
    "differ only in their seed or fold are one column, mean ± standard deviation over seeds; an accuracy of one "
    "run has "
    "Wilson's interval over images."
    "\n\n"
    "Differences of test accuracy are paired by image, of runs that scored the same images in the same order "
    '(result.json has their digest), else "not comparable"; evaluations of another part alone are compared on that '
    'part. "95 %: images" is the interval for the noise of a finite test set, "95 %: seeds" that for the noise of '
    'training, unknown with one seed, or if differences are equal, "95 %: both" that for new training runs on new '
    "images "
    "like these. won : lost counts the images that only one of the two classifies correctly. Folds of a "
    "cross-validation "
    "are paired by seed, thus by fold, and the images of all folds are pooled; the interval for both has the noise "
    "of the images and what folds differ in beyond it.",
    {
        "compare small_images torchvision": "the runs whose names begin like this",
        "compare multirun/train-1f2e3d4c --each": "a column for each run of a multirun",
        "compare small_images torchvision --html page.html": "a self-contained page too",
    },
    trusts=True,
)
COMMAND.add_argument("runs", metavar="RUN", nargs="+", help=f"{RUN_WORDS}, or a directory of runs")
COMMAND.add_argument("--each", action="store_true", help="one column per run, not per configuration")
COMMAND.add_argument("--json", action="store_true", help="print JSON")
COMMAND.add_argument("--html", metavar="FILE", help="write a page too")


def main(arguments: list[str]) -> None:
    """Print the comparison of the runs in the arguments.

    Raises:
        ConfigError: an unknown option, or no runs.
    """
    options = COMMAND.parse(arguments)
    from sota_exp.report.comparison.compare_runs import compare_runs
    from sota_exp.report.comparison.terminal import comparison_to_json, print_comparison

    runs = [SavedRun.read(path) for word in options.runs for path in find_runs(word)]
    comparison = compare_runs(runs, each=options.each)
    if options.json:
        print(json.dumps(comparison_to_json(comparison), indent=2))
    else:
        print_comparison(comparison, make_console())
    if options.html is not None:
        from sota_exp.report.comparison.page import write_comparison_page

        write_comparison_page(compare_runs(runs, each=options.each, has_names=True), Path(options.html))
