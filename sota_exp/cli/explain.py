"""usage: sota-exp explain [OVERRIDE …] [--no-measure]

Prints what `sota-exp train` with the same overrides would do, without training: the techniques and their papers,
images and steps, the learning rate, the rules that fire, and an estimate of time and memory from a few real steps.

  sota-exp explain recipe=torchvision
  sota-exp explain data=image_folder data.root=photos batch_size=256 --no-measure

Exit status 2 if a rule forbids the configuration, as in train.
"""

import contextlib
from pathlib import Path

from omegaconf import DictConfig

from sota_exp import PACKAGE
from sota_exp.config import compose, hydra_compose
from sota_exp.config.catalog import Option, options
from sota_exp.config.configuration import Configuration, require_filled
from sota_exp.config.rules import check, fired
from sota_exp.report.terminal import console, shown

#: Duration of the training steps that are measured for the estimate.
MEASURE_SECONDS = 4.0

#: Overrides with which Hydra writes no files.
TRACELESS = ("hydra.output_subdir=null", "hydra/job_logging=none")


def main(arguments: list[str]) -> None:
    """Explain all configurations that the overrides compose."""
    overrides = [argument for argument in arguments if argument != "--no-measure"]
    seconds = 0.0 if "--no-measure" in arguments else MEASURE_SECONDS
    compose.launch(lambda config: explain(config, seconds), [*TRACELESS, *overrides], "explain")


def explain(config: DictConfig, seconds: float) -> None:
    """Print what follows from the configuration alone, then what needs data and network."""
    directory = compose.output_directory()
    try:
        _explain(compose.configuration_of(config), directory, seconds)
    finally:
        for folder in (directory, directory.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()  # Hydra created it; a directory with files stays.


def _explain(configuration: Configuration, directory: Path, seconds: float) -> None:
    from sota_exp.preview import explain as explained

    require_filled(configuration)
    out, values = console(), configuration.values
    found = options(hydra_compose.conf_directory(), PACKAGE)
    out.print(explained.heading(values))
    out.print(explained.techniques(chosen(found, configuration.choices), values))
    out.print(explained.rules(fired(configuration)))
    check(configuration)
    out.print(explained.place(shown(directory)))

    from sota_exp.preview.plan_numbers import outline
    from sota_exp.preview.timing import estimate, is_averaged, measure
    from sota_exp.training.failures import foreseen
    from sota_exp.training.loop import start
    from sota_exp.training.run import ready

    session, evaluator = ready(configuration.experiment)
    with foreseen():
        state = start(session)
        plan = outline(session, state)
        out.print(explained.plan(plan, values, str(session.device)))
        if seconds:
            measured = measure(session, state, evaluator, seconds)
            out.print(explained.cost(measured, estimate(plan, measured, is_averaged(state)), str(session.device)))


def chosen(found: list[Option], choices: dict[str, str]) -> list[Option]:
    """The chosen options that are not neutral, in the order of the catalog."""
    return [option for option in found if choices.get(option.group) == option.name and not option.is_neutral]
