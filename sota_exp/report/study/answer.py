"""The answer of a study in sentences: which arms help, which hurt, and which cannot be distinguished."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sota_exp.report.document.markdown import Emphasis, Strong
from sota_exp.report.numbers import format_count, format_duration, format_interval
from sota_exp.report.study.study import DesignEffect, StudyArm, StudyResult
from sota_exp.report.study.terms import MAX_LISTED_NAMES, get_metric_name, get_noun, list_names
from sota_exp.statistics.units import MetricFormat, get_metric_format
from sota_exp.statistics.verdict import SHOWN, SHOWN_HERE


def build_study_facts(study: StudyResult, first: Mapping[str, Any]) -> list[str]:
    """The line of facts below the title. first: what `read_first_run` says of the runs."""
    cells = study.screening.cells.values() if study.screening else ()
    runs = sum(len(arm.runs) for arm in study.arms) + sum(bool(cell.get("run")) for cell in cells)
    found = [f"{first['train']:,} training images"] if "train" in first else []
    found += [f"{study.num_test:,} test images"] if study.num_test else []
    found += [first[name] for name in ("model", "size") if name in first]
    found += [format_count(first["epochs"], "epoch")] if "epochs" in first else []
    found += [format_count(len(study.arms), "arm"), format_count(len(study.seeds), "seed"), format_count(runs, "run")]
    date = [time.strftime("%Y-%m-%d", time.localtime(first["time"]))] if "time" in first else []
    return [*date, *found, f"equal {study.budget}"]


def build_study_answer(study: StudyResult) -> list[list[str]]:
    """The main result, then a warning if networks are at chance level; where all are, the warning is the result."""
    is_all = concerns_all_arms(study.warning)
    found: list[list[str]] = [[Strong(f"Warning: {study.warning}")]] if is_all else []
    if study.screening:
        found.append([study.screening.words])
    if study.effects:
        found.append(describe_main_effects(study))
    elif study.kind == "pairs" and study.interactions:
        found += [describe_interactions(study), describe_arms(study)]
    elif study.compared:
        found.append(describe_arms(study))
    elif not study.screening:
        found.append(["No arm of this study has a reference: there is nothing to compare yet."])
    if study.is_chain and (words := describe_ends(study)):
        found.append(words)
    return [*found, *([[f"Warning: {study.warning}"]] if study.warning and not is_all else [])]


def concerns_all_arms(warning: str) -> bool:
    """Whether a warning leaves no arm, so that there is no other result."""
    return warning.startswith("All ")


def describe_arms(study: StudyResult) -> list[str]:
    if study.kind == "null":
        return describe_null_study(study)
    noun, num = get_noun(study), len(study.compared)
    words = describe_decided(study.compared, format_count(num, noun), get_metric_format(study.metric))
    return [*(words or [Strong(f"No {noun} of {num} was shown to help or to hurt. ")]), *describe_undecided(study)]


def describe_main_effects(study: StudyResult) -> list[str]:
    """The decided main effects of a design, then the number of undecided ones."""
    num = len(study.effects)
    words = describe_decided(study.effects, f"{num} techniques", get_metric_format(study.metric))
    words = words or [Strong(f"No technique of {num} was shown to help or to hurt. ")]
    num_open = sum(each.verdict not in (*SHOWN, *SHOWN_HERE) for each in study.effects)
    return [*words, f"{num_open} cannot be distinguished from no effect. "] if num_open else words


def describe_interactions(study: StudyResult) -> list[str]:
    """The decided interactions of a study of pairs, then the number of undecided ones."""
    words: list[str] = []
    for verdict, how in (("helps", "more"), ("hurts", "less")):
        if some := sort_by_size(study.interactions, verdict):
            begin = f"{format_count(len(some), 'pair')} help{'s' if len(some) == 1 else ''} {how} together"
            words += [Strong(begin), ": ", *list_estimates(some, get_metric_format(study.metric)), ". "]
    words += list_shown_here(study.interactions, "pair", get_metric_format(study.metric))
    num_open = sum(each.verdict not in (*SHOWN, *SHOWN_HERE) for each in study.interactions)
    if not words:
        return [Strong(f"No interaction of {len(study.interactions)} was shown.")]
    return [*words, f"{format_count(num_open, 'more pair')} cannot be distinguished. "] if num_open else words


def describe_decided(found: Sequence[StudyArm | DesignEffect], total: str, scale: MetricFormat) -> list[str]:
    """`2 of 12 steps help: …. 1 hurts: ….`; empty if nothing is decided."""
    words: list[str] = []
    for verdict, verb in (("helps", "help"), ("hurts", "hurt")):
        if some := sort_by_size(found, verdict):
            begin = f"{len(some)}{'' if words else f' of {total}'} {verb if len(some) > 1 else verdict}"
            words += [Strong(begin), ": ", *list_estimates(some, scale), ". "]
    return [*words, *list_shown_here(found, "" if words else f"of {total}", scale)]


def list_shown_here(found: Sequence[StudyArm | DesignEffect], what: str, scale: MetricFormat) -> list[str]:
    """`2 of 12 steps changed the score on these test images: …`; empty if none did so here alone."""
    here = [each for verdict in SHOWN_HERE for each in sort_by_size(found, verdict)]
    if not here:
        return []
    num = format_count(len(here), what) if what and not what.startswith("of ") else f"{len(here)} {what}".rstrip()
    begin = Strong(f"{num} changed the score on these test images")
    return [begin, ": ", *list_estimates(here, scale), "; on other images like these that is not shown. "]


def sort_by_size(found: Sequence[StudyArm | DesignEffect], verdict: str) -> list[StudyArm | DesignEffect]:
    """Those with the verdict, the largest effect first."""
    return sorted((each for each in found if each.verdict == verdict), key=lambda each: -abs(get_estimate(each) or 0))


def get_estimate(each: StudyArm | DesignEffect) -> float | None:
    return each.difference if isinstance(each, StudyArm) else each.estimate


def list_estimates(found: Sequence[StudyArm | DesignEffect], scale: MetricFormat) -> list[str]:
    """`Mixup (+0.41 points, +0.12 to +0.70), …`."""
    words: list[str] = []
    for index, each in enumerate(found[:MAX_LISTED_NAMES]):
        label = each.label if isinstance(each, StudyArm) else each.name
        span = f", {format_interval(scale, each.headline)}" if each.headline else ""
        words += [
            ", " if index else "",
            Emphasis(label),
            f" ({scale.format_difference_with_unit(get_estimate(each))}{span})",
        ]
    return words + ([f" and {len(found) - MAX_LISTED_NAMES} more"] if len(found) > MAX_LISTED_NAMES else [])


def describe_undecided(study: StudyResult) -> list[str]:
    """Undecided arms with the effects that they may hide, arms with too few seeds, failed and refused arms."""
    scale = get_metric_format(study.metric)
    words: list[str] = []
    open_arms = [arm for arm in study.compared if arm.verdict == "cannot be distinguished"]
    if open_arms:
        seeds = format_count(max(arm.n for arm in open_arms), "seed")
        words.append(f"{len(open_arms)} cannot be distinguished from no effect with {seeds}")
        sizes = sorted(arm.detectable for arm in open_arms if arm.detectable is not None)
        if sizes:
            reach = scale.value(sizes[0]) + (f" to {scale.value(sizes[-1])}" if len(sizes) > 1 else "")
            words.append(f": effects below {reach} {scale.difference_unit} could be missed".replace("  ", " "))
        words.append(". ")
    for verdict, one, many in (
        ("too few seeds", "has too few seeds", "have too few seeds"),
        ("failed", "failed", "failed"),
    ):
        some = [arm.label for arm in study.compared if arm.verdict == verdict]
        if some:
            needed = study.plan.fewest_seeds if verdict == "too few seeds" else None
            enough = f" (at least {needed} are needed)" if needed else ""
            words.append(f"{len(some)} {one if len(some) == 1 else many}{enough}: {list_names(some)}. ")
    if study.refused:
        verb = "was" if len(study.refused) == 1 else "were"
        names = list_names([each["name"] for each in study.refused])
        words.append(f"{format_count(len(study.refused), get_noun(study))} {verb} refused: {names}. ")
    return words


def describe_null_study(study: StudyResult) -> list[str]:
    false = [arm for arm in study.compared if arm.verdict in (*SHOWN, *SHOWN_HERE)]
    num = format_count(len(study.compared), "comparison")
    begin: list[str]
    if all(arm.verdict in ("too few seeds", "failed") for arm in study.compared):
        begin = [Strong(f"With so few seeds, no false alarm was possible in {num} of equal arms. ")]
    elif not false:
        begin = [Strong(f"As expected, none of {num} of equal arms has a false “helps” or “hurts”. ")]
    else:
        begin = [Strong(f"{len(false)} of {num} of equal arms gave a false alarm"), ": "]
        begin += [*list_estimates(false, get_metric_format(study.metric)), ". "]
    return [*begin, *describe_undecided(study)]


def describe_ends(study: StudyResult) -> list[str]:
    """First and last result of a ladder; empty if there are fewer than two results."""
    scale = get_metric_format(study.metric)
    steps = [arm for arm in study.arms if arm.mean is not None]
    if len(steps) < 2:
        return []
    first, last = steps[0], steps[-1]
    ends = f"{scale.format_with_unit(first.mean)} ({first.label}) to {scale.format_with_unit(last.mean)} ({last.label})"
    words: list[str] = [f"From first to last, {get_metric_name(study).lower()} goes from {ends}"]
    if first.cost.seconds is not None and last.cost.seconds is not None:
        words.append(
            f", and training time from {format_duration(first.cost.seconds)} to {format_duration(last.cost.seconds)}"
        )
    return [*words, "."]
