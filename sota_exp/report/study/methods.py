"""How the numbers of a study were computed and how to read them, in sentences."""

from sota_exp.report.document.document import (
    Block,
    code,
    paragraph,
    strong,
)
from sota_exp.report.numbers import count
from sota_exp.report.study.study import Study
from sota_exp.report.study.terms import percent


def methods(study: Study) -> list[Block]:
    """How the numbers came about."""
    level, error = percent(study.level), f"{100 * (1 - study.level):.3g} %"
    if study.kind == "screening":
        return [*describe_design(study), *describe_noise_and_verdicts(study)]
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
        *describe_looks(study),
        *describe_noise_and_verdicts(study),
    ]


def describe_looks(study: Study) -> list[Block]:
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


def describe_design(study: Study) -> list[Block]:
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


def describe_noise_and_verdicts(study: Study) -> list[Block]:
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
