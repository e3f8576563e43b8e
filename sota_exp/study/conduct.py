"""A study from its command line to its result: settings, techniques, arms, then the plan or the runs."""

import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sota_exp import CONF, PACKAGE
from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.config.catalog import load_catalog
from sota_exp.config.hydra_compose import list_own_options
from sota_exp.config.multirun import save_command
from sota_exp.config.rules import check_rules
from sota_exp.config.shell_words import join_command
from sota_exp.config.split_of_seed import check_split_is_open, describe_folds, with_split_of_seed
from sota_exp.config.values import flatten, get_override_key
from sota_exp.errors import ConfigError, Interrupted, RunFailed, convert_errors
from sota_exp.report.changing_line import loading_pytorch
from sota_exp.report.terminal import make_console
from sota_exp.study import plan, terminal, terminal_stages
from sota_exp.study.arms import StudyConfiguration, compose_arms
from sota_exp.study.files import StudyFiles
from sota_exp.study.hydra_sweeper import StudySweeper
from sota_exp.study.plan import ForbiddenCheck, StudyDesign
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.scheduler import StudyScheduler
from sota_exp.study.screening import plan_screening
from sota_exp.study.settings import StudySettings
from sota_exp.study.study_json import build_study_json
from sota_exp.study.technique import Technique, build_overrides, build_slot_techniques
from sota_exp.study.terminal_plan import format_study_plan
from sota_exp.study.terminal_time import format_time_plan
from sota_exp.study.two_stage import plan_two_stages, train_two_stages

#: Why a study has another recipe than `train`, where the command and its experiment choose none.
RECIPE_NOTE = "This study takes recipe={0}; train takes recipe=small_images. recipe=NAME chooses another."


def run_study(sweeper: StudySweeper, arguments: list[str]) -> JsonObject | None:
    """Plan the study of `arguments`; then print the plan, or train the missing runs and print the result.

    Returns the content of `study.json`, or None for a plan.

    Raises:
        RunFailed: no run finished.
    """
    began, out = time.monotonic(), make_console()
    make_console(is_progress=True).print("The arms are composed and checked …", style="dim")
    study = plan_study(sweeper, arguments)
    files = StudyFiles(directory=sweeper.directory)
    files.require_current_format()
    if study.settings.allowance is not None:
        study = _choose_by_time(sweeper, arguments, study, files, began)
    for arm in study.arms.ready:
        files.place(arm, 0)  # So that the first arm of a configuration names its directory, whichever run comes first.
    for part in terminal.format_study_heading(study, files):
        out.print(part)
    has_stages = study.settings.kind == "auto"
    if sweeper.plan_only:
        _print_plan(sweeper, study, files)
        return None
    save_command(sweeper.whole, sweeper.directory)  # MLflow's note reads it there.
    train = functools.partial(_train, sweeper, files)
    try:
        found = train_two_stages(study, files, train) if has_stages else train(study, build_study_json)
    except (Interrupted, KeyboardInterrupt):  # A launcher raises the latter when it ends all jobs of a multirun.
        sweeper.show(study, files, "KILLED")
        make_console(is_progress=True).print(f"  {terminal.describe_state(study, files)}", soft_wrap=True, markup=False)
        raise
    out.print((terminal_stages.format_two_stage_result if has_stages else terminal.format_study_result)(found))
    has_results = _has_results(found)
    for line in [os.path.relpath(files.study), *sweeper.show(study, files, "FINISHED" if has_results else "FAILED")]:
        out.print(line, style="dim", soft_wrap=True, markup=False)
    if not has_results:
        raise RunFailed(f"no run of the study finished; {found['missing'][0]['reason']}")
    return found


def _has_results(found: JsonObject) -> bool:
    """Whether a run of the study has one, of an arm or of a cell of its first stage."""
    cells = found.get("screening", {}).get("cells", {}).values()
    return any((*(arm["runs"] for arm in found["arms"]), *(cell["run"] for cell in cells)))


def _train(
    sweeper: StudySweeper,
    files: StudyFiles,
    study: PlannedStudy,
    build: Callable[[PlannedStudy, StudyRuns], JsonObject],
) -> JsonObject:
    """Train the missing runs of a study or of one of its stages; returns what `build` makes of all of them."""
    progress = terminal.ProgressPrinter(study, files)
    ablation = StudyScheduler(
        study=study,
        files=files,
        launch=sweeper.launch,
        batch_size=1 if sweeper.is_sequential else None,
        on_job=progress.print_ended_run,
        build=build,
    )
    missing = ablation.find_missing_runs()
    if missing and sweeper.is_sequential:
        load_first_weights(study)
    progress.begin(missing)
    return ablation.run()


