"""What a study says, in sentences: the answer first, then what it could not conclude, and how its numbers are to be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from sota_exp.report.document.document import (
    Block,
    Listing,
    Paragraph,
    Span,
    Words,
    code,
    emphasis,
    paragraph,
    phrase,
    strong,
)
from sota_exp.report.numbers import count, duration, interval, listed
from sota_exp.report.study.read import Arm, Effect, Study
from sota_exp.statistics.sign_flip import smallest_p_value
from sota_exp.statistics.units import Scale, scale_of

#: Names in a sentence before it ends with "and 5 more".
MOST_NAMED = 6

#: Points of a list before it is told in one.
MOST_LISTED = 40


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a kind of study speaks of its arms, and what one of its differences means."""

    noun: str
    plural: str
    meaning: str


KINDS = {
    "ladder": Kind(
        noun="step",
        plural="steps",
        meaning="Each step is compared with the one before it, so its effect is that of adding it at this place of the ladder.",
    ),
    "leave_one_out": Kind(
        noun="omission",
        plural="omissions",
        meaning="Each arm is the whole recipe without one technique: an omission that hurts is a technique that helps, beside all others.",
    ),
    "add_one_in": Kind(
        noun="addition",
        plural="additions",
        meaning="Each arm is the plain recipe and one technique: an effect is that of the technique alone, without the others.",
    ),
    "pairs": Kind(
        noun="arm",
        plural="arms",
        meaning="Techniques alone and two by two: an interaction is what two bring together beyond the sum of what each brings alone.",
    ),
    "one_slot": Kind(
        noun="option", plural="options", meaning="Every option of one slot is compared with the same reference."
    ),
    "screening": Kind(
        noun="cell",
        plural="cells",
        meaning="Each run of the design switches about half of the techniques on: a main effect is averaged over the settings of all "
        "others, unlike that of leaving one out of a whole recipe.",
    ),
    "null": Kind(
        noun="null arm",
        plural="null arms",
        meaning="All arms are equal and trained on other seeds: whatever is called a help or a hurt here is a false alarm.",
    ),
}
OTHER = Kind(noun="arm", plural="arms", meaning="Each arm is compared with its reference.")

METRICS = {
    "test/accuracy": "Test accuracy",
    "val/accuracy": "Validation accuracy",
    "test/top5_accuracy": "Test top-5 accuracy",
    "test/loss": "Test loss",
    "test/ece": "Test calibration error",
}


def kind_of(study: Study) -> Kind:
    return KINDS.get(study.kind, OTHER)


def metric_name(study: Study) -> str:
    return METRICS.get(study.metric, study.metric)


def percent(level: float) -> str:
    return f"{100 * level:g} %"


def facts(study: Study) -> list[str]:
    """The line below the title."""
    runs = sum(len(arm.runs) for arm in study.arms)
    found = [f"Recipe {study.recipe}"] if study.recipe else []
    found += [f"Data {study.data}"] if study.data else []
    found += [count(len(study.arms), "arm"), count(len(study.seeds), "seed"), count(runs, "run")]
    found += [f"{study.num_test:,} test images"] if study.num_test else []
    return [*found, f"equal {study.budget}"]


def answer(study: Study) -> list[Block]:
    """What a reader who stops here should know."""
    found: list[Block] = []
    if study.effects:
        found.append(Paragraph(words=of_effects(study), tone="lead"))
    elif study.kind == "pairs" and study.interactions:
        found += [Paragraph(words=of_pairs(study), tone="lead"), Paragraph(words=of_arms(study))]
    elif study.compared:
        found.append(Paragraph(words=of_arms(study), tone="lead"))
    else:
        found.append(paragraph("No arm of this study has a reference: there is nothing to compare yet.", tone="lead"))
    if study.is_chain and (words := from_end_to_end(study)):
        found.append(Paragraph(words=words))
    found += [paragraph(note) for note in study.notes or (kind_of(study).meaning,)]
    if study.status != "complete":
        found.append(paragraph(*unfinished(study), tone="note"))
    return found


def of_arms(study: Study) -> list[Span | str]:
    kind, arms, scale = kind_of(study), study.compared, scale_of(study.metric)
    if study.kind == "null":
        return of_null(study)
    words: list[Span | str] = []
    for verdict, verb in (("helps", "help"), ("hurts", "hurt")):
        some = sorted((arm for arm in arms if arm.verdict == verdict), key=strength, reverse=True)
        if some:
            of = f" of {len(arms)} {kind.plural if len(arms) > 1 else kind.noun}" if not words else ""
            words += [strong(f"{len(some)}{of} {verb if len(some) > 1 else verdict}"), ": ", *named(some, scale), ". "]
    if not words:
        words.append(strong(f"No {kind.noun} of {len(arms)} was shown to help or to hurt. "))
    return words + undecided(study)


