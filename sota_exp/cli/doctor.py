"""usage: sota-exp doctor [OVERRIDE …] [--json]

Looks at what a training here would need: packages, device, disk, images, MLflow store, published weights. Each problem
comes with its mend. Overrides choose what is looked at, as in train.

  sota-exp doctor
  sota-exp doctor data=image_folder data.root=photos tracking.uri=http://host:5000

Exit status: 0 where nothing stands in the way of a training, 1 where something does, 2 for a wrong configuration.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from sota_exp.config.configuration import Configuration
from sota_exp.config.overrides import composed
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.preview.doctor.finding import Finding, problem
from sota_exp.report.terminal import console

#: What stands before a line, and its colour.
MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✗", "bold red")}


def main(arguments: list[str]) -> None:
    """Print what is found, as it is found."""
    overrides = [argument for argument in arguments if argument != "--json"]
    if strange := [argument for argument in overrides if argument.startswith("-")]:
        raise ConfigError(f"{strange[0]}: no such option; legal: --json, and overrides as in train")
    as_json = "--json" in arguments
    findings = []
    for finding in findings_of(composed(overrides)):
        findings.append(finding)
        if not as_json:
            console().print(line(finding), soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    num = sum(finding.state == "problem" for finding in findings)
    if num:
        raise RunFailed(f"{num} problem{'s' if num > 1 else ''} found; what helps is said with each")


def findings_of(configuration: Configuration) -> Iterator[Finding]:
    """Every check in turn; one that fails itself is a problem, and the others go on."""
    for name, check in checks(configuration).items():
        try:
            yield from check()
        except ConfigError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            said = f"it could not be looked at: {type(error).__name__}: {reason}"
            yield problem(name, said, "SOTA_EXP_TRACEBACK=1 sota-exp train shows more")


def checks(configuration: Configuration) -> dict[str, Callable[[], list[Finding]]]:
    """What is looked at, in order; each imports what it needs when it is its turn."""
    from sota_exp.preview.doctor.disk import homes, places, weights
    from sota_exp.preview.doctor.hosts import hosts
    from sota_exp.preview.doctor.mlflow_store import runs, store
    from sota_exp.preview.doctor.packages import packages

    def device() -> list[Finding]:
        from sota_exp.preview.doctor.device import device

        return device(str(configuration.values["runtime"]["device"]))

    def data() -> list[Finding]:
        from sota_exp.preview.doctor.data import data

        return data(configuration.experiment, str(values["data"]["name"]))

    values = configuration.values
    cache = Path(values["data"]["cache"]).expanduser()
    return {
        "packages": packages,
        "device": device,
        "disk": lambda: places(Path.cwd(), cache),
        "data": data,
        "store": lambda: store(values["tracking"]),
        "runs": runs,
        "weights": lambda: weights(*homes()),
        "network": hosts,
    }


def line(finding: Finding) -> Text:
    """`✓ name  what was found`, and below it what helps."""
    mark, style = MARKS[finding.state]
    said = Text.assemble((mark, style), f" {finding.name:<9} {finding.said}")
    return said.append(f"\n            → {finding.mend}", style="cyan") if finding.mend else said
