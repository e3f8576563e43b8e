"""usage: sota-exp doctor [OVERRIDE …] [--json] [--clean]

Checks what training on this machine needs: packages, device, disk, images, MLflow store, pretrained weights. Prints a
fix for each problem. Overrides choose the configuration, as in train. --clean removes what killed processes left below
outputs and multirun and in the cache of images: temporary files, locks of dead owners, unfinished stores.

  sota-exp doctor
  sota-exp doctor data=image_folder data.root=photos tracking.uri=http://host:5000

Exit status: 0 without problems, 1 with problems, 2 for a wrong configuration.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from sota_exp.config.configuration import Configuration
from sota_exp.config.data_paths import expand_home
from sota_exp.config.overrides import compose_configuration
from sota_exp.config.printable import make_printable
from sota_exp.errors import ConfigError, RunFailed, in_a_line
from sota_exp.preview.doctor.finding import CheckResult, build_problem
from sota_exp.report.terminal import make_console

#: State of a finding → mark at the beginning of its line, and colour.
STATE_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✗", "bold red")}


def main(arguments: list[str]) -> None:
    """Print each finding as soon as it is known.

    Raises:
        ConfigError: an unknown flag, or a wrong configuration.
        RunFailed: problems were found.
    """
    overrides = [argument for argument in arguments if argument not in ("--json", "--clean")]
    if unknown := [argument for argument in overrides if argument.startswith("-")]:
        raise ConfigError(f"{unknown[0]}: no such option; legal: --json, --clean, and overrides as in train")
    as_json = "--json" in arguments
    findings = []
    for name, finding in run_checks(compose_configuration(overrides), "--clean" in arguments):
        findings.append({"name": name} | asdict(finding))
        if not as_json:
            make_console().print(format_finding(name, finding), soft_wrap=True)
    if as_json:
        print(json.dumps(findings, indent=2))
    num = sum(finding["state"] == "problem" for finding in findings)
    if num:
        raise RunFailed(f"{num} problem{'s' if num > 1 else ''} found; each is printed with its fix")


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
