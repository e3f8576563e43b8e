"""`sota-exp look`: pictures of the data and the augmentation of a configuration, without training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from sota_exp.cli.command_line import Composition
from sota_exp.cli.train import log, remove_empty_run_directory
from sota_exp.config import compose
from sota_exp.config.data_paths import name_data
from sota_exp.config.rules import check_rules
from sota_exp.errors import ConfigError
from sota_exp.report.changing_line import loading_pytorch, shown_in_notebook
from sota_exp.report.numbers import format_sizes
from sota_exp.report.terminal import escape, make_console, shorten_path

if TYPE_CHECKING:
    from sota_exp.config.experiment import Experiment

#: The default directory, named like that of a run.
DEFAULT_DIRECTORY = "outputs/look-${hydra:runtime.choices.recipe}-${hydra:runtime.choices.data}-seed${seed}"

COMMAND = Composition(
    name="look",
    usage="[step=N] [OVERRIDE …]",
    purpose="Draws pictures of the data and the augmentation of a configuration, without training, with the random "
    "numbers of training: the batch as the network sees it, the effect of each technique alone, images per class and "
    "their sizes, the closest images across splits (copies in train inflate scores), and how large objects appear.",
    examples={
        "look recipe=torchvision step=500": "a later step of another recipe",
        "look data=image_folder data.root=photos": "your images",
        "look augmentation/mix=cutmix augmentation/policy=augmix": "two techniques",
    },
    groups=("data", "data/split", "augmentation", "evaluation/resolution", "recipe", "scale", "runtime", "experiment"),
    keys={
        "step=0": "the training step whose batch is drawn",
        "hydra.run.dir": "the directory of the pictures and of look.json, their numbers",
    },
)


def main(arguments: list[str]) -> None:
    """Draw the pictures of the configuration that the overrides compose, at step `step=`."""
    compose.run_hydra(*plan_look(arguments), "look")


def plan_look(arguments: list[str]) -> tuple[Callable[[DictConfig], None], list[str]]:
    """The job of `arguments`, and the words with which Hydra runs it.

    Raises:
        ConfigError: the step is not a whole number from 0 on.
    """
    steps = [argument for argument in arguments if argument.startswith("step=")]
    step = steps[-1].partition("=")[2] if steps else "0"
    if not step.isdecimal():
        raise ConfigError(f"step={step}: expected the number of a training step, 0 for the first")
    overrides = [argument for argument in arguments if argument not in steps]
    place = f"hydra.run.dir='{DEFAULT_DIRECTORY}-step{step}-${{digest:${{hydra:overrides.task}}}}'"
    return partial(look, int(step)), [place, *overrides]


def look(step: int, config: DictConfig) -> None:
    """Write pictures and look.json to Hydra's output directory."""
    directory = compose.get_output_directory()
    try:
        configuration = compose.get_job_configuration(config)
        for warning in check_rules(configuration):
            log.warning(warning)
        with loading_pytorch():
            experiment = without_teacher(configuration.experiment)
            from sota_exp.preview.look import findings
            from sota_exp.preview.look.show import build_summary_table, write_pictures
            from sota_exp.training.gpu_lease import find_free_gpu
            from sota_exp.training.run import open_session_of
        with shown_in_notebook("reading the images and drawing them"):
            session = open_session_of(experiment, find_free_gpu)
            found = findings.inspect_training(session, configuration.choices, step)
            write_pictures(found, directory)
    except ConfigError:
        remove_empty_run_directory(directory)
        raise
    out, place = make_console(), shorten_path(directory)
    sizes = format_sizes(session.data.count_images())
    data = escape(name_data(configuration.values["data"]))
    out.print(f"[bold]{experiment.recipe.name}[/] on [bold]{data}[/]: {sizes} images; no training")
    out.print(build_summary_table(found))
    out.print(f"pictures and look.json in {escape(str(place))}", style="dim")


def without_teacher(experiment: "Experiment") -> "Experiment":
    """The experiment without distillation, whose teacher changes no picture and may have to be downloaded."""
    from sota_exp.stages.loss import NoTeacher

    return replace(experiment, regularization=replace(experiment.regularization, distillation=NoTeacher()))