def of_pairs(study: Study) -> list[Span | str]:
    """Of the interactions of two, which a study of pairs asks for; for the better, two need each other."""
    scale, words = scale_of(study.metric), list[Span | str]()
    for verdict, verb, rest in (("helps", "need", "each other"), ("hurts", "stand", "in each other's way")):
        some = sorted(
            (each for each in study.interactions if each.verdict == verdict), key=lambda each: -abs(each.estimate or 0)
        )
        if some:
            words += [
                strong(f"{count(len(some), 'pair')} {verb}{'s' if len(some) == 1 else ''} {rest}"),
                ": ",
                *effects_named(some, scale),
                ". ",
            ]
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.interactions)
    if not words:
        return [strong(f"No interaction of {len(study.interactions)} was shown.")]
    return [*words, f"Of {count(num_open, 'more pair')} nothing can be said. "] if num_open else words


def strength(arm: Arm) -> float:
    return abs(arm.difference or 0)


def named(arms: Sequence[Arm], scale: Scale) -> list[Span | str]:
    """`Mixup (+0.41 points, +0.12 to +0.70), …`."""
    words: list[Span | str] = []
    for index, arm in enumerate(arms[:MOST_NAMED]):
        reach = f", {interval(scale, arm.interval)}" if arm.interval else ""
        words += [", " if index else "", emphasis(arm.label), f" ({scale.difference_with_unit(arm.difference)}{reach})"]
    return words + rest_of(len(arms))


def rest_of(num: int) -> list[Span | str]:
    return [f" and {num - MOST_NAMED} more"] if num > MOST_NAMED else []


def undecided(study: Study) -> list[Span | str]:
    """The arms of which nothing can be said, and the effect they may have hidden."""
    scale, kind = scale_of(study.metric), kind_of(study)
    words: list[Span | str] = []
    open_arms = [arm for arm in study.compared if arm.verdict == "cannot be distinguished"]
    if open_arms:
        seeds = count(max(arm.n for arm in open_arms), "seed")
        words.append(f"{len(open_arms)} cannot be distinguished from no effect with {seeds}")
        sizes = sorted(arm.detectable for arm in open_arms if arm.detectable is not None)
        if sizes:
            reach = scale.value(sizes[0]) + (f" to {scale.value(sizes[-1])}" if len(sizes) > 1 else "")
            words.append(f": effects below {reach} {scale.difference_unit} could hide there".replace("  ", " "))
        words.append(". ")
    for verdict, one, many in (
        ("too few seeds", "has too few seeds", "have too few seeds"),
        ("failed", "failed", "failed"),
    ):
        some = [arm.label for arm in study.compared if arm.verdict == verdict]
        if some:
            words.append(f"{len(some)} {one if len(some) == 1 else many}: {shown(some)}. ")
    if study.refused:
        what = f"{count(len(study.refused), kind.noun, kind.plural)} {'was' if len(study.refused) == 1 else 'were'} refused"
        words.append(f"{what}: {shown([name for name, _ in study.refused])}. ")
    return words


def shown(names: Sequence[str]) -> str:
    rest = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return listed([*names[:MOST_NAMED], *rest])


def of_null(study: Study) -> list[Span | str]:
    false = [arm for arm in study.compared if arm.verdict in ("helps", "hurts")]
    num = count(len(study.compared), "comparison")
    if not any(arm.p_adjusted is not None and smallest_p_value(arm.n) <= 1 - study.level for arm in study.compared):
        return [strong(f"With so few seeds no alarm was possible in {num} of equal arms. "), *undecided(study)]
    if not false:
        return [
            strong(f"As it should be, none of {num} of equal arms was called a help or a hurt. "),
            *undecided(study),
        ]
    words: list[Span | str] = [strong(f"{len(false)} of {num} of equal arms gave a false alarm"), ": "]
    return [*words, *named(false, scale_of(study.metric)), ". ", *undecided(study)]


def of_effects(study: Study) -> list[Span | str]:
    """Of the main effects of a design."""
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
                *effects_named(some, scale),
                ". ",
            ]
    if not words:
        words.append(strong(f"No technique of {len(study.effects)} was shown to help or to hurt. "))
    num_open = sum(each.verdict not in ("helps", "hurts") for each in study.effects)
    return [*words, f"{num_open} cannot be distinguished from no effect. "] if num_open else words


def effects_named(effects: Sequence[Effect], scale: Scale) -> list[Span | str]:
    words: list[Span | str] = []
    for index, each in enumerate(effects[:MOST_NAMED]):
        reach = f", {interval(scale, each.interval)}" if each.interval else ""
        words += [", " if index else "", emphasis(each.name), f" ({scale.difference_with_unit(each.estimate)}{reach})"]
    return words + rest_of(len(effects))


