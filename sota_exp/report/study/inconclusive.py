"""What a study has no result for: rules that fired and missing runs, grouped for sentences."""

from sota_exp.report.study.study import StudyResult
from sota_exp.report.study.terms import list_names


def group_fired_rules(study: StudyResult) -> dict[str, list[str]]:
    """By message of a rule, the labels of its arms."""
    groups: dict[str, list[str]] = {}
    for each in study.rules:
        names = groups.setdefault(each["message"], [])
        names.append(get_arm_label(study, each["arm"]) if each.get("arm") else "every arm")
    return groups


def describe_missing_runs(study: StudyResult) -> list[str]:
    """Missing runs, grouped by seeds and reason: `seeds 1 and 2 of mixup: not yet`."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for each in study.missing:
        found = seeds.setdefault((each["arm"], each.get("reason") or ""), [])
        found += [str(each["seed"])] if each.get("seed") is not None else []
    arms: dict[tuple[str, str], list[str]] = {}
    for (arm, reason), found in seeds.items():
        which = f"{'seed' if len(found) == 1 else 'seeds'} {list_names(found)} of " if found else ""
        arms.setdefault((which, reason), []).append(get_arm_label(study, arm))
    return [f"{which}{list_names(names)}{f': {reason}' if reason else ''}" for (which, reason), names in arms.items()]


def get_arm_label(study: StudyResult, name: str) -> str:
    """The label of an arm; the name itself if the study has no such arm."""
    arm = study.arm(name)
    return name if arm is None else arm.label
