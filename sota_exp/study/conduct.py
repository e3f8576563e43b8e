"""A study from its command line to its result: settings, techniques, arms, then the plan or the runs."""

import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Group

from sota_exp.config.build import build, prefix_invalid_values
from sota_exp.config.data_paths import name_data
from sota_exp.config.multirun import save_command
from sota_exp.config.shell_words import join_command
from sota_exp.config.split_of_seed import check_split_is_open, with_split_of_seed
from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError, Interrupted, RunFailed, convert_errors
from sota_exp.report.changing_line import loading_pytorch
from sota_exp.report.terminal import make_console
from sota_exp.study import terminal, terminal_stages
from sota_exp.study.arms import StudyConfiguration, compose_arms
from sota_exp.study.clock import StudyClock
from sota_exp.study.design import build_blueprint
from sota_exp.study.files import StudyFiles
from sota_exp.study.hydra_sweeper import StudySweeper
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.scheduler import StudyScheduler
from sota_exp.study.settings import StudySettings
from sota_exp.study.study_json import build_study_json
from sota_exp.study.terminal_plan import build_arm_table, format_study_plan
from sota_exp.study.terminal_time import format_time_plan
from sota_exp.study.two_stage import train_two_stages

#: Why a study has another recipe than `train`, where the command and its experiment choose none.
RECIPE_NOTE = "recipe={0} is this study's own; recipe=NAME takes another."


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
    train = functools.partial(_train, sweeper, files, make_clock(sweeper, study, began))
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
    clock: StudyClock,
    study: PlannedStudy,
    build: Callable[[PlannedStudy, StudyRuns], JsonObject],
) -> JsonObject:
    """Train the missing runs of a study or of one of its stages; returns what `build` makes of all of them."""
    progress = terminal.ProgressPrinter(study, files, clock)
    ablation = StudyScheduler(
        study=study,
        files=files,
        launch=sweeper.launch,
        batch_size=1 if sweeper.is_sequential else None,
        on_job=progress.print_ended_run,
        build=build,
        clock=clock,
    )
    missing = ablation.find_missing_runs()
    if missing and sweeper.is_sequential:
        load_first_weights(study)
    progress.begin(missing)
    return ablation.run()


def make_clock(sweeper: StudySweeper, study: PlannedStudy, began: float) -> StudyClock:
    """That of `study.time`, from the beginning of the command; without an end where no time is given or can be kept."""
    from sota_exp.study.cost_estimate import count_runs_at_once

    allowance, plan = study.settings.allowance, study.time_plan
    if allowance is None or allowance.unit != "seconds" or plan is None or not sweeper.is_timed:
        return StudyClock()
    num_at_once = count_runs_at_once(study, sweeper.num_jobs)
    expected = plan.get("seconds_of_arms") or {}
    return StudyClock(deadline=began + allowance.amount, expected=expected, num_at_once=num_at_once)


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
    """The arms of a study, and what `study.time` can buy or what they take and can show."""
    from sota_exp.study.cost_estimate import count_images, count_runs_at_once, estimate_arm_seconds

    if study.time_plan is not None:
        arms = build_arm_table(study, study.time_plan.get("seconds_of_arms") or {})
        sweeper.show_plan(study, files, Group(arms, format_time_plan(study.time_plan, str(study.settings.time))), {})
        return
    first = with_split_of_seed(study.arms.ready[0].configuration, study.seeds[0])
    estimates, num_at_once = {"counts": count_images(first)}, count_runs_at_once(study, sweeper.num_jobs)
    if sweeper.measure:
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

    runs, num_at_once = StudyRuns.read(study, files, {}), count_runs_at_once(study, sweeper.num_jobs)
    found = plan_by_time(sweeper.directory, study, runs, arguments, plan_other, began, num_at_once)
    if found["recommended"] is None:
        if sweeper.plan_only:
            return replace(study, time_plan=found)
        raise ConfigError(f"study.time={settings.time}: {'; '.join([found['why'], *found.get('ways', [])])}")
    best = found["options"][found["recommended"]]
    chosen = plan_other(replace(settings, seeds=best["seeds"]), best["overrides"])
    return replace(chosen, time_plan=found)


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
    return PlannedStudy(
        settings=settings,
        name=sweeper.study_name,
        blueprint=blueprint,
        arms=arms,
        seeds=seeds,
        recipe=str(base.configuration.values["recipe"]["name"]),
        data=name_data(base.configuration.values["data"]),
        command=format_ablate_command(sweeper.directory, sweeper.own_directories),
        own_directories=sweeper.own_directories,
        budget_note=note,
    )


#: What `sota-exp ablate` adds to a command line.
ABLATE_OVERRIDES = ("hydra/sweeper=", "hydra.sweeper.", "hydra/hydra_logging=", "hydra.sweep.dir=")

#: Words that name the directories of the user.
NAMING_DIRECTORIES = ("--config-dir=", "-cd=", "hydra.searchpath=")


def format_ablate_command(place: Path, own_directories: Sequence[str]) -> str:
    """The command that repeats this study in its directory. own_directories: words that name those of the user."""
    added = (*ABLATE_OVERRIDES, *NAMING_DIRECTORIES)
    given = [item for item in sys.argv[1:] if "=" in item and not item.startswith(added)]
    typed = [item.replace("+study=", "study=") for item in given]
    return join_command(["sota-exp", "ablate", *own_directories, *typed, f"hydra.sweep.dir={place}"])