@convert_errors()
def load_first_weights(study: PlannedStudy) -> None:
    """Load the initial weights of the first arm, so that a study without them ends here and not in each run.

    Raises:
        ConfigError, RunFailed: they cannot be read or fetched.
    """
    model = study.arms.ready[0].configuration.experiment.model
    with prefix_invalid_values("model.weights"):
        model.weights.content_hash(model.arch)


def _print_plan(sweeper: StudySweeper, study: PlannedStudy, files: StudyFiles) -> None:
    """The plan of `study.time`, or the arms of a study without it."""
    from sota_exp.study.cost_estimate import count_images, count_runs_at_once, estimate_arm_seconds

    if study.time_plan is not None:
        sweeper.show_plan(study, files, format_time_plan(study.time_plan, str(study.settings.time)), {})
        return
    first = with_split_of_seed(study.arms.ready[0].configuration, study.seeds[0])
    estimates, num_at_once = {"counts": count_images(first)}, count_runs_at_once(study, sweeper.num_jobs)
    if sweeper.measure:
        announce_measuring(study)
        estimates = estimate_arm_seconds(study, num_at_once)
    show = terminal_stages.format_two_stage_plan if study.settings.kind == "auto" else format_study_plan
    sweeper.show_plan(study, files, show(study, files, estimates, num_at_once), estimates)


def _choose_by_time(
    sweeper: StudySweeper, arguments: list[str], study: PlannedStudy, files: StudyFiles, began: float
) -> PlannedStudy:
    """The study with the seeds, length and folds that its plan of `study.time` recommends.

    Raises:
        ConfigError: no option decides anything, and this is no plan alone.
    """
    from sota_exp.study.cost_estimate import count_runs_at_once
    from sota_exp.study.time_plan import plan_by_time

    settings = study.settings
    if not sweeper.measure:
        raise ConfigError(f"study.time={settings.time} is planned by measured steps: leave --no-measure out")

    def plan_other(other: StudySettings, overrides: Sequence[str]) -> PlannedStudy:
        return plan_study(sweeper, [*arguments, *overrides], other)

    announce_measuring(study)
    runs, num_at_once = StudyRuns.read(study, files, {}), count_runs_at_once(study, sweeper.num_jobs)
    found = plan_by_time(sweeper.directory, study, runs, arguments, plan_other, began, num_at_once)
    if found["recommended"] is None:
        if sweeper.plan_only:
            return replace(study, time_plan=found)
        raise ConfigError(f"study.time={settings.time}: {found['why']}")
    best = found["options"][found["recommended"]]
    chosen = plan_other(replace(settings, seeds=best["seeds"]), best["overrides"])
    return replace(chosen, time_plan=found)


def announce_measuring(study: PlannedStudy) -> None:
    """Say what is done before the first line of a plan: on a slow machine that takes a minute."""
    out = make_console(is_progress=True)
    out.print(f"  a few steps of each of {len(study.arms.ready)} arms are measured …", style="dim")


def plan_study(sweeper: StudySweeper, arguments: list[str], settings: StudySettings | None = None) -> PlannedStudy:
    """Everything that is known before the first run. settings: instead of those of the command.

    Raises:
        ConfigError: a wrong key or value, or no arm is left to compare.
    """
    settings = settings or build(StudySettings, sweeper.get_study_node(), "study")
    check_split_is_open(arguments, "study.seeds")
    given = [item for item in arguments if not get_override_key(item).startswith("study")]
    takes_own = settings.recipe is not None and sweeper.chosen_recipe is None
    if takes_own:
        given.append(f"recipe={settings.recipe}")
    base = StudyConfiguration(overrides=tuple(given), compose=functools.cache(sweeper.compose))
    try:
        blueprint = build_blueprint(settings, base)
    except ValueError as error:
        raise ConfigError(f"study: {error}") from error
    if takes_own:
        blueprint = replace(blueprint, notes=(RECIPE_NOTE.format(settings.recipe), *blueprint.notes))
    settings.require_measured(base.configuration.choices)
    with loading_pytorch():
        arms, note = compose_arms(blueprint, base), ""
    if settings.budget != "epochs":
        from sota_exp.study.equal_compute import apply_equal_budget, cache_epoch_costs, measure_epoch_cost

        measure = cache_epoch_costs(sweeper.directory / "budget.json", measure_epoch_cost)
        arms, note = apply_equal_budget(arms, base, settings.budget, measure)
    seeds = tuple(settings.list_seeds(int(base.configuration.values["seed"])))
    folds = describe_folds(base.configuration.values, seeds, "study.seeds")
    return PlannedStudy(
        settings=settings,
        name=sweeper.study_name,
        blueprint=replace(blueprint, notes=(*blueprint.notes, *folds)),
        arms=arms,
        seeds=seeds,
        recipe=str(base.configuration.values["recipe"]["name"]),
        data=str(base.configuration.values["data"]["name"]),
        command=format_ablate_command(sweeper.directory),
        budget_note=note,
    )


