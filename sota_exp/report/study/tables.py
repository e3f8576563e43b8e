"""The tables of a study's report."""

from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from sota_exp.config.shell_words import join_command
from sota_exp.config.values import join_first
from sota_exp.report.document.markdown import Code, Columns, Table, link
from sota_exp.report.numbers import (
    format_count,
    format_duration,
    format_interval,
    format_mebibytes,
    format_or_dash,
    format_quantity,
    format_yaml_value,
)
from sota_exp.report.study.runs import count_chosen_sizes
from sota_exp.report.study.study import DesignEffect, Difference, StudyArm, StudyResult
from sota_exp.statistics.units import SECONDS_FORMAT, SHARE_FORMAT, UNKNOWN, format_level, format_p_value, format_signed
from sota_exp.statistics.verdict import SHOWN, SHOWN_HERE

#: Signs of verdicts, for those who see no colours; ○ for others.
SIGNS = {"helps": "▲ ", "hurts": "▼ ", "helps here": "△ ", "hurts here": "▽ ", "failed": "✕ ", "reference": ""}

#: Kinds of looks in words.
LOOKS = {"fixed": "none, fixed seeds", "planned": "planned", "anytime": "at any time"}

#: Most classes in the table of changes; with more, those that change most.
MOST_CLASSES = 24

#: Most runs of an arm that are linked.
MOST_RUNS = 40


def format_arm_number(study: StudyResult, arm: StudyArm) -> str:
    """`3 EMA` with a no-break space; for a cell of a design, its label up to the colon."""
    if not study.compared:
        return arm.label.partition(":")[0]
    return f"{study.arm_numbers[arm.name]}\N{NO-BREAK SPACE}{arm.label}"


def add_sign(verdict: str) -> str:
    return f"{SIGNS.get(verdict, '○ ')}{verdict}"


def build_results_table(study: StudyResult) -> Table:
    """Every arm with its mean, its difference from its reference, interval, p-value and verdict."""
    scale = study.scale
    named = {} if study.is_chain else study.arm_numbers
    columns: Columns = {
        "Arm": lambda arm: format_arm_number(study, arm) if study.compared else arm.label,
        "Against": lambda arm: named.get(arm.reference or "", UNKNOWN),
        "Pairs" if study.compared else "Runs": lambda arm: str(arm.n),
        scale.title("Mean"): lambda arm: scale.value(arm.mean),
        "± sd": lambda arm: scale.value(arm.sd),
        scale.difference_title("Difference"): lambda arm: scale.difference(arm.difference),
        f"{format_level(study.level)} interval": lambda arm: format_interval(scale, arm.headline),
        "p, joint": lambda arm: format_p_value(arm.headline_p),
        "Evidence": lambda arm: f"{arm.evidence[-1]:.3g}" if arm.evidence else UNKNOWN,
        "Detectable": lambda arm: scale.value(arm.detectable),
        "Verdict": lambda arm: add_sign(arm.verdict) if study.compared else UNKNOWN,
    }
    return Table.of(study.arms, columns, ["Verdict"]).drop_empty_columns()


def build_noise_table(study: StudyResult) -> Table:
    """The intervals over seeds, over test images, and over both."""
    scale = study.scale
    columns: Columns = {
        "Arm": lambda arm: format_arm_number(study, arm),
        "Difference": lambda arm: scale.difference(arm.difference),
        "Over seeds": lambda arm: format_interval(scale, arm.interval),
        "Over test images": lambda arm: format_interval(scale, arm.examples.interval),
        "Over both": lambda arm: format_interval(scale, arm.new_images.interval if arm.new_images else None),
        "Won": lambda arm: format_or_dash(arm.examples.won, "{:,.0f}".format),
        "Lost": lambda arm: format_or_dash(arm.examples.lost, "{:,.0f}".format),
    }
    return Table.of([arm for arm in study.compared if arm.examples is not None], columns).drop_empty_columns()


