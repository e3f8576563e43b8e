"""`sota-exp doctor`: problems of this machine, and how to fix them."""

import json
import re
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from sota_exp.cli.command_line import CommandLine
from sota_exp.config.configuration import Configuration
from sota_exp.config.data_paths import expand_home
from sota_exp.config.overrides import compose_configuration
from sota_exp.config.printable import make_printable
from sota_exp.config.values import format_override_value
from sota_exp.errors import ConfigError, RunFailed, in_a_line
from sota_exp.preview.doctor.finding import CheckResult, build_problem
from sota_exp.report.terminal import make_console

#: State of a finding → mark at the beginning of its line, and colour.
STATE_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✗", "bold red")}

#: Option → the key of the configuration that it sets.
KEYS = {
    "data": "data",
    "root": "data.root",
    "path": "data.path",
    "dataset": "data.dataset",
    "cache": "data.cache",
    "device": "runtime.device",
    "uri": "tracking.uri",
}

COMMAND = CommandLine(
    "doctor",
    "Checks what training on this machine needs: packages, device, disk, images, MLflow store, pretrained weights. "
    "Prints a fix for each problem. Exit status: 0 without problems, 1 with problems, 2 for a wrong option.",
    {
        "doctor": "this machine",
        "doctor --root photos --uri http://host:5000": "your images, your MLflow server",
        "doctor --clean": "and remove what killed processes left",
    },
)
COMMAND.add_argument("--data", metavar="NAME", help="the data set, as in train data=NAME; image_folder with --root")
COMMAND.add_argument("--root", metavar="DIR", help="its folder or address, as data.root")
COMMAND.add_argument("--path", metavar="FILE", help="the CSV file of csv, as data.path")
COMMAND.add_argument("--dataset", metavar="NAME", help="that of huggingface, as data.dataset")
COMMAND.add_argument("--cache", metavar="DIR", help="where decoded images are kept, as data.cache")
COMMAND.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps")
COMMAND.add_argument("--uri", help="of the MLflow store, as tracking.uri")
COMMAND.add_argument("--json", action="store_true", help="print JSON")
COMMAND.add_argument(
    "--clean", action="store_true", help="remove temporary files, locks of dead owners and unfinished stores"
)


def main(arguments: list[str]) -> None:
    """Print each finding as soon as it is known.

    Raises:
        ConfigError: an unknown flag, or a wrong configuration.
        RunFailed: problems were found.
    """
    given = COMMAND.parse(arguments)
    findings = []
    with name_options():
        for name, finding in run_checks(compose_configuration(build_overrides(given)), given.clean):
            findings.append({"name": name} | asdict(finding))
            if not given.json:
                make_console().print(format_finding(name, finding), soft_wrap=True)
    if given.json:
        print(json.dumps(findings, indent=2))
    num = sum(finding["state"] == "problem" for finding in findings)
    if num:
        raise RunFailed(f"{num} problem{'s' if num > 1 else ''} found; each is printed with its fix")


def build_overrides(given: Namespace) -> list[str]:
    """The overrides that the options mean."""
    values = {key: vars(given)[name] for name, key in KEYS.items() if vars(given)[name] is not None}
    if "data.root" in values:
        values.setdefault("data", "image_folder")
    return [f"{key}={value if key == 'data' else format_override_value(value)}" for key, value in values.items()]


@contextmanager
def name_options() -> Iterator[None]:
    """While entered, the message of a `ConfigError` names the options, not the keys that they set.

    Raises:
        ConfigError: that one.
    """
    try:
        yield
    except ConfigError as error:
        text = str(error)
        for name, key in KEYS.items():
            text = re.sub(rf"(?<![\w.]){re.escape(key)}=", f"--{name} ", text)
            text = re.sub(rf"(?<![\w.]){re.escape(key)}(?=: )", f"--{name}", text)
        raise ConfigError(text) from error


def run_checks(configuration: Configuration, must_clean: bool = False) -> Iterator[tuple[str, CheckResult]]:
    """Yield (name, finding) of all checks in order; an exception in a check is a problem, and the others continue."""
    for name, check in list_checks(configuration, must_clean).items():
        try:
            for finding in check():
                yield name, finding
        except ConfigError:
            raise
        except Exception as error:
            text = f"the check failed: {in_a_line(error)}"
            yield name, build_problem(text, "SOTA_EXP_TRACEBACK=1 sota-exp train prints the traceback")


def list_checks(configuration: Configuration, must_clean: bool) -> dict[str, Callable[[], list[CheckResult]]]:
    """Name → check, in order; each check imports its libraries when it runs."""
    from sota_exp.preview.doctor.disk import check_directories, check_weight_caches, get_cache_directories
    from sota_exp.preview.doctor.hosts import check_hosts
    from sota_exp.preview.doctor.mlflow_store import check_runs, check_store
    from sota_exp.preview.doctor.packages import check_packages

    def device() -> list[CheckResult]:
        from sota_exp.preview.doctor.device import check_device

        return check_device(str(configuration.values["runtime"]["device"]))

    def data() -> list[CheckResult]:
        from sota_exp.preview.doctor.data import check_data

        return check_data(configuration.experiment, str(values["data"]["name"]))

    def orphans() -> list[CheckResult]:
        from sota_exp.preview.doctor.orphans import check_orphans

        return check_orphans(cache, must_clean)

    values = configuration.values
    cache = expand_home(values["data"]["cache"])
    return {
        "packages": check_packages,
        "device": device,
        "disk": lambda: check_directories(Path.cwd(), cache),
        "data": data,
        "store": lambda: check_store(values["tracking"]),
        "runs": check_runs,
        "orphans": orphans,
        "weights": lambda: check_weight_caches(*get_cache_directories()),
        "network": check_hosts,
    }


def format_finding(name: str, finding: CheckResult) -> Text:
    """`✓ name  finding`, with the fix on the next line."""
    mark, style = STATE_MARKS[finding.state]
    text = Text.assemble((mark, style), f" {name:<9} {make_printable(finding.message)}")
    return text.append(f"\n            → {make_printable(finding.fix)}", style="cyan") if finding.fix else text