def from_end_to_end(study: Study) -> list[Span | str]:
    """Where the ladder begins and ends; empty where an end has no number."""
    scale = scale_of(study.metric)
    steps = [arm for arm in study.arms if arm.mean is not None]
    if len(steps) < 2:
        return []
    first, last = steps[0], steps[-1]
    ends = f"{scale.with_unit(first.mean)} ({first.label}) to {scale.with_unit(last.mean)} ({last.label})"
    words: list[Span | str] = [f"From first to last, {metric_name(study).lower()} goes from {ends}"]
    if first.cost.seconds is not None and last.cost.seconds is not None:
        words.append(f", and a training from {duration(first.cost.seconds)} to {duration(last.cost.seconds)}")
    return [*words, "."]


def unfinished(study: Study) -> list[Span | str]:
    words: list[Span | str] = [strong("This study is not complete"), f": {count(len(study.missing), 'run')} missing. "]
    return [*words, "Repeat its command and it goes on where it stopped."]


def inconclusive(study: Study) -> list[Block]:
    """What could not be concluded, and what would be needed."""
    items: list[Words] = [*open_items(study), *failure_items(study), *refused_items(study), *rule_items(study)]
    items += [*missing_items(study), *plan_items(study), *alias_items(study), *look_items(study)]
    items.append(limits(study))
    return [Listing(items=items)]


def open_items(study: Study) -> list[Words]:
    scale, kind = scale_of(study.metric), kind_of(study)
    found: list[Words] = []
    for arm in (arm for arm in study.compared if arm.verdict in ("cannot be distinguished", "too few seeds")):
        words: list[Span | str] = [strong(arm.label), ": "]
        if arm.verdict_words:
            words.append(arm.verdict_words)
        elif arm.detectable is None:
            words.append(f"{arm.verdict}.")
        else:
            smallest = f"{scale.value(arm.detectable)} {scale.difference_unit}".rstrip()
            words.append(f"{arm.verdict}; {count(arm.n, 'pair')} of runs could have shown {smallest}.")
        found.append(words)
    if len(found) > MOST_LISTED:
        return [
            [f"{len(found)} {kind.plural} cannot be distinguished or have too few seeds: see their rows in Table 1."]
        ]
    return found


def failure_items(study: Study) -> list[Words]:
    return [
        [strong(arm.label), f", seed {seed}, failed: {reason}"]
        for arm in study.arms
        for seed, reason in arm.failures.items()
    ]


def refused_items(study: Study) -> list[Words]:
    return [[strong(name), f" was refused: {reason}"] for name, reason in study.refused]


def rule_items(study: Study) -> list[Words]:
    """The rules that fired, each with all its arms."""
    groups: dict[str, list[str]] = {}
    for arm, message in study.rules:
        groups.setdefault(message, []).append(called(study, arm) if arm else "every arm")
    return [phrase(strong("A rule fired"), f" for {shown(arms)}: {message}") for message, arms in groups.items()]


def missing_items(study: Study) -> list[Words]:
    """Runs that are not there, taken together by seeds and reason."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for arm, seed, reason in study.missing:
        seeds.setdefault((arm, reason), []).extend([] if seed is None else [seed])
    arms: dict[tuple[str, str], list[str]] = {}
    for (arm, reason), found in seeds.items():
        arms.setdefault((numbered_seeds(found), reason), []).append(called(study, arm))
    return [missing_words(shown(names), which, reason) for (which, reason), names in arms.items()]


def numbered_seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {shown([str(seed) for seed in seeds])}" if seeds else ""


def missing_words(arms: str, seeds: str, reason: str) -> Words:
    """The runs that some arms lack for one reason."""
    return phrase(strong("Missing"), f": {seeds}{' of ' if seeds else ''}{arms}{f': {reason}' if reason else ''}")


def called(study: Study, name: str) -> str:
    """An arm's label; its name where it is none of the study."""
    arm = study.arm(name)
    return name if arm is None else arm.label


def plan_items(study: Study) -> list[Words]:
    if not study.seeds_needed:
        return []
    scale = scale_of(study.metric)
    needs = [f"{num:,} for {scale.value(size)}" for size, num in study.seeds_needed.items()]
    source = f" (from {study.sd_source})" if study.sd_source else ""
    spread = (
        f", if differences scatter by {scale.value(study.sd_assumed)}{source}" if study.sd_assumed is not None else ""
    )
    return [
        [
            strong("Seeds that would be needed"),
            f" to see an effect, in {scale.difference_unit}{spread}: {listed(needs)}.",
        ]
    ]


def alias_items(study: Study) -> list[Words]:
    there = [each for each in (*study.effects, *study.interactions) if each.aliases]
    return [
        phrase(strong(each.name), " can't be told apart from ", listed(list(each.aliases)), " in this design.")
        for each in there[:MOST_LISTED]
    ]


