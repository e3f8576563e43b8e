"""A study's report: `report.html`, `report.md` and `figures/` in its directory, made from `study.json` and the runs it names."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from sota_exp.report import study_figures as figures
from sota_exp.report import study_tables as tables
from sota_exp.report import study_words as words
from sota_exp.report.document import Block, Cell, Code, Column, Details, Document, Section, Span, Table, code, paragraph
from sota_exp.report.study import Arm, Study
from sota_exp.report.study_runs import configuration
from sota_exp.report.writing import Written, write_document

#: Arms whose configuration is shown one by one, and runs of an arm that are linked.
MOST_ARMS, MOST_RUNS = 60, 40


def write(directory: Path) -> list[Path]:
    """Write the report of the study in a directory; the paths written, the page first.

    Raises:
        ConfigError: there is no study to be read.
        RunFailed: the directory can't be written to.
    """
    return report(directory).paths


def report(directory: Path) -> Written:
    """Write the report, as `write` does; with the answer in words."""
    return write_document(document(Study.read(directory)), directory)


def document(study: Study) -> Document:
    sections = [
        Section(title="What was found", anchor="effects", blocks=effects(study)),
        Section(title="Two kinds of noise", anchor="noise", blocks=noise(study)),
        Section(title="Learning curves", anchor="curves", blocks=curves(study)),
        Section(
            title="What it costs",
            anchor="cost",
            blocks=present(figures.accuracy_against_cost(study), tables.costs(study)),
        ),
        Section(title="Inference size", anchor="resolution", blocks=present(figures.resolution(study))),
        Section(title="Interactions", anchor="interactions", blocks=interactions(study)),
        Section(title="Class by class", anchor="classes", blocks=present(tables.by_class(study))),
        Section(
            title="Calibration",
            anchor="calibration",
            blocks=present(tables.calibration(study), figures.reliabilities(study)),
        ),
        Section(title="What could not be concluded", anchor="open", blocks=words.inconclusive(study)),
        Section(title="Configurations", anchor="configurations", blocks=configurations(study)),
        Section(title="How to reproduce", anchor="reproduce", blocks=reproduction(study)),
        Section(title="How to read the numbers", anchor="methods", blocks=words.methods(study)),
    ]
    return Document(
        title=study.title,
        facts=words.facts(study),
        answer=words.answer(study),
        sections=[section for section in sections if section.blocks],
        colophon=[
            "Made by ",
            code("sota-exp report"),
            " from ",
            code("study.json", "study.json"),
            " and the run directories it names.",
        ],
    ).numbered()


def present(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]


def effects(study: Study) -> list[Block]:
    """Pictures of the effects, and the table that the page is about."""
    ladder = figures.ladder(study) if study.is_chain and not study.effects else None
    forest = figures.effects(study) if study.compared else None
    table: Block = tables.results(study)
    if study.effects:
        table = Details(summary=f"The {len(study.arms)} cells of the design", blocks=[table])
    return [*design(study), *present(ladder, forest, table)]


def design(study: Study) -> list[Block]:
    """The main effects that a screening design estimates."""
    if not study.effects:
        return []
    drawn = figures.factor_effects(study, study.effects, "main_effects", "Main effects")
    return [drawn, tables.effects(study, study.effects, "Main effect")]


def curves(study: Study) -> list[Block]:
    """None of the cells of a design: no two of them differ in one thing."""
    return [] if study.effects else present(figures.learning_curves(study))


def noise(study: Study) -> list[Block]:
    found = present(figures.noises(study), tables.noises(study))
    return [paragraph(NOISES), *found] if found else []


NOISES = (
    "A difference moves when the networks are trained again from other seeds, and it moves when other test images are taken. The two are kept apart: "
    "verdicts rest on seeds, and hold for this test set."
)


def interactions(study: Study) -> list[Block]:
    if not study.interactions:
        return []
    return present(figures.interactions(study), tables.effects(study, study.interactions, "Interaction"))


def configurations(study: Study) -> list[Block]:
    """What each arm is, folded away; the whole configuration of the arms that others are compared with."""
    if len(study.arms) > MOST_ARMS:
        return [arm_table(study)]
    return [arm_details(study, arm) for arm in study.arms]


def arm_details(study: Study, arm: Arm) -> Details:
    blocks: list[Block] = [Code(text=train_command(arm))] if arm.overrides else []
    blocks += present(tables.differences(study, arm))
    reference = study.arm(arm.reference)
    if reference is not None and not arm.differences:
        blocks.append(paragraph(f"No value differs from {reference.label}."))
    if links := run_links(arm):
        blocks.append(paragraph(*links))
    if arm.reference is None and (text := configuration(study, arm)):
        blocks.append(Details(summary=f"The whole configuration of {arm.label}", blocks=[Code(text=text)]))
    against = f", against {reference.label}" if reference else ""
    return Details(summary=f"{tables.numbered(study, arm)}{against}", blocks=blocks)


def train_command(arm: Arm) -> str:
    """What trains one run of the arm."""
    seed = next(iter(arm.runs), 0)
    return "sota-exp train " + " ".join(shlex.quote(each) for each in (*arm.overrides, f"seed={seed}"))


def run_links(arm: Arm) -> list[Span | str]:
    shown = list(arm.runs.items())[:MOST_RUNS]
    found: list[Span | str] = []
    for seed, place in shown:
        found += [" " if found else "Runs by seed: ", code(str(seed), place)]
    rest = len(arm.runs) - len(shown)
    return [*found, f" and {rest:,} more."] if rest else found


def arm_table(study: Study) -> Table:
    columns = [Column(name=name, is_number=False) for name in ("Arm", "Against", "Overrides")]
    rows = [
        [tables.label(study, arm), Cell(words=[arm.reference or "–"]), Cell(words=overrides(arm))] for arm in study.arms
    ]
    return Table(caption=["What each arm is."], columns=columns, rows=rows)


def overrides(arm: Arm) -> Sequence[str]:
    return [" ".join(arm.overrides) or "–"]


def reproduction(study: Study) -> list[Block]:
    blocks: list[Block] = [Code(text=study.command)] if study.command else []
    blocks.append(
        paragraph(
            "Repeated in the same place, the command redoes nothing that is finished and goes on with what is missing; more seeds extend the study. "
            "On the same machine and versions every number comes out the same to the last digit, times aside."
        )
    )
    return blocks + present(tables.environment(study))
