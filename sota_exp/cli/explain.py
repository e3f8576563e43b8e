"""`sota-exp explain`: what `train` with the same overrides would do and cost."""

import contextlib
from pathlib import Path

from omegaconf import DictConfig

from sota_exp import CONF, PACKAGE
from sota_exp.cli.command_line import ALL_GROUPS, RUN_KEYS, Composition
from sota_exp.config import compose
from sota_exp.config.catalog import load_catalog
from sota_exp.config.configuration import Configuration
from sota_exp.config.recipe_values import list_own_directories
from sota_exp.config.rules import check_each_value, check_rules, find_fired_rules
from sota_exp.config.split_of_seed import get_split, takes_every_fold
from sota_exp.report.terminal import make_console, shorten_path

#: Duration of the training steps that are measured for the estimate.
MEASURE_SECONDS = 4.0

#: Overrides with which Hydra writes no files.
NO_FILES_OVERRIDES = ("hydra/job_logging=terminal",)

COMMAND = Composition(
    name="explain",
    usage="[OVERRIDE …] [--no-measure]",
    purpose="Prints what train with the same overrides would do, without training: the techniques and their papers, "
    "images and steps, the learning rate, the rules that fire, and an estimate of time and memory from a few real "
    "steps. Exit status 2 if a rule forbids the configuration, as in train.",
    examples={
        "explain recipe=torchvision": "a published recipe",
        "explain data=image_folder data.root=photos batch_size=256": "your images",
        "explain recipe=rsb_a2 scale=full --no-measure": "at its full length",
    },
    groups=ALL_GROUPS,
    keys={key: RUN_KEYS[key] for key in ("seed=0", "batch_size=128")},
    flags={"--no-measure": "no real steps: neither time nor memory"},
)


def main(arguments: list[str]) -> None:
    """Explain all configurations that the overrides compose."""
    overrides = [argument for argument in arguments if argument != "--no-measure"]
    seconds = 0.0 if "--no-measure" in arguments else MEASURE_SECONDS
    compose.run_hydra(lambda config: explain(config, seconds), [*NO_FILES_OVERRIDES, *overrides], "explain")


def explain(config: DictConfig, seconds: float) -> None:
    """Print what follows from the configuration alone, then what needs data and network."""
    directory = compose.get_output_directory()
    try:
        _explain(compose.get_job_configuration(config), directory, seconds)
    finally:
        for folder in (directory, directory.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()  # Hydra created it; a directory with files stays.


def _explain(configuration: Configuration, directory: Path, seconds: float) -> None:
    from sota_exp.preview import explain as explained

    check_each_value(configuration)
    out, values = make_console(), configuration.values
    active = [
        option
        for option in load_catalog(CONF, PACKAGE, list_own_directories())
        if configuration.choices.get(option.group) == option.name and not option.is_neutral
    ]
    out.print(explained.format_explain_heading(values))
    out.print(explained.build_techniques_table(active, values))
    out.print(explained.build_rules_table(find_fired_rules(configuration)))
    check_rules(configuration)
    out.print(explained.describe_directory(shorten_path(directory)))

    import psutil

    from sota_exp.preview.memory_plan import plan_memory
    from sota_exp.preview.plan_numbers import plan_training
    from sota_exp.preview.timing import estimate_cost, measure_cost, open_for_measuring
    from sota_exp.training.gpu_lease import find_free_gpu
    from sota_exp.training.memory import get_total_memory

    session, state = open_for_measuring(configuration.experiment, find_free_gpu)
    plan = plan_training(session, state)
    values, device = values | {"batch_size": session.experiment.batch_size}, session.device
    memory = plan_memory(session, state)
    words = explained.format_memory(memory, get_total_memory(device))
    out.print(explained.format_plan(plan, values, str(device), words, configuration.choices["model/weights"]))
    if takes_every_fold(values):
        num = get_split(values)["folds"] * get_split(values)["repeats"]
        out.print(f"These are the numbers of one fold; train goes through all {num} trainings, one after the other.")
    free = psutil.virtual_memory().available
    if seconds and device.type == "cpu" and memory is not None and memory.peak > free:
        out.print(
            f"Not measured: a step needs about {memory.peak / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} are "
            "free; try a smaller batch_size, schedule/accumulation=micro_batches or a GPU."
        )
    elif seconds:
        measured = measure_cost(session, state, seconds)
        out.print(explained.format_training_cost(measured, estimate_cost(plan, measured), str(device)))
