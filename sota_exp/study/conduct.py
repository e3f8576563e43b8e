"""A study from its command line to its result: settings, techniques, arms, then the plan or the runs."""

import functools
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sota_exp import PACKAGE
from sota_exp.config.build import build
from sota_exp.config.catalog import options
from sota_exp.config.configuration import Configuration
from sota_exp.config.hydra_compose import conf_directory
from sota_exp.config.rules import check
from sota_exp.config.values import group_of, leaves
from sota_exp.errors import ConfigError, Interrupted
from sota_exp.report.terminal import console
from sota_exp.study import plan, terminal
from sota_exp.study.arms import Base, Compose, compose_base, made_ready
from sota_exp.study.equal_compute import measured, with_equal_budget
from sota_exp.study.equal_compute import remembered as remembered_epochs
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import Blueprint
from sota_exp.study.results import Row, Study
from sota_exp.study.scheduler import Ablation, Job
from sota_exp.study.screening import screening
from sota_exp.study.settings import Settings
from sota_exp.study.technique import Technique, of_slots, set_to


class Sweeper(Protocol):
    """The methods of Hydra's sweeper that a study uses."""

    plan_only: bool
    measure: bool

    @property
    def directory(self) -> Path: ...

    @property
    def is_one_by_one(self) -> bool: ...

    @property
    def study_name(self) -> str: ...

    def compose(self, overrides: Sequence[str]) -> Configuration: ...
    def study_node(self) -> dict[str, Any]: ...
    def save_command(self) -> None: ...
    def launch(self, jobs: Sequence[Job]) -> list[str | None]: ...

    def show(self, study: Study, files: StudyFiles, status: str) -> list[str]:
        """Publish a study that has ended with the MLflow status `status`; one line per place where it was published."""


def conduct(sweeper: Sweeper, arguments: list[str]) -> Row | None:
    """Plan the study of `arguments`; then print the plan, or train the missing runs and print the result.

    Returns the content of `study.json`, or None for a plan.
    """
    study = planned(sweeper, arguments)
    files = StudyFiles(directory=sweeper.directory)
    files.require_this_version()
    for arm in study.arms.ready:
        files.place(arm, 0)  # So that the first arm of a configuration names its directory, whichever run comes first.
    out = console()
    for part in terminal.heading(study, files):
        out.print(part)
    if sweeper.plan_only:
        from sota_exp.study.cost_estimate import estimated

        out.print(terminal.plan(study, files, estimated(study) if sweeper.measure else {}))
        return None
    sweeper.save_command()
    progress = terminal.Progress(study, files)
    ablation = Ablation(
        study=study,
        files=files,
        launch=sweeper.launch,
        batch_size=1 if sweeper.is_one_by_one else None,
        on_job=progress.job_ended,
    )
    progress.begin(len(ablation.open_jobs()))
    try:
        found = ablation.run()
    except (Interrupted, KeyboardInterrupt):  # A launcher raises the latter when it ends all jobs of a multirun.
        sweeper.show(study, files, "KILLED")
        raise
    out.print(terminal.result(found))
    for line in [os.path.relpath(files.study), *sweeper.show(study, files, "FINISHED")]:
        out.print(line, style="dim", soft_wrap=True, markup=False)
    return found


def planned(sweeper: Sweeper, arguments: list[str]) -> Study:
    """Everything that is known before the first run.

    Raises:
        ConfigError: a wrong key or value, or no arm is left to compare.
    """
    settings: Settings = build(Settings, sweeper.study_node(), "study")
    given = [item for item in arguments if not group_of(item).startswith("study")]
    if settings.recipe is not None and not any(group_of(item) == "recipe" for item in given):
        given.append(f"recipe={settings.recipe}")
    compose: Compose = remembered(sweeper.compose)
    base = compose_base(given, compose)
    try:
        blueprint = blueprint_of(settings, base, compose)
    except ValueError as error:
        raise ConfigError(f"study: {error}") from error
    arms, note = made_ready(blueprint, base, compose), ""
    if settings.budget != "epochs":
        measure = remembered_epochs(sweeper.directory / "budget.json", measured)
        arms, note = with_equal_budget(arms, blueprint, base, compose, settings.budget, measure)
    return Study(
        settings=settings,
        name=sweeper.study_name,
        blueprint=blueprint,
        arms=arms,
        seeds=tuple(settings.seed_list(int(base.configuration.values["seed"]))),
        recipe=str(base.configuration.values["recipe"]["name"]),
        data=str(base.configuration.values["data"]["name"]),
        command=command_line(sweeper.directory),
        budget_note=note,
    )


