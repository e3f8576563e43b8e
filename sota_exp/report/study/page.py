"""The report of a study: `report.html`, `report.md` and `figures/`, from `study.json` and its run directories."""

from pathlib import Path

from sota_exp.report.document.document import Block, Code, Details, Document, code, paragraph, section
from sota_exp.report.document.write import Written, write_document
from sota_exp.report.study import figures, tables
from sota_exp.report.study.answer import answer, facts
from sota_exp.report.study.inconclusive import inconclusive
from sota_exp.report.study.methods import methods
from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import configuration
from sota_exp.report.study.study import Study

#: Most unfolded rows of configuration changes; most whole configurations.
MOST_ROWS, MOST_WHOLE = 80, 3


def report(directory: Path) -> Written:
    """Write the report of the study in a directory."""
    return write_document(build_document(read_study(directory)), directory)


def build_document(study: Study) -> Document:
    sections = [
        section("What was found", "effects", *build_effects(study)),
        section("Two kinds of noise", "noise", *build_noise(study)),
        # The cells of a design differ in many techniques at once: their curves say nothing.
        section("Learning curves", "curves", None if study.effects else figures.learning_curves(study)),
        section("What it costs", "cost", figures.accuracy_against_cost(study), tables.costs(study)),
        section("Inference size", "resolution", figures.resolution(study)),
        section("Interactions", "interactions", *build_interactions(study)),
        section("Class by class", "classes", tables.by_class(study)),
        section("Calibration", "calibration", tables.calibration(study), figures.reliabilities(study)),
        section("What could not be concluded", "open", inconclusive(study)),
        section("Configurations", "configurations", *build_configurations(study)),
        section("How to reproduce", "reproduce", *build_reproduction(study), tables.environment(study)),
        section("How to read the numbers", "methods", *methods(study)),
    ]
    return Document(
        title=study.title,
        facts=facts(study),
        answer=answer(study),
        sections=sections,
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


def build_effects(study: Study) -> list[Block]:
    """Figures and table of the effects; the cells of a design are folded."""
    ladder = figures.ladder(study) if study.is_chain and not study.effects else None
    forest = figures.effects(study) if study.compared else None
    table: Block = tables.results(study)
    if study.effects:
        num_cells = sum(arm.name.startswith("cell_") for arm in study.arms)
        others = "" if num_cells == len(study.arms) else ", and the arms beside it"
        table = Details(summary=f"The {num_cells} cells of the design{others}", blocks=[table])
    return [*build_design(study), *present(ladder, forest, table)]


def build_design(study: Study) -> list[Block]:
    """The main effects of a screening design."""
    if not study.effects:
        return []
    drawn = figures.factor_effects(study, study.effects, "main_effects", "Main effects")
    return [drawn, tables.effects(study, study.effects, "Main effect"), *present(tables.side_by_side(study))]


def build_noise(study: Study) -> list[Block]:
    found = present(figures.noises(study), tables.noises(study))
    return [paragraph(NOISE_TEXT), *found] if found else []


NOISE_TEXT = (
    "A difference changes if the networks are trained again with other seeds, and it changes with other test images. "
    "The two are reported separately: verdicts are based on seeds and hold for this test set."
)


def build_interactions(study: Study) -> list[Block]:
    if not study.interactions:
        return []
    return present(figures.interactions(study), tables.effects(study, study.interactions, "Interaction"))


def build_configurations(study: Study) -> list[Block]:
    """What each arm changes; folded: overrides, runs, and the whole configurations of arms without a reference."""
    table = tables.differences(study)
    if table is not None and len(table.rows) > MOST_ROWS:
        return [Details(summary="What each arm changes", blocks=[table]), *build_folded(study)]
    return [*present(table), *build_folded(study)]


def build_folded(study: Study) -> list[Block]:
    found: list[Block] = [Details(summary="Overrides and runs of every arm", blocks=[tables.overrides(study)])]
    for arm in [arm for arm in study.arms if arm.reference is None][:MOST_WHOLE]:
        text = configuration(study, arm)
        if text:
            found.append(Details(summary=f"The whole configuration of {arm.label}", blocks=[Code(text=text)]))
    return found


def build_reproduction(study: Study) -> list[Block]:
    blocks: list[Block] = [Code(text=study.command)] if study.command else []
    blocks.append(
        paragraph(
            "If the command is run again in the same directory, it skips finished runs and trains missing ones; more "
            "seeds extend the study. On the same machine with the same versions, every number except times is "
            "reproduced exactly. To train one run again: ",
            code("sota-exp rerun RUN"),
            ".",
        )
    )
    return blocks