def build_cost_table(study: StudyResult) -> Table:
    columns: Columns = {
        "Arm": lambda arm: format_arm_number(study, arm),
        "Training": lambda arm: format_duration(arm.cost.seconds),
        "Difference, s": lambda arm: SECONDS_FORMAT.difference(arm.cost.seconds_difference),
        f"{format_level(study.level)} interval, s": lambda arm: format_interval(SECONDS_FORMAT, arm.cost.interval),
        "Training cost": lambda arm: format_quantity(arm.cost.training_flops, "FLOPs"),
        "Per image": lambda arm: format_quantity(arm.cost.flops_per_image, "FLOPs"),
        "Parameters": lambda arm: format_quantity(arm.cost.parameters),
        "Peak memory": lambda arm: format_mebibytes(arm.cost.peak_memory_bytes),
        "Points per hour": format_points_per_hour,
    }
    return Table.of([arm for arm in study.arms if arm.cost.seconds is not None], columns).drop_empty_columns()


def format_points_per_hour(arm: StudyArm) -> str:
    """Of an arm with a verdict; above what can be gained, a time that differs by seconds says nothing of hours."""
    rate = arm.cost.points_per_hour
    if rate is None or abs(rate) > 100 or arm.verdict not in (*SHOWN, *SHOWN_HERE):
        return UNKNOWN
    return format_signed(rate, 1)


def build_looks_table(study: StudyResult) -> Table:
    """Seeds per arm that each kind of looks takes to show the smallest effect of interest."""
    columns: Columns = {
        "Looks": lambda cost: LOOKS[cost.kind],
        "Seeds at most": lambda cost: f"{cost.most:,}",
        "Mean with the effect": lambda cost: f"{cost.with_effect:.1f}",
        "Mean without any": lambda cost: f"{cost.without:.1f}",
        "Shown in": lambda cost: f"{100 * cost.power:.0f} % of studies",
    }
    return Table.of(study.plan.looks, columns, ["Looks"])


def build_inference_size_table(study: StudyResult) -> Table:
    """The sizes of inference that the runs of each arm chose."""
    found = [(arm, sizes) for arm in study.arms if (sizes := count_chosen_sizes(study, arm))]
    columns: Columns = {
        "Arm": lambda each: format_arm_number(study, each[0]),
        "Chosen": lambda each: ", ".join(
            f"{size} px by {format_count(num, 'run')}" for size, num in sorted(each[1].items())
        ),
    }
    return Table.of(found, columns, ["Chosen"])


def build_calibration_table(study: StudyResult) -> Table:
    columns: Columns = {
        "Arm": lambda arm: format_arm_number(study, arm),
        "Calibration error, %": lambda arm: SHARE_FORMAT.value(arm.calibration.ece),
        "Difference, points": lambda arm: SHARE_FORMAT.difference(arm.calibration.difference),
        f"{format_level(study.level)} interval": lambda arm: format_interval(SHARE_FORMAT, arm.calibration.interval),
    }
    return Table.of([arm for arm in study.arms if arm.calibration.ece is not None], columns)


def build_class_table(study: StudyResult) -> Table:
    """Changes of accuracy by arm and class; * if the interval excludes zero."""
    arms, names = [arm for arm in study.compared if arm.classes], select_classes(study)
    rows = [[format_arm_number(study, arm), *(format_change(arm.classes.get(name)) for name in names)] for arm in arms]
    return Table(["Arm", *names], rows)


def describe_unscored_classes(study: StudyResult) -> str:
    """` No image of cat, dog was scored.`, of classes without a change in any arm; "" where there are none."""
    compared = [arm.classes for arm in study.compared if arm.classes]
    names = [
        name for name in study.classes if all(each.get(name, Difference()).difference is None for each in compared)
    ]
    return f" No image of {join_first(names, 3)} was scored." if compared and names else ""


def select_classes(study: StudyResult) -> list[str]:
    """The classes, at most `MOST_CLASSES`: those that change most."""
    names = list(study.classes) or list(dict.fromkeys(name for arm in study.compared for name in arm.classes))
    found = [[abs(arm.classes.get(name, Difference()).difference or 0.0) for arm in study.compared] for name in names]
    changes = dict(zip(names, (max(sizes, default=0.0) for sizes in found), strict=True))
    most = sorted(names, key=lambda name: -changes[name])[:MOST_CLASSES]
    return [name for name in names if name in most]


