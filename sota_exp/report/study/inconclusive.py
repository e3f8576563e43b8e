"""What a study could not conclude and what would be needed, as a list of sentences."""

from collections.abc import Sequence

from sota_exp.report.document.document import (
    BulletList,
    RichText,
    TextSpan,
    rich_text,
    strong,
)
from sota_exp.report.numbers import format_count, join_with_and
from sota_exp.report.study.study import StudyResult
from sota_exp.report.study.terms import get_study_wording, list_names
from sota_exp.statistics.units import get_metric_format

#: Most undecided arms that are listed one by one.
MOST_LISTED = 40


def build_inconclusive_blocks(study: StudyResult) -> BulletList:
    """One list: undecided, failed, refused and missing arms, rules, seeds needed, aliases, looks, limits."""
    items: list[RichText] = [
        *list_open_arms(study),
        *list_failures(study),
        *list_refused_arms(study),
        *list_fired_rules(study),
    ]
    items += [*list_missing_runs(study), *list_seeds_needed(study), *list_aliases(study), *list_looks(study)]
    items.append(describe_limits(study))
    return BulletList(items=items)


def list_open_arms(study: StudyResult) -> list[RichText]:
    scale, kind = get_metric_format(study.metric), get_study_wording(study)
    found: list[RichText] = []
    for arm in (arm for arm in study.compared if arm.verdict in ("cannot be distinguished", "too few seeds")):
        words: list[TextSpan | str] = [strong(arm.label), ": "]
        if arm.verdict_words:
            words.append(arm.verdict_words)
        elif arm.detectable is None:
            words.append(f"{arm.verdict}.")
        else:
            pairs = format_count(arm.n, "pair")
            words.append(f"{arm.verdict}; {pairs} of runs could have detected {scale.size(arm.detectable)}.")
        found.append(words)
    if len(found) > MOST_LISTED:
        return [
            [f"{len(found)} {kind.noun}s cannot be distinguished or have too few seeds: see their rows in Table 1."]
        ]
    return found


def list_failures(study: StudyResult) -> list[RichText]:
    return [
        [strong(arm.label), f", seed {seed}, failed: {reason}"]
        for arm in study.arms
        for seed, reason in arm.failures.items()
    ]


def list_refused_arms(study: StudyResult) -> list[RichText]:
    return [[strong(each["name"]), f" was refused: {each['reason']}"] for each in study.refused]


def list_fired_rules(study: StudyResult) -> list[RichText]:
    """The rules that fired, each with its arms."""
    groups: dict[str, list[str]] = {}
    for each in study.rules:
        names = groups.setdefault(each["message"], [])
        names.append(get_arm_label(study, each["arm"]) if each.get("arm") else "every arm")
    return [
        rich_text(strong("A rule fired"), f" for {list_names(arms)}: {message}") for message, arms in groups.items()
    ]


def list_missing_runs(study: StudyResult) -> list[RichText]:
    """Missing runs, grouped by seeds and reason."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for each in study.missing:
        found = seeds.setdefault((each["arm"], each.get("reason") or ""), [])
        found += [each["seed"]] if each.get("seed") is not None else []
    arms: dict[tuple[str, str], list[str]] = {}
    for (arm, reason), found in seeds.items():
        arms.setdefault((format_seeds(found), reason), []).append(get_arm_label(study, arm))
    return [describe_missing(list_names(names), which, reason) for (which, reason), names in arms.items()]


def format_seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {list_names([str(seed) for seed in seeds])}" if seeds else ""


def describe_missing(arms: str, seeds: str, reason: str) -> RichText:
    """Missing seeds of some arms with their reason."""
    return rich_text(strong("Missing"), f": {seeds}{' of ' if seeds else ''}{arms}{f': {reason}' if reason else ''}")


def get_arm_label(study: StudyResult, name: str) -> str:
    """The label of an arm; the name itself if the study has no such arm."""
    arm = study.arm(name)
    return name if arm is None else arm.label


def list_seeds_needed(study: StudyResult) -> list[RichText]:
    if not study.plan.seeds_needed:
        return []
    scale = get_metric_format(study.metric)
    needs = [f"{num:,} for {scale.value(size)}" for size, num in study.plan.seeds_needed.items()]
    source = f" (from {study.plan.sd_source})" if study.plan.sd_source else ""
    spread = (
        f", if differences have a standard deviation of {scale.value(study.plan.sd_assumed)}{source}"
        if study.plan.sd_assumed is not None
        else ""
    )
    return [
        [
            strong("Seeds needed"),
            f" to detect an effect, in {scale.difference_unit}{spread}: {join_with_and(needs)}.",
        ]
    ]


def list_aliases(study: StudyResult) -> list[RichText]:
    there = [each for each in (*study.effects, *study.interactions) if each.aliases]
    return [
        rich_text(
            strong(each.name), " cannot be separated from ", join_with_and(list(each.aliases)), " in this design."
        )
        for each in there[:MOST_LISTED]
    ]


def list_looks(study: StudyResult) -> list[RichText]:
    if study.looks is None:
        return []
    planned, done = (
        join_with_and([str(num) for num in nums]) or "none" for nums in (study.looks.planned, study.looks.done)
    )
    spent = join_with_and([f"{alpha:.3g}" for alpha in study.looks.alpha_spent])
    words = f" were planned at {planned} seeds, taken at {done}" + (f"; error spent so far: {spent}." if spent else ".")
    decided = [f"{name} at {num}" for name, num in study.looks.decided.items()]
    return [[strong("Looks"), words, f" Decided: {join_with_and(decided)}." if decided else ""]]


def describe_limits(study: StudyResult) -> RichText:
    where = f"{study.recipe} on {study.data}" if study.recipe and study.data else "one recipe on one data set"
    return [
        f"All results hold for {where}, at this length of training. Other data, models and lengths may rank techniques "
        "differently."
    ]