def look_items(study: Study) -> list[Words]:
    if study.looks is None:
        return []
    planned, done = (listed([str(num) for num in nums]) or "none" for nums in (study.looks.planned, study.looks.done))
    spent = listed([f"{alpha:.3g}" for alpha in study.looks.alpha_spent])
    words = f" were planned at {planned} seeds, taken at {done}" + (f"; error spent so far: {spent}." if spent else ".")
    decided = [f"{name} at {num}" for name, num in study.looks.decided.items()]
    return [[strong("Looks"), words, f" Decided: {listed(decided)}." if decided else ""]]


def limits(study: Study) -> Words:
    where = f"{study.recipe} on {study.data}" if study.recipe and study.data else "one recipe on one data set"
    return [
        f"All of this holds for {where}, at this length of training. Other data, models and lengths may rank techniques otherwise."
    ]


def methods(study: Study) -> list[Block]:
    """How the numbers came about."""
    level, error = percent(study.level), f"{100 * (1 - study.level):.3g} %"
    if study.kind == "screening":
        return [*of_design(study), *common(study)]
    first = paragraph(
        strong("Equal arms."),
        " All arms are one configuration, on seeds of their own; the first seed of one is held against the first of the other, and so on. An interval "
        f"is Student's over these differences: it would hold the true mean, zero, in {level} of repetitions of the study.",
    )
    return [
        first
        if study.kind == "null"
        else paragraph(
            strong("Paired seeds."),
            " Arms of equal seed begin with the same weights and see the same images in the same order where their configurations allow, so "
            "a difference is taken within each seed. Its interval is Student's over these differences: it would hold the true mean in "
            f"{level} of repetitions of the study.",
        ),
        paragraph(
            strong("Verdicts."),
            f" An arm helps or hurts where a joint test over all arms says so: the signs of the differences are flipped by seed for all arms at once, "
            f"and the largest studentized difference is compared (Westfall and Young 1993). The chance of even one false verdict in the whole family "
            f"is at most {error}{', the arms and the interactions a family each' if study.kind == 'pairs' else ''}. So an interval that leaves out zero by itself may still get “cannot be distinguished”: with "
            f"{count(max(len(study.compared), 1), 'comparison')} some do by chance.",
        ),
        *of_looks(study),
        *common(study),
    ]


def of_looks(study: Study) -> list[Block]:
    """How seeds were added, and what that does to the promise."""
    if study.looks is not None:
        return [
            paragraph(
                strong("Looks."),
                " More seeds went to arms whose verdict was open, at looks planned beforehand. Each look's test makes its share of the error, so that "
                "all of them keep to it; what is called detectable is at the last look's share. An arm that is decided early overstates its effect on "
                "average, and its interval is too high or too low with it.",
            )
        ]
    return [
        paragraph(
            strong("Seeds are decided beforehand."),
            " Seeds that are added because a verdict is open, and looking again, make false verdicts more frequent than the level says; looks that are "
            "planned in the study do not.",
        )
    ]


def of_design(study: Study) -> list[Block]:
    """How the numbers of a two-level design came about."""
    level, error = percent(study.level), f"{100 * (1 - study.level):.3g} %"
    return [
        paragraph(
            strong("Effects."),
            " An effect is the mean of the cells with a technique less the mean of those without it. All have one estimate of noise, from the runs of equal "
            f"cells with other seeds (of one seed, from what the effects leave over), and Student's intervals of {level} by it.",
        ),
        paragraph(
            strong("Verdicts."),
            " A technique helps or hurts where its effect is too large for the largest of as many effects that are nothing (the studentized maximum modulus): "
            f"the chance of even one false verdict among the main effects is at most {error}; interactions are a family of their own, and so are the "
            "arms beside the design, each held against its reference by the signs of its differences.",
        ),
        paragraph(
            strong("Main effects and leave-one-out"),
            " have opposite signs where they agree: one says what a technique adds, the other what its absence takes. They need not agree: the one is a "
            "mean over all settings of the other techniques, the other the loss at one setting, all others on.",
        ),
    ]


def common(study: Study) -> list[Block]:
    """What holds for every kind of study."""
    return [
        paragraph(
            strong("Two noises."),
            " Train again with other seeds and the accuracy moves: seed noise, which the intervals hold. Take other test images and it "
            "moves too: test-set noise, found by resampling test images with the correctness of each averaged over seeds. More seeds shrink "
            "the first and never the second.",
        ),
        paragraph(
            strong("Cannot be distinguished"),
            " is not “no effect”: it says that an effect smaller than the one given as detectable could hide there. Every number of the page is in ",
            code("study.json", "study.json"),
            " or in the files of the runs it names; test images chose nothing.",
        ),
    ]
