"""The report of a study: `report.html`, `report.md` and `figures/`, from `study.json` and its run directories."""

from pathlib import Path

from sota_exp.report.document.document import Block, CodeBlock, Document, FoldedBlocks, code, paragraph, section
from sota_exp.report.document.write import WrittenReport, write_document
from sota_exp.report.study import figures, tables
from sota_exp.report.study.answer import build_study_answer, build_study_facts
from sota_exp.report.study.inconclusive import build_inconclusive_blocks
from sota_exp.report.study.methods import build_method_blocks
from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import read_configuration
from sota_exp.report.study.study import StudyResult

#: Most unfolded rows of configuration changes; most whole configurations.
MOST_ROWS, MOST_WHOLE = 80, 3


def write_study_report(directory: Path) -> WrittenReport:
    """Write the report of the study in a directory."""
    return write_document(build_document(read_study(directory)), directory)


def build_document(study: StudyResult) -> Document:
    sections = [
        section("What was found", "effects", *build_effects(study)),
        section("Two kinds of noise", "noise", *build_noise(study)),
        # The cells of a design differ in many techniques at once: their curves say nothing.
        section("Learning curves", "curves", None if study.effects else figures.build_study_curves_figure(study)),
        section("What it costs", "cost", figures.build_cost_figure(study), tables.build_cost_table(study)),
        section("Inference size", "resolution", figures.build_resolution_figure(study)),
        section("Interactions", "interactions", *build_interactions(study)),
        section("Class by class", "classes", tables.build_class_table(study)),
        section(
            "Calibration", "calibration", tables.build_calibration_table(study), figures.build_reliability_figure(study)
        ),
        section("What could not be concluded", "open", build_inconclusive_blocks(study)),
        section("Configurations", "configurations", *build_configurations(study)),
        section("How to reproduce", "reproduce", *build_reproduction(study), tables.build_environment_table(study)),
        section("How to read the numbers", "methods", *build_method_blocks(study)),
    ]
    return Document(
        title=study.title,
        facts=build_study_facts(study),
        answer=build_study_answer(study),
        sections=sections,
        colophon=[
            "Made by ",
            code("sota-exp report"),
            " from ",
            code("study.json", "study.json"),
            " and the run directories it names.",
        ],
    ).number_blocks()


def drop_missing(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]


def build_effects(study: StudyResult) -> list[Block]:
    """Figures and table of the effects; the cells of a design are folded."""
    ladder = figures.build_ladder_figure(study) if study.is_chain and not study.effects else None
    forest = figures.build_effects_figure(study) if study.compared else None
    table: Block = tables.build_results_table(study)
    if study.effects:
        num_cells = sum(arm.name.startswith("cell_") for arm in study.arms)
        others = "" if num_cells == len(study.arms) else ", and the arms beside it"
        table = FoldedBlocks(summary=f"The {num_cells} cells of the design{others}", blocks=[table])
    return [*build_design(study), *drop_missing(ladder, forest, table)]


def build_design(study: StudyResult) -> list[Block]:
    """The main effects of a screening design."""
    if not study.effects:
        return []
    return [
        figures.build_main_effects_figure(study),
        tables.build_effects_table(study, study.effects, "Main effect"),
        *drop_missing(tables.build_main_effect_and_loss_table(study)),
    ]


def build_noise(study: StudyResult) -> list[Block]:
    found = drop_missing(figures.build_noise_figure(study), tables.build_noise_table(study))
    return [paragraph(NOISE_TEXT), *found] if found else []


NOISE_TEXT = (
    "A difference changes if the networks are trained again with other seeds, and it changes with other test images. "
    "The two are reported separately: verdicts are based on seeds and hold for this test set."
)


def build_interactions(study: StudyResult) -> list[Block]:
    if not study.interactions:
        return []
    return drop_missing(
        figures.build_interactions_figure(study), tables.build_effects_table(study, study.interactions, "Interaction")
    )


def build_configurations(study: StudyResult) -> list[Block]:
    """What each arm changes; folded: overrides, runs, and the whole configurations of arms without a reference."""
    table = tables.build_config_changes_table(study)
    if table is not None and len(table.rows) > MOST_ROWS:
        return [FoldedBlocks(summary="What each arm changes", blocks=[table]), *build_folded(study)]
    return [*drop_missing(table), *build_folded(study)]


def build_folded(study: StudyResult) -> list[Block]:
    found: list[Block] = [
        FoldedBlocks(summary="Overrides and runs of every arm", blocks=[tables.build_overrides_table(study)])
    ]
    for arm in [arm for arm in study.arms if arm.reference is None][:MOST_WHOLE]:
        text = read_configuration(study, arm)
        if text:
            found.append(FoldedBlocks(summary=f"The whole configuration of {arm.label}", blocks=[CodeBlock(text=text)]))
    return found


def build_reproduction(study: StudyResult) -> list[Block]:
    blocks: list[Block] = [CodeBlock(text=study.command)] if study.command else []
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
