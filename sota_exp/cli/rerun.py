"""`sota-exp rerun`: a run's configuration again, as it was or changed."""

from functools import partial
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from sota_exp.cli.command_line import ALL_GROUPS, RUN_KEYS, Composition
from sota_exp.cli.diff import build_difference_table
from sota_exp.cli.train import train
from sota_exp.config import compose
from sota_exp.config.hashing import compute_digest
from sota_exp.config.overrides import configuration_to_overrides
from sota_exp.config.search_path import build_search_path_override
from sota_exp.config.values import format_override_value as quoted
from sota_exp.config.values import is_multirun
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import escape, make_console
from sota_exp.runs.find import SavedRun, find_run
from sota_exp.runs.trust import leave_out_cache, require_trusted_configuration

if TYPE_CHECKING:
    from sota_exp.report.comparison.repeatability import Repetition

COMMAND = Composition(
    name="rerun",
    usage="RUN [OVERRIDE …]",
    purpose="Trains a run's configuration again in a new directory. Without overrides it checks that the numbers are "
    "bit-identical and, if not, prints possible reasons; with overrides it compares the two runs. RUN is a run's "
    "directory, a name below outputs/ or multirun/ or its beginning, or an MLflow run id; it may be interrupted or "
    "failed. The same command resumes its run, or prints the result of a finished one.",
    examples={
        "rerun small_images": "check that it repeats",
        "rerun small_images augmentation/mix=none": "the same without mixing",
        "rerun small_images -m seed=1,2,3": "several runs in turn",
    },
    groups=ALL_GROUPS,
    keys=RUN_KEYS,
    trusts=True,
)


def main(arguments: list[str]) -> None:
    """Train the run in the first argument again; the other arguments are overrides or Hydra's flags.

    Raises:
        ConfigError: no run is given, or one that cannot be trained again.
    """
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("rerun needs a run first: sota-exp rerun RUN [OVERRIDE …]; see sota-exp rerun --help")
    original, changes = find_run(arguments[0]), arguments[1:]
    if original.is_evaluation:
        raise ConfigError(f"{original.name} is an evaluation, which trained nothing; sota-exp evaluate repeats it")
    if not original.choices:
        raise ConfigError(f"{original.name} ended before its choices were written; repeat its command")
    overrides = compose.get_overrides(changes)
    require_trusted_configuration(original.directory, original.configuration, overrides)
    places = build_search_path_override(changes, [original.directory])
    configuration = leave_out_cache(original.directory, original.configuration)
    base = [*configuration_to_overrides(configuration, overrides, places), *places]
    others = [word for word in changes if not word.startswith("hydra.searchpath=")]
    is_one = not is_multirun(changes)
    *_, parent, name = original.directory.parts
    name = f"{parent}-{name}" if name.isdecimal() else name
    place = f"outputs/{name}-rerun-{compute_digest([str(original.directory), sorted(overrides)], length=8)}"
    compose.run_hydra(partial(rerun, original, is_one), [*base, f"hydra.run.dir={quoted(place)}", *others], "rerun")


def rerun(original: SavedRun, is_one: bool, config: DictConfig) -> float:
    """Train in Hydra's output directory, compare with the original, and return the validation accuracy in [0, 1].

    Raises:
        ConfigError: the output directory is that of the original.
    """
    directory = compose.get_output_directory()
    if directory.resolve() == original.directory:
        raise ConfigError(f"hydra.run.dir={original.name} is the run itself; choose another directory")
    if not original.is_complete:
        make_console().print(
            f"{escape(original.name)} is {original.status}; its configuration is trained from the start."
        )
    from sota_exp.report.comparison.compare_runs import compare_runs
    from sota_exp.report.comparison.repeatability import compare_repetition
    from sota_exp.report.comparison.terminal import print_comparison

    accuracy = train(config)
    again = SavedRun.read(directory)
    print_repetition(compare_repetition(original, again), original)
    if is_one and original.is_complete and original.config != again.config:
        print_comparison(compare_runs([original, again], each=True), make_console())
    return accuracy


def print_repetition(found: "Repetition", original: SavedRun) -> None:
    """Print the changes, whether the numbers are identical, and otherwise possible reasons."""
    out = make_console()
    for key, (before, after) in found.changed.items():
        out.print(f"changed: {key}: {before} → {after}", markup=False, soft_wrap=True)
    if not found.is_same_training:
        if not found.changed:
            out.print(
                "[yellow]The configuration is the same, but the training is not: the images, the initial weights "
                "or the numerics of this version differ.[/]"
            )
        return
    if not found.compared:
        out.print(f"{escape(original.name)} wrote no epoch: there is nothing to compare.")
    elif not found.differing:
        words = ", ".join(found.compared)
        out.print(f"[green]Identical to the bit[/] with {escape(original.name)}: {words}.", soft_wrap=True)
    else:
        out.print(f"[yellow]Not identical[/] with {escape(original.name)}. Compared: {', '.join(found.compared)}.")
        out.print(build_difference_table(("original", "again"), found.differing))
        out.print(format_reason(found, original), soft_wrap=True, markup=False)


def format_reason(found: "Repetition", original: SavedRun) -> str:
    """The differences of the environment, as the probable reason of different numbers."""
    listed = [f"{name}: {before} → {after}" for name, (before, after) in found.surroundings.items()]
    if listed:
        return "The probable reason: " + "; ".join(listed)
    text = (
        "Versions, commit, device and threads are the same: probably an operation is not deterministic on this device"
    )
    if original.environment["commit"].endswith("-dirty"):
        text += ", or the code changed: the commit ends in -dirty"
    return f"{text}."
