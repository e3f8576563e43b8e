"""usage: sota-exp rerun RUN [OVERRIDE …]

Composes a run's configuration again and trains it anew, in a new directory. Without overrides it says whether the numbers are
those of the run, to the bit, and if not, what may be the reason; with overrides it compares the two. RUN is a run's directory,
a name below outputs/ or multirun/ or its beginning, or the id of an MLflow run; it may be interrupted or failed.

  sota-exp rerun outputs/a_run                            is it repeatable?
  sota-exp rerun outputs/a_run seed=1                     the same with another seed
  sota-exp rerun outputs/a_run augmentation/mix=none      the same without mixing
  sota-exp rerun outputs/a_run -m seed=1,2,3              several, one after the other
  sota-exp rerun outputs/a_run --cfg job                  only show the configuration

hydra.run.dir chooses another place; the same command goes on with what it began, or says how it ended.
"""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from rich.markup import escape
from rich.table import Table

from sota_exp.cli.train import train
from sota_exp.config import compose
from sota_exp.config.hashing import digest
from sota_exp.config.overrides import overrides_of
from sota_exp.config.values import shown as quoted
from sota_exp.errors import ConfigError
from sota_exp.report.comparison.compute import compare
from sota_exp.report.comparison.repeatability import Repetition, repetition
from sota_exp.report.comparison.terminal import show
from sota_exp.report.terminal import console
from sota_exp.runs.find import Run, find_one


def main(arguments: list[str]) -> None:
    """Train anew what the first argument names, with the others as overrides or flags of Hydra's."""
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("rerun needs a run first: sota-exp rerun RUN [OVERRIDE …]; sota-exp rerun --help says more")
    original, changes = find_one(arguments[0]), arguments[1:]
    if original.is_evaluation:
        raise ConfigError(f"{original.name} is an evaluation, which trained nothing; sota-exp evaluate repeats it")
    if not original.choices:
        raise ConfigError(f"{original.name} ended before it wrote down its choices; repeat its command")
    overrides = compose.overrides_in(changes)
    base = overrides_of(original.configuration, overrides, compose.search_path(changes))
    is_one = not {"-m", "--multirun"} & set(changes)
    place = f"hydra.run.dir={quoted(str(place_of(original, overrides)))}"
    compose.launch(partial(rerun, original, is_one), [*base, place, *changes], "rerun")


def place_of(original: Run, overrides: list[str]) -> Path:
    """Named by the run, or by the multirun and its number, and by what is changed: the same for the same command."""
    parts = original.directory.resolve().parts
    name = "-".join(parts[-2:]) if parts[-1].isdecimal() else parts[-1]
    return Path("outputs") / f"{name}-rerun-{digest([str(original.directory.resolve()), sorted(overrides)], length=8)}"


def rerun(original: Run, is_one: bool, config: DictConfig) -> float:
    """One training in Hydra's output directory, and how it compares; the validation accuracy."""
    directory = compose.output_directory()
    if directory.resolve() == original.directory.resolve():
        raise ConfigError(f"hydra.run.dir={original.name} is the run itself; choose another place")
    if not original.is_complete:
        console().print(f"{escape(original.name)} is {original.status}; its configuration is trained from the start.")
    accuracy = train(config)
    again = Run.read(directory)
    say(repetition(original, again), original)
    if is_one and original.is_complete and original.config != again.config:
        show(compare([original, again], each=True), console())
    return accuracy


def say(found: Repetition, original: Run) -> None:
    """What was changed, whether the numbers are the same, and what may be the reason where they are not."""
    out = console()
    for key, (before, after) in found.changed.items():
        out.print(f"changed: {key}: {before} → {after}", markup=False, soft_wrap=True)
    if not found.is_same_training:
        if not found.changed:
            out.print(
                "[yellow]The configuration is the same, but not the training: the images, the weights it starts from, "
                "or the numerics of this version are others.[/]"
            )
        return
    if not found.compared:
        out.print(f"{escape(original.name)} wrote no epoch: there is nothing to compare.")
    elif not found.differing:
        words = ", ".join(found.compared)
        out.print(f"[green]Identical to the bit[/] with {escape(original.name)}: {words}.", soft_wrap=True)
    else:
        out.print(f"[yellow]Not identical[/] with {escape(original.name)}. Compared: {', '.join(found.compared)}.")
        out.print(table(found))
        out.print(reason(found, original), soft_wrap=True, markup=False)


def table(found: Repetition) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "original", "again"):
        drawn.add_column(heading, overflow="fold")
    for key, (before, after) in found.differing.items():
        drawn.add_row(escape(key), escape(before), escape(after))
    return drawn


def reason(found: Repetition, original: Run) -> str:
    """What surrounds the two runs otherwise, the probable reason of other numbers."""
    listed = [f"{name}: {before} → {after}" for name, (before, after) in found.surroundings.items()]
    if listed:
        return "The probable reason: " + "; ".join(listed)
    text = (
        "Versions, commit, device and threads are the same: probably an operation that isn't repeatable on this device"
    )
    if original.environment["commit"].endswith("-dirty"):
        text += ", or code changed since: the commit says -dirty"
    return f"{text}."
