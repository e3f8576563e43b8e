"""How the numbers of a study are computed and how to read them, as paragraphs."""

from sota_exp.report.document.document import Block, Paragraph, code, paragraph, strong
from sota_exp.report.numbers import format_count
from sota_exp.report.study.study import StudyResult
from sota_exp.report.study.terms import format_percent


def build_method_blocks(study: StudyResult) -> list[Block]:
    """The paragraphs for the study's kind."""
    if study.kind == "screening":
        return [*describe_design(study), *describe_noise()]
    return [describe_pairing(study), describe_joint_test(study), describe_looks(study), *describe_noise()]


def describe_pairing(study: StudyResult) -> Paragraph:
    level = format_percent(study.level)
    interval = f"a Student interval over these differences: it would contain the true mean{{}} in {level}"
    if study.kind == "null":
        return paragraph(
            strong("Equal arms."),
            " All arms have the same configuration and different seeds; the first seed of an arm is compared with the "
            f"first seed of its reference, and so on. An interval is {interval.format(', zero,')} of repetitions.",
        )
    return paragraph(
        strong("Paired seeds."),
        " Arms with the same seed start from the same weights and see the same images in the same order, as far as "
        "their configurations allow, so differences are taken within each seed. An interval is "
        f"{interval.format('')} of repetitions of the study.",
    )


def describe_joint_test(study: StudyResult) -> Paragraph:
    error = f"{100 * (1 - study.level):.3g} %"
    families = "; the arms and the interactions are a family each" if study.kind == "pairs" else ""
    return paragraph(
        strong("Verdicts."),
        " An arm helps or hurts if a joint test over all arms rejects: the signs of the differences are flipped "
        "by seed for all arms at once, and the largest studentized difference is compared (Westfall and Young "
        f"1993). The probability of even one false verdict in the whole family is at most {error}{families}. An "
        "interval that excludes zero can therefore still have the verdict “cannot be distinguished”: with "
        f"{format_count(max(len(study.compared), 1), 'comparison')}, some intervals exclude zero by chance.",
    )


def describe_looks(study: StudyResult) -> Paragraph:
    """How seeds were added, and what that means for the error."""
    if study.looks is not None:
        return paragraph(
            strong("Looks."),
            " Undecided arms were given more seeds at interim looks that were planned beforehand. The test at "
            "each look spends a share of the error, so that the total error is kept; the detectable effect is "
            "that at the last look's share. The effect of an arm that is decided early is overestimated on "
            "average, and its interval is shifted with it.",
        )
    return paragraph(
        strong("Seeds are decided beforehand."),
        " Adding seeds because a verdict is open, and testing again, makes false verdicts more frequent than the level "
        "allows; interim looks that are planned in the study do not.",
    )


def describe_design(study: StudyResult) -> list[Block]:
    """The estimates and tests of a two-level design."""
    level, error = format_percent(study.level), f"{100 * (1 - study.level):.3g} %"
    return [
        paragraph(
            strong("Effects."),
            " An effect is the mean of the cells with a technique minus the mean of the cells without it. All effects "
            "share one estimate of noise, from runs of the same cell with different seeds (with one seed, from the "
            f"residuals), and have Student intervals of {level}.",
        ),
        paragraph(
            strong("Verdicts."),
            " A technique helps or hurts if its effect exceeds what the largest of as many null effects would "
            "reach (studentized maximum modulus): the probability of even one false verdict among the main "
            f"effects is at most {error}. Interactions are a family of their own, and so are the arms beside the "
            "design, each compared with its reference by sign flips of its differences.",
        ),
        paragraph(
            strong("Main effects and leave-one-out"),
            " have opposite signs if they agree: the first is the gain from adding a technique, the second the change "
            "from removing it. They can disagree: a main effect is averaged over all settings of the other techniques, "
            "leave-one-out is measured at one setting, with all others on.",
        ),
    ]


def describe_noise() -> list[Block]:
    """What holds for every kind of study."""
    return [
        paragraph(
            strong("Two noises."),
            " Training again with other seeds changes the accuracy: seed noise, which the intervals cover. Other "
            "test images change it as well: test-set noise, an interval over the test images, with the "
            "correctness of each image averaged over seeds. More seeds reduce the first and never the second.",
        ),
        paragraph(
            strong("Cannot be distinguished"),
            " does not mean “no effect”: an effect smaller than the detectable one can be present. Every "
            "number of the page is in ",
            code("study.json", "study.json"),
            " or in the files of the runs it names; nothing was selected on test images.",
        ),
    ]
