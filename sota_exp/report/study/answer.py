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
    kind, arms, scale = kind_of(study), study.compared, scale_of(study.metric)
    if study.kind == "null":
        return describe_null_study(study)
    words: list[Span | str] = []
    for verdict, verb in (("helps", "help"), ("hurts", "hurt")):
        some = sorted((arm for arm in arms if arm.verdict == verdict), key=get_effect_size, reverse=True)
        if some:
            of = f" of {len(arms)} {kind.plural if len(arms) > 1 else kind.noun}" if not words else ""
            words += [
                strong(f"{len(some)}{of} {verb if len(some) > 1 else verdict}"),
                ": ",
                *list_arms(some, scale),
                ". ",
            ]
    if not words:
        words.append(strong(f"No {kind.noun} of {len(arms)} was shown to help or to hurt. "))
    return words + describe_undecided(study)


def describe_interactions(study: Study) -> list[Span | str]:
    """The decided interactions of a study of pairs, then the number of undecided ones."""
    scale, words = scale_of(study.metric), list[Span | str]()
    for verdict, how in (("helps", "more"), ("hurts", "less")):
        some = sorted(
            (each for each in study.interactions if each.verdict == verdict), key=lambda each: -abs(each.estimate or 0)
        )
        if some:
            words += [
                strong(f"{count(len(some), 'pair')} help{'s' if len(some) == 1 else ''} {how} together"),
                ": ",
                *list_effects(some, scale),
                ". ",
            ]
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.interactions)
    if not words:
        return [strong(f"No interaction of {len(study.interactions)} was shown.")]
    return [*words, f"Of {count(num_open, 'more pair')} nothing can be said. "] if num_open else words


def get_effect_size(arm: Arm) -> float:
    return abs(arm.difference or 0)


def list_arms(arms: Sequence[Arm], scale: Scale) -> list[Span | str]:
    """`Mixup (+0.41 points, +0.12 to +0.70), …`."""
    words: list[Span | str] = []
    for index, arm in enumerate(arms[:MOST_NAMED]):
        reach = f", {interval(scale, arm.interval)}" if arm.interval else ""
        words += [", " if index else "", emphasis(arm.label), f" ({scale.difference_with_unit(arm.difference)}{reach})"]
    return words + describe_rest(len(arms))


def describe_rest(num: int) -> list[Span | str]:
    return [f" and {num - MOST_NAMED} more"] if num > MOST_NAMED else []


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
            words.append(f": effects below {reach} {scale.difference_unit} would not be detected".replace("  ", " "))
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
        names = shown([name for name, _ in study.refused])
        words.append(f"{count(len(study.refused), kind.noun, kind.plural)} {verb} refused: {names}. ")
    return words


def describe_null_study(study: Study) -> list[Span | str]:
    false = [arm for arm in study.compared if arm.verdict in ("helps", "hurts")]
    num = count(len(study.compared), "comparison")
    if not any(arm.p_adjusted is not None and smallest_p_value(arm.n) <= 1 - study.level for arm in study.compared):
        return [
            strong(f"With so few seeds, no false alarm was possible in {num} of equal arms. "),
            *describe_undecided(study),
        ]
    if not false:
        return [
            strong(f"As expected, none of {num} of equal arms has a false “helps” or “hurts”. "),
            *describe_undecided(study),
        ]
    words: list[Span | str] = [strong(f"{len(false)} of {num} of equal arms gave a false alarm"), ": "]
    return [*words, *list_arms(false, scale_of(study.metric)), ". ", *describe_undecided(study)]


def describe_main_effects(study: Study) -> list[Span | str]:
    """The decided main effects of a design, then the number of undecided ones."""
    scale = scale_of(study.metric)
    words: list[Span | str] = []
    for verdict, verb in (("helps", "help"), ("hurts", "hurt")):
        some = [each for each in study.effects if each.verdict == verdict]
        some.sort(key=lambda each: abs(each.estimate or 0), reverse=True)
        if some:
            of = f" of {len(study.effects)} techniques" if not words else ""
            words += [
                strong(f"{len(some)}{of} {verb if len(some) > 1 else verdict}"),
                ": ",
                *list_effects(some, scale),
                ". ",
            ]
    if not words:
        words.append(strong(f"No technique of {len(study.effects)} was shown to help or to hurt. "))
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.effects)
    return [*words, f"{num_open} cannot be distinguished from no effect. "] if num_open else words


def list_effects(effects: Sequence[Effect], scale: Scale) -> list[Span | str]:
    words: list[Span | str] = []
    for index, each in enumerate(effects[:MOST_NAMED]):
        reach = f", {interval(scale, each.interval)}" if each.interval else ""
        words += [", " if index else "", emphasis(each.name), f" ({scale.difference_with_unit(each.estimate)}{reach})"]
    return words + describe_rest(len(effects))


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
