"""The answer of a study in sentences: which arms help, which hurt, and which cannot be distinguished."""

from collections.abc import Sequence

from sota_exp.report.document.document import (
    Block,
    Paragraph,
    Span,
    emphasis,
    paragraph,
    strong,
)
from sota_exp.report.numbers import count, duration, interval
from sota_exp.report.study.study import Arm, Effect, Study
from sota_exp.report.study.terms import MOST_NAMED, kind_of, metric_name, shown
from sota_exp.statistics.sign_flip import smallest_p_value
from sota_exp.statistics.units import Scale, scale_of


def facts(study: Study) -> list[str]:
    """The line of facts below the title."""
    runs = sum(len(arm.runs) for arm in study.arms)
    found = [f"Recipe {study.recipe}"] if study.recipe else []
    found += [f"Data {study.data}"] if study.data else []
    found += [count(len(study.arms), "arm"), count(len(study.seeds), "seed"), count(runs, "run")]
    found += [f"{study.num_test:,} test images"] if study.num_test else []
    return [*found, f"equal {study.budget}"]


def answer(study: Study) -> list[Block]:
    """The main result, then what its differences mean."""
    found: list[Block] = []
    if study.effects:
        found.append(Paragraph(words=describe_main_effects(study), tone="lead"))
    elif study.kind == "pairs" and study.interactions:
        found += [Paragraph(words=describe_interactions(study), tone="lead"), Paragraph(words=describe_arms(study))]
    elif study.compared:
        found.append(Paragraph(words=describe_arms(study), tone="lead"))
    else:
        found.append(paragraph("No arm of this study has a reference: there is nothing to compare yet.", tone="lead"))
    if study.is_chain and (words := describe_ends(study)):
        found.append(Paragraph(words=words))
    found += [paragraph(note) for note in study.notes or (kind_of(study).meaning,)]
    if study.status != "complete":
        found.append(paragraph(*describe_unfinished(study), tone="note"))
    return found


def describe_arms(study: Study) -> list[Span | str]:
    if study.kind == "null":
        return describe_null_study(study)
    kind, num = kind_of(study), len(study.compared)
    words = describe_decided(study.compared, count(num, kind.noun), scale_of(study.metric))
    return [*(words or [strong(f"No {kind.noun} of {num} was shown to help or to hurt. ")]), *describe_undecided(study)]


def describe_main_effects(study: Study) -> list[Span | str]:
    """The decided main effects of a design, then the number of undecided ones."""
    num = len(study.effects)
    words = describe_decided(study.effects, f"{num} techniques", scale_of(study.metric))
    words = words or [strong(f"No technique of {num} was shown to help or to hurt. ")]
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.effects)
    return [*words, f"{num_open} cannot be distinguished from no effect. "] if num_open else words


def describe_interactions(study: Study) -> list[Span | str]:
    """The decided interactions of a study of pairs, then the number of undecided ones."""
    words = list[Span | str]()
    for verdict, how in (("helps", "more"), ("hurts", "less")):
        if some := sort_by_size(study.interactions, verdict):
            begin = f"{count(len(some), 'pair')} help{'s' if len(some) == 1 else ''} {how} together"
            words += [strong(begin), ": ", *list_estimates(some, scale_of(study.metric)), ". "]
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.interactions)
    if not words:
        return [strong(f"No interaction of {len(study.interactions)} was shown.")]
    return [*words, f"{count(num_open, 'more pair')} cannot be distinguished. "] if num_open else words


def describe_decided(found: Sequence[Arm | Effect], total: str, scale: Scale) -> list[Span | str]:
    """`2 of 12 steps help: …. 1 hurts: ….`; empty if nothing is decided."""
    words: list[Span | str] = []
    for verdict, verb in (("helps", "help"), ("hurts", "hurt")):
        if some := sort_by_size(found, verdict):
            begin = f"{len(some)}{'' if words else f' of {total}'} {verb if len(some) > 1 else verdict}"
            words += [strong(begin), ": ", *list_estimates(some, scale), ". "]
    return words


def sort_by_size(found: Sequence[Arm | Effect], verdict: str) -> list[Arm | Effect]:
    """Those with the verdict, the largest effect first."""
    return sorted((each for each in found if each.verdict == verdict), key=lambda each: -abs(get_estimate(each) or 0))


def get_estimate(each: Arm | Effect) -> float | None:
    return each.difference if isinstance(each, Arm) else each.estimate


def list_estimates(found: Sequence[Arm | Effect], scale: Scale) -> list[Span | str]:
    """`Mixup (+0.41 points, +0.12 to +0.70), …`."""
    words: list[Span | str] = []
    for index, each in enumerate(found[:MOST_NAMED]):
        label = each.label if isinstance(each, Arm) else each.name
        span = f", {interval(scale, each.interval)}" if each.interval else ""
        words += [", " if index else "", emphasis(label), f" ({scale.difference_with_unit(get_estimate(each))}{span})"]
    return words + ([f" and {len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else [])


def describe_undecided(study: Study) -> list[Span | str]:
    """Undecided arms with the effects that they may hide, arms with too few seeds, failed and refused arms."""
    scale, kind = scale_of(study.metric), kind_of(study)
    words: list[Span | str] = []
    open_arms = [arm for arm in study.compared if arm.verdict == "cannot be distinguished"]
    if open_arms:
        seeds = count(max(arm.n for arm in open_arms), "seed")
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
            words.append(f"{len(some)} {one if len(some) == 1 else many}: {shown(some)}. ")
    if study.refused:
        verb = "was" if len(study.refused) == 1 else "were"
        names = shown([each["name"] for each in study.refused])
        words.append(f"{count(len(study.refused), kind.noun)} {verb} refused: {names}. ")
    return words


def describe_null_study(study: Study) -> list[Span | str]:
    false = [arm for arm in study.compared if arm.verdict in ("helps", "hurts")]
    num = count(len(study.compared), "comparison")
    begin: list[Span | str]
    if not any(arm.p_adjusted is not None and smallest_p_value(arm.n) <= 1 - study.level for arm in study.compared):
        begin = [strong(f"With so few seeds, no false alarm was possible in {num} of equal arms. ")]
    elif not false:
        begin = [strong(f"As expected, none of {num} of equal arms has a false “helps” or “hurts”. ")]
    else:
        begin = [strong(f"{len(false)} of {num} of equal arms gave a false alarm"), ": "]
        begin += [*list_estimates(false, scale_of(study.metric)), ". "]
    return [*begin, *describe_undecided(study)]


def describe_ends(study: Study) -> list[Span | str]:
    """First and last result of a ladder; empty if there are fewer than two results."""
    scale = scale_of(study.metric)
    steps = [arm for arm in study.arms if arm.mean is not None]
    if len(steps) < 2:
        return []
    first, last = steps[0], steps[-1]
    ends = f"{scale.with_unit(first.mean)} ({first.label}) to {scale.with_unit(last.mean)} ({last.label})"
    words: list[Span | str] = [f"From first to last, {metric_name(study).lower()} goes from {ends}"]
    if first.cost.seconds is not None and last.cost.seconds is not None:
        words.append(f", and training time from {duration(first.cost.seconds)} to {duration(last.cost.seconds)}")
    return [*words, "."]


def describe_unfinished(study: Study) -> list[Span | str]:
    words: list[Span | str] = [strong("This study is not complete"), f": {count(len(study.missing), 'run')} missing. "]
    return [*words, "Run its command again: it continues where it stopped."]
