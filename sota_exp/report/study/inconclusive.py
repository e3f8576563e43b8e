"""What a study could not conclude and what would be needed, as a list of sentences."""

from collections.abc import Sequence

from sota_exp.report.document.document import (
    Listing,
    Span,
    Words,
    phrase,
    strong,
)
from sota_exp.report.numbers import count, listed
from sota_exp.report.study.study import Study
from sota_exp.report.study.terms import kind_of, shown
from sota_exp.statistics.units import scale_of

#: Most undecided arms that are listed one by one.
MOST_LISTED = 40


def inconclusive(study: Study) -> Listing:
    """One list: undecided, failed, refused and missing arms, rules, seeds needed, aliases, looks, limits."""
    items: list[Words] = [
        *list_open_arms(study),
        *list_failures(study),
        *list_refused_arms(study),
        *list_fired_rules(study),
    ]
    items += [*list_missing_runs(study), *list_seeds_needed(study), *list_aliases(study), *list_looks(study)]
    items.append(describe_limits(study))
    return Listing(items=items)


def list_open_arms(study: Study) -> list[Words]:
    scale, kind = scale_of(study.metric), kind_of(study)
    found: list[Words] = []
    for arm in (arm for arm in study.compared if arm.verdict in ("cannot be distinguished", "too few seeds")):
        words: list[Span | str] = [strong(arm.label), ": "]
        if arm.verdict_words:
            words.append(arm.verdict_words)
        elif arm.detectable is None:
            words.append(f"{arm.verdict}.")
        else:
            pairs = count(arm.n, "pair")
            words.append(f"{arm.verdict}; {pairs} of runs could have detected {scale.size(arm.detectable)}.")
        found.append(words)
    if len(found) > MOST_LISTED:
        return [
            [f"{len(found)} {kind.noun}s cannot be distinguished or have too few seeds: see their rows in Table 1."]
        ]
    return found


def list_failures(study: Study) -> list[Words]:
    return [
        [strong(arm.label), f", seed {seed}, failed: {reason}"]
        for arm in study.arms
        for seed, reason in arm.failures.items()
    ]


def list_refused_arms(study: Study) -> list[Words]:
    return [[strong(each["name"]), f" was refused: {each['reason']}"] for each in study.refused]


def list_fired_rules(study: Study) -> list[Words]:
    """The rules that fired, each with its arms."""
    groups: dict[str, list[str]] = {}
    for each in study.rules:
        names = groups.setdefault(each["message"], [])
        names.append(get_arm_label(study, each["arm"]) if each.get("arm") else "every arm")
    return [phrase(strong("A rule fired"), f" for {shown(arms)}: {message}") for message, arms in groups.items()]


def list_missing_runs(study: Study) -> list[Words]:
    """Missing runs, grouped by seeds and reason."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for each in study.missing:
        found = seeds.setdefault((each["arm"], each.get("reason") or ""), [])
        found += [each["seed"]] if each.get("seed") is not None else []
    arms: dict[tuple[str, str], list[str]] = {}
    for (arm, reason), found in seeds.items():
        arms.setdefault((format_seeds(found), reason), []).append(get_arm_label(study, arm))
    return [describe_missing(shown(names), which, reason) for (which, reason), names in arms.items()]


def format_seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {shown([str(seed) for seed in seeds])}" if seeds else ""


def describe_missing(arms: str, seeds: str, reason: str) -> Words:
    """Missing seeds of some arms with their reason."""
    return phrase(strong("Missing"), f": {seeds}{' of ' if seeds else ''}{arms}{f': {reason}' if reason else ''}")


def get_arm_label(study: Study, name: str) -> str:
    """The label of an arm; the name itself if the study has no such arm."""
    arm = study.arm(name)
    return name if arm is None else arm.label


def list_seeds_needed(study: Study) -> list[Words]:
    if not study.plan.seeds_needed:
        return []
    scale = scale_of(study.metric)
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
            f" to detect an effect, in {scale.difference_unit}{spread}: {listed(needs)}.",
        ]
    ]


def list_aliases(study: Study) -> list[Words]:
    there = [each for each in (*study.effects, *study.interactions) if each.aliases]
    return [
        phrase(strong(each.name), " cannot be separated from ", listed(list(each.aliases)), " in this design.")
        for each in there[:MOST_LISTED]
    ]


def list_looks(study: Study) -> list[Words]:
    if study.looks is None:
        return []
    planned, done = (listed([str(num) for num in nums]) or "none" for nums in (study.looks.planned, study.looks.done))
    spent = listed([f"{alpha:.3g}" for alpha in study.looks.alpha_spent])
    words = f" were planned at {planned} seeds, taken at {done}" + (f"; error spent so far: {spent}." if spent else ".")
    decided = [f"{name} at {num}" for name, num in study.looks.decided.items()]
    return [[strong("Looks"), words, f" Decided: {listed(decided)}." if decided else ""]]


def describe_limits(study: Study) -> Words:
    where = f"{study.recipe} on {study.data}" if study.recipe and study.data else "one recipe on one data set"
    return [
        f"All results hold for {where}, at this length of training. Other data, models and lengths may rank techniques "
        "differently."
    ]