def format_change(change: Difference | None) -> str:
    """`+1.2`, with * if the interval excludes zero."""
    if change is None or change.difference is None:
        return UNKNOWN
    star = "*" if change.interval is not None and not change.interval.low <= 0 <= change.interval.high else ""
    return f"{format_signed(100 * change.difference, 1)}{star}"


def build_effects_table(study: StudyResult, found: Sequence[DesignEffect], what: str) -> Table:
    """Main effects or interactions of a design."""
    columns: Columns = {
        what: lambda each: each.name,
        "Effect": lambda each: study.scale.difference(each.estimate),
        f"{format_level(study.level)} interval": lambda each: format_interval(study.scale, each.headline),
        "p, joint": lambda each: format_p_value(each.headline_p),
        "Verdict": lambda each: add_sign(each.verdict) if each.verdict else UNKNOWN,
    }
    return Table.of(found, columns, ["Verdict"])


def build_first_stage_table(study: StudyResult) -> Table:
    """The effects of stage 1 and what was followed, by the size of the evidence."""
    columns: Columns = {
        "Technique": lambda each: each.name,
        "Main effect": lambda each: study.scale.difference(each.estimate),
        f"{format_level(study.level)} interval": lambda each: format_interval(study.scale, each.interval),
        "p": lambda each: format_p_value(each.p_value),
        "Stage 2": lambda each: each.verdict,
    }
    return Table.of(
        sorted(study.screening.effects, key=lambda each: each.p_value or 0.0), columns, ["Technique", "Stage 2"]
    )


def build_cells_table(study: StudyResult) -> Table:
    """The overrides of each cell of stage 1 and the directory of its run."""
    rows = [
        [name, Code(join_command(cell["overrides"])), link(Code(cell["run"]), quote(f"{cell['run']}/"))]
        for name, cell in study.screening.cells.items()
        if cell.get("run")
    ]
    return Table(["Cell", "Overrides", "Run"], rows, ["Cell", "Overrides", "Run"])


def build_config_changes_table(study: StudyResult) -> Table:
    """What each arm changes in its reference, or in the configuration of the command: a row per slot and value.

    Values that its option does not have are left out.
    """
    names = ["Arm", "Key", "Before", "Here"]
    rows = [
        [
            format_arm_number(study, arm),
            *map(Code, (key, *(format_yaml_value(each, none=UNKNOWN) for each in pair))),
        ]
        for arm in study.arms
        for key, pair in arm.differences.items()
        if not key.endswith("_target_") and (pair[1] is not None or not has_new_option(arm, key))
    ]
    return Table(names, rows, names)


def has_new_option(arm: StudyArm, key: str) -> bool:
    """Whether the arm chooses another option for the slot of the key."""
    return key.rpartition(".")[0].replace(".", "/") in arm.differences


def build_overrides_table(study: StudyResult) -> Table:
    """What each arm overrides beyond its reference, and the directories of its runs."""
    columns: Columns = {
        "Arm": lambda arm: format_arm_number(study, arm),
        "Overrides": lambda arm: Code(join_command(arm.overrides) or UNKNOWN),
        "Runs by seed": lambda arm: link_runs(study, arm),
    }
    return Table.of(study.arms, columns, columns)


def link_runs(study: StudyResult, arm: StudyArm) -> Markup:
    """Links to the first `MOST_RUNS` runs: to the page of a run where it has one, else to its directory."""
    links = [
        link(
            Code(seed), quote(f"{place}/{'report.html' if (study.directory / place / 'report.html').exists() else ''}")
        )
        for seed, place in list(arm.runs.items())[:MOST_RUNS]
    ]
    rest = len(arm.runs) - MOST_RUNS
    return Markup(" ").join([*links, *([f"and {rest:,} more"] if rest > 0 else [])])


def build_environment_table(study: StudyResult) -> Table:
    found = study.environment
    facts = {name: value for name, value in found.items() if name != "versions"} | dict(found.get("versions") or {})
    rows = [[str(name), Code(value)] for name, value in facts.items() if value is not None]
    return Table(["What", "Which"], rows, ["Which"])