def remembered(compose: Compose) -> Compose:
    """`compose` with a cache: equal lists are composed once."""

    @functools.cache
    def compose_once(overrides: tuple[str, ...]) -> Configuration:
        return compose(overrides)

    return lambda overrides: compose_once(tuple(overrides))


def blueprint_of(settings: Settings, base: Base, compose: Compose) -> Blueprint:
    """The arms of each kind of study.

    Raises:
        ConfigError: there is no such slot or option.
        ValueError: there is no design for this number of techniques.
    """
    if settings.kind == "null":
        return plan.null(settings.num_arms)
    if settings.kind == "one_slot":
        return _one_slot(settings, base)
    values = leaves(base.configuration.values)
    techniques = [each.at(base.configuration.choices, values) for each in settings.chosen_techniques()]
    if settings.kind == "leave_one_out":
        return plan.leave_one_out([*techniques, *_other_slots(settings, base, techniques)], base.configuration.choices)
    absent = [each.at(base.configuration.choices, values) for each in settings.absent_techniques()]
    if settings.kind in ("add_one_in", "pairs"):
        return (plan.pairs if settings.kind == "pairs" else plan.add_one_in)(techniques, absent)
    forbidden = forbidden_in([*absent, *techniques], base, compose)
    if settings.kind == "ladder":
        return plan.ladder(techniques, forbidden, absent)
    replaces, beside = settings.forbidden == "replace", settings.beside_leave_one_out
    return screening(techniques, settings.interactions, forbidden, replaces, beside, absent)


def _neutral_options() -> dict[str, str]:
    """Slot → its neutral option; `none` where there are several."""
    found: dict[str, str] = {}
    for option in options(conf_directory(), PACKAGE):
        if option.is_neutral and "/" in option.group:
            found.setdefault(option.group, option.name)
    return found


def _other_slots(settings: Settings, base: Base, techniques: Sequence[Technique]) -> list[Technique]:
    """One technique per slot that is on and that no named technique sets, directly or through a preset."""
    if not settings.every_slot or settings.only is not None:
        return []
    keys = {key for technique in techniques for key in technique.keys}
    neutral = _neutral_options()
    taken = {slot for slot in neutral if slot in keys or slot.rpartition("/")[0] in keys}
    return of_slots(base.configuration.choices, neutral, taken)


def _one_slot(settings: Settings, base: Base) -> Blueprint:
    slot = settings.slot or ""
    names = [option.name for option in options(conf_directory(), PACKAGE) if option.group == slot]
    if not names:
        raise ConfigError(f"study.slot={slot}: no such slot; `sota-exp techniques` lists all slots")
    reference = settings.reference or _neutral_options().get(slot, base.configuration.choices.get(slot, names[0]))
    if reference not in names:
        raise ConfigError(f"study.reference={reference}: no such option of {slot}; legal: {', '.join(names)}")
    return plan.one_slot(slot, names, reference)


def forbidden_in(
    techniques: Sequence[Technique], base: Base, compose: Compose
) -> Callable[[tuple[str, ...]], str | None]:
    """A function from the techniques that are on to the reason why they cannot be trained together, or None."""

    @functools.cache
    def reason(on: tuple[str, ...]) -> str | None:
        try:
            check(compose(base.with_changes(set_to(techniques, on))))
        except ConfigError as error:
            return str(error)
        return None

    return reason


#: What `sota-exp ablate` adds to a command line.
OWN = ("hydra/sweeper=", "hydra.sweeper.", "hydra/hydra_logging=", "hydra.sweep.dir=")


def command_line(place: Path) -> str:
    """The command that repeats this study in its directory."""
    given = [_as_typed(item) for item in sys.argv[1:] if "=" in item and not item.startswith(OWN)]
    return " ".join(["sota-exp", "ablate", *map(shlex.quote, given), shlex.quote(f"hydra.sweep.dir={place}")])


def _as_typed(item: str) -> str:
    """An override that `sota-exp ablate` has rewritten, as the user typed it."""
    return item[1:].replace("=equal_arms", "=null") if item.startswith("+study=") else item