def build_blueprint(settings: StudySettings, base: StudyConfiguration) -> StudyDesign:
    """The arms of each kind of study."""
    if settings.kind == "null":
        return plan.plan_null(settings.num_arms)
    if settings.kind == "one_slot":
        return _design_one_slot(settings, base)
    choices, values = base.configuration.choices, flatten(base.configuration.values)
    techniques = [each.at(choices, values) for each in settings.get_chosen_techniques()]
    if settings.kind == "leave_one_out":
        return plan.plan_leave_one_out([*techniques, *_find_other_slots(settings, base, techniques)], choices)
    if settings.kind == "one_change":
        return plan.plan_one_change(techniques, choices)
    absent = [each.at(choices, values) for each in settings.get_absent_techniques()]
    if settings.kind in ("add_one_in", "pairs"):
        return (plan.plan_pairs if settings.kind == "pairs" else plan.plan_add_one_in)(techniques, absent)
    forbidden = make_forbidden_check([*absent, *techniques], base)
    if settings.kind == "ladder":
        return plan.plan_ladder(techniques, forbidden, absent)
    replaces, is_auto = settings.forbidden == "replace", settings.kind == "auto"
    beside = is_auto or settings.beside_leave_one_out
    design = plan_screening(techniques, settings.interactions, forbidden, replaces, beside, absent)
    return plan_two_stages(design) if is_auto else design


def _read_neutral_options() -> dict[str, str]:
    """Slot → its neutral option; `none` where there are several."""
    found: dict[str, str] = {}
    for option in load_catalog(CONF, PACKAGE):
        if option.is_neutral and "/" in option.group:
            found.setdefault(option.group, option.name)
    return found


def _find_other_slots(
    settings: StudySettings, base: StudyConfiguration, techniques: Sequence[Technique]
) -> list[Technique]:
    """One technique per slot that is on and that no named technique sets, directly or through a preset."""
    if not settings.every_slot or settings.only is not None:
        return []
    keys = {key for technique in techniques for key in technique.keys}
    neutral = _read_neutral_options()
    taken = {slot for slot in neutral if slot in keys or slot.rpartition("/")[0] in keys or slot.startswith("data/")}
    return build_slot_techniques(base.configuration.choices, neutral, taken)


def _design_one_slot(settings: StudySettings, base: StudyConfiguration) -> StudyDesign:
    slot = settings.slot or ""
    names = [option.name for option in load_catalog(CONF, PACKAGE) if option.group == slot] + list_own_options(slot)
    if not names:
        raise ConfigError(f"study.slot={slot}: no such slot; `sota-exp techniques` lists all slots")
    reference = settings.reference or _read_neutral_options().get(slot, base.configuration.choices.get(slot, names[0]))
    if reference not in names:
        raise ConfigError(f"study.reference={reference}: no such option of {slot}; legal: {', '.join(names)}")
    return plan.plan_one_slot(slot, names, reference)


def make_forbidden_check(techniques: Sequence[Technique], base: StudyConfiguration) -> ForbiddenCheck:
    """A function from the techniques that are on to the reason why they cannot be trained together, or None."""

    @functools.cache
    def reason(on: tuple[str, ...]) -> str | None:
        try:
            check_rules(base.compose(base.combine_overrides(build_overrides(techniques, on))))
        except ConfigError as error:
            return str(error)
        return None

    return reason


#: What `sota-exp ablate` adds to a command line.
ABLATE_OVERRIDES = ("hydra/sweeper=", "hydra.sweeper.", "hydra/hydra_logging=", "hydra.sweep.dir=")


def format_ablate_command(place: Path) -> str:
    """The command that repeats this study in its directory."""
    given = [item for item in sys.argv[1:] if "=" in item and not item.startswith(ABLATE_OVERRIDES)]
    typed = [item.replace("+study=", "study=") for item in given]
    return join_command(["sota-exp", "ablate", *typed, f"hydra.sweep.dir={place}"])
