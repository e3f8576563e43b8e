"""From a command line to a study and its end: settings, techniques, arms, then the plan or the runs."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.catalog import options
from sota_exp.composing import conf_directory
from sota_exp.config import build, leaves
from sota_exp.errors import ConfigError, Interrupted
from sota_exp.rules import check
from sota_exp.study import plan, table
from sota_exp.study.ablation import Ablation
from sota_exp.study.arms import Base, Compose, compose_base, made_ready
from sota_exp.study.budget import measured, with_equal_budget
from sota_exp.study.budget import remembered as remembered_epochs
from sota_exp.study.evidence import Row, Study
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import Blueprint, Technique, key_of, set_to
from sota_exp.study.settings import Settings
from sota_exp.terminal import console

if TYPE_CHECKING:
    from sota_exp.study.launch import StudySweeper


def conduct(sweeper: "StudySweeper", arguments: list[str]) -> Row | None:
    """Plan the study that the arguments ask for; then say the plan, or train what is missing and say what came out."""
    study = planned(sweeper, arguments)
    files = StudyFiles(directory=sweeper.directory)
    files.require_this_version()
    for arm in study.arms.ready:
        files.place(arm, 0)  # The first arm of a configuration names its place, whichever run comes first.
    out = console()
    for part in table.heading(study, files):
        out.print(part)
    if sweeper.plan_only:
        from sota_exp.study.estimating import estimated

        out.print(table.plan(study, files, estimated(study) if sweeper.measure else {}))
        return None
    sweeper.save_command()
    progress = table.Progress(study, files)
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
    except (Interrupted, KeyboardInterrupt):  # The latter from the launcher: it ends all jobs of a multirun.
        tracked(study, files, "KILLED")
        raise
    out.print(table.result(found))
    for line in told(study, files):
        out.print(line, style="dim", soft_wrap=True, markup=False)
    return found


def told(study: Study, files: StudyFiles) -> list[str]:
    """Have the study reported and shown where its configuration says; a line on each."""
    return [os.path.relpath(files.study), *reported(files.directory), *tracked(study, files, "FINISHED")]


def tracked(study: Study, files: StudyFiles, status: str) -> list[str]:
    """Show the study's page where its configuration says, with MLflow's status of it; a line on it."""
    tracking = study.arms.ready[0].tree["tracking"]
    if "experiment" not in tracking:
        return []
    from sota_exp.tracking.mlflow_study import show_study

    return [show_study(files.directory, tracking["uri"], tracking["experiment"], status)]


def reported(directory: Path) -> list[str]:
    """Write the report beside study.json; pages are an extra, whose mistakes end nothing."""
    from sota_exp.report.study_page import report

    try:
        report(directory)
    except Exception as error:
        return [f"the report could not be written: {type(error).__name__}: {error}"]
    return [os.path.relpath(directory / "report.html")]


def planned(sweeper: "StudySweeper", arguments: list[str]) -> Study:
    """Everything that is known before a run.

    Raises:
        ConfigError: a wrong key or value, or no arm is left.
    """
    from sota_exp.study.launch import command_line

    settings: Settings = build(Settings, sweeper.study_node(), "study")
    given = [item for item in arguments if not key_of(item).startswith("study")]
    if settings.recipe is not None and not any(key_of(item) == "recipe" for item in given):
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
        seeds=tuple(settings.seed_list(int(base.tree["seed"]))),
        recipe=str(base.tree["recipe"]["name"]),
        data=str(base.tree["data"]["name"]),
        command=command_line(sweeper.directory),
        budget_note=note,
    )


def remembered(compose: Compose) -> Compose:
    """Composes equal lists once."""

    @functools.cache
    def once(overrides: tuple[str, ...]) -> tuple[dict[str, str], dict[str, Any]]:
        return compose(overrides)

    return lambda overrides: once(tuple(overrides))


def blueprint_of(settings: Settings, base: Base, compose: Compose) -> Blueprint:
    """The arms of each kind of study.

    Raises:
        ConfigError, ValueError: the study can't be laid out.
    """
    if settings.kind == "null":
        return plan.null(settings.num_arms)
    if settings.kind == "one_slot":
        return _one_slot(settings, base)
    values = leaves(base.tree)
    techniques = [each.at(base.choices, values) for each in settings.chosen_techniques()]
    if settings.kind == "leave_one_out":
        return plan.leave_one_out([*techniques, *_other_slots(settings, base, techniques)], base.choices)
    absent = [each.at(base.choices, values) for each in settings.absent_techniques()]
    if settings.kind in ("add_one_in", "pairs"):
        return (plan.pairs if settings.kind == "pairs" else plan.add_one_in)(techniques, absent)
    forbidden = forbidden_in([*absent, *techniques], base, compose)
    if settings.kind == "ladder":
        return plan.ladder(techniques, forbidden, absent)
    replaces, beside = settings.forbidden == "replace", settings.beside_leave_one_out
    return plan.screening(techniques, settings.interactions, forbidden, replaces, beside, absent)


def _neutral() -> dict[str, str]:
    """The option of every slot that does nothing, `none` where there are several."""
    found: dict[str, str] = {}
    for option in options(conf_directory(), Path(__file__).resolve().parent.parent):
        if option.is_neutral and "/" in option.group:
            found.setdefault(option.group, option.name)
    return found


def _other_slots(settings: Settings, base: Base, techniques: Sequence[Technique]) -> list[Technique]:
    """A technique for each slot that is on and that none of the named ones sets, also not through a preset."""
    if not settings.every_slot or settings.only is not None:
        return []
    keys = {key for technique in techniques for key in technique.keys}
    neutral = _neutral()
    taken = {slot for slot in neutral if slot in keys or slot.rpartition("/")[0] in keys}
    return plan.of_slots(base.choices, neutral, taken)


def _one_slot(settings: Settings, base: Base) -> Blueprint:
    slot = settings.slot or ""
    names = [
        option.name
        for option in options(conf_directory(), Path(__file__).resolve().parent.parent)
        if option.group == slot
    ]
    if not names:
        raise ConfigError(f"study.slot={slot}: no such slot; sota-exp techniques lists them")
    reference = settings.reference or _neutral().get(slot, base.choices.get(slot, names[0]))
    if reference not in names:
        raise ConfigError(f"study.reference={reference}: no such option of {slot}; legal: {', '.join(names)}")
    return plan.one_slot(slot, names, reference)


def forbidden_in(
    techniques: Sequence[Technique], base: Base, compose: Compose
) -> Callable[[tuple[str, ...]], str | None]:
    """Why a cell of a design, named by the techniques that are on, can't be trained."""

    @functools.cache
    def reason(on: tuple[str, ...]) -> str | None:
        try:
            check(*compose(base.with_changes(set_to(techniques, on))))
        except ConfigError as error:
            return str(error)
        return None

    return reason
