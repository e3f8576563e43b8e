"""The report of a study: `report.html`, `report.md` and `figures/`, from `study.json` and its run directories."""

import logging
from pathlib import Path

import yaml

from sota_exp.report.document.markdown import hide_home
from sota_exp.report.document.write import WrittenReport, write_report
from sota_exp.report.numbers import join_with_and
from sota_exp.report.study import tables
from sota_exp.report.study.answer import MOST_NAMES, build_missing_note, build_study_answer, build_study_facts
from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import find_readable_run, find_unreadable_files, read_first_run
from sota_exp.report.study.study import StudyResult
from sota_exp.statistics import verdict
from sota_exp.statistics.units import format_level

log = logging.getLogger(__name__)

#: Most whole configurations.
MOST_WHOLE = 3


def write_study_report(directory: Path) -> WrittenReport:
    """Write the report of the study in a directory, by the template `study.md.jinja`."""
    from sota_exp.report.study import effect_figures, flips, run_figures

    study = read_study(directory)
    unreadable = [f"{problem}; what it says is left out" for problem in find_unreadable_files(study)]
    for words in unreadable:
        log.warning(words)
    first = read_first_run(study.places(*study.arms))
    is_anytime = study.looks is not None and study.looks.kind == "anytime"
    whole = [arm for arm in study.arms if arm.reference is None][:MOST_WHOLE]
    return write_report(
        directory,
        "study/study.md.jinja",
        study=study,
        effect_figures=effect_figures,
        flips=flips,
        run_figures=run_figures,
        tables=tables,
        facts=build_study_facts(study, first),
        dashboard=hide_home(first.get("dashboard", "")),
        answer=build_study_answer(study),
        missing_note=build_missing_note(study),
        percent=format_level,
        has_seeds=any(max(arm.n, len(arm.runs)) > 1 for arm in study.arms),
        has_intervals=any(arm.interval for arm in study.compared),
        has_class_intervals=any(each.interval for arm in study.compared for each in arm.classes.values()),
        promise=f"{verdict.describe_anytime_error_rate(study.level)} {verdict.ANYTIME_ERROR_LIMITS}"
        if is_anytime
        else f"{verdict.describe_error_rate(study.level)} {verdict.ERROR_LIMITS}",
        is_anytime=is_anytime,
        to_go_on=max((arm.n + arm.further_seeds for arm in study.compared if arm.further_seeds), default=0),
        no_interval=verdict.NO_ANYTIME_INTERVAL if is_anytime else verdict.NO_INTERVAL,
        most_names=MOST_NAMES,
        num_cells=sum(arm.name.startswith("cell_") for arm in study.arms),
        open_arms=[arm for arm in study.compared if arm.verdict in ("cannot be distinguished", "too few seeds")],
        fired_rules=group_fired_rules(study),
        spent=[f"{alpha:.3g}" for alpha in study.looks.alpha_spent] if study.looks else [],
        missing_runs=[*describe_missing_runs(study), *unreadable],
        changes=tables.build_config_changes_table(study),
        configurations=[
            (arm, hide_home(yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)))
            for arm in whole
            if (run := find_readable_run(study.places(arm))) is not None
        ],
    )


def group_fired_rules(study: StudyResult) -> dict[str, list[str]]:
    """By message of a rule, the labels of its arms."""
    groups: dict[str, list[str]] = {}
    for each in study.rules:
        groups.setdefault(each["message"], []).append(get_arm_label(study, each.get("arm") or "every arm"))
    return groups


def describe_missing_runs(study: StudyResult) -> list[str]:
    """Missing runs, grouped by seeds and reason: `seeds 1 and 2 of mixup: not yet`."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for each in study.missing:
        found = seeds.setdefault((each["arm"], each.get("reason") or ""), [])
        found += [str(each["seed"])] if each.get("seed") is not None else []
    arms: dict[tuple[str, str], list[str]] = {}
    for (arm, reason), found in seeds.items():
        which = f"{'seed' if len(found) == 1 else 'seeds'} {join_with_and(found, MOST_NAMES)} of " if found else ""
        arms.setdefault((which, reason), []).append(get_arm_label(study, arm))
    return [
        f"{which}{join_with_and(names, MOST_NAMES)}{f': {reason}' if reason else ''}"
        for (which, reason), names in arms.items()
    ]


def get_arm_label(study: StudyResult, name: str) -> str:
    """The label of an arm; the name itself if the study has no such arm."""
    return arm.label if (arm := study.arm(name)) else name
