"""The tables of a comparison, for the page and the terminal."""

from sota_exp.report.comparison.compare_runs import RunComparison
from sota_exp.report.comparison.compare_runs import SeedStatistics as Value
from sota_exp.report.document.document import DocumentTable, TableCell, build_table, cell, code
from sota_exp.report.numbers import format_interval, format_yaml_value
from sota_exp.statistics.units import SHARE_FORMAT, UNKNOWN, format_p_value

#: By number: name of the row, factor to the displayed unit, decimals.
ROWS = {
    "val/accuracy": ("val accuracy, %", 100, 2),
    "val/top5_accuracy": ("val top-5, %", 100, 2),
    "val/loss": ("val loss", 1, 4),
    "val/ece": ("val calibration error", 1, 3),
    "test/accuracy": ("test accuracy, %", 100, 2),
    "test/top5_accuracy": ("test top-5, %", 100, 2),
    "test/loss": ("test loss", 1, 4),
    "test/ece": ("test calibration error", 1, 3),
    "best/epoch": ("best epoch", 1, 0),
    "training_seconds": ("training, s", 1, 1),
    "images_per_second": ("images/s", 1, 0),
    "peak_memory_bytes": ("peak memory, MiB", 2**-20, 0),
    "parameters": ("parameters, M", 1e-6, 2),
    "flops_per_image": ("GFLOPs an image", 1e-9, 3),
}

#: Metrics that count from 0 in files and are displayed from 1.
FROM_ONE = ("best/epoch",)


def build_pair_table(comparison: RunComparison) -> DocumentTable | None:
    rows = [
        [
            cell(f"{each.second} − {each.first}"),
            cell(SHARE_FORMAT.difference(each.images.mean if each.images else None)),
            cell(format_interval(SHARE_FORMAT, each.images)),
            cell(format_interval(SHARE_FORMAT, each.seeds)),
            cell(f"{each.mcnemar.won} : {each.mcnemar.lost}" if each.mcnemar else UNKNOWN),
            cell(format_p_value(each.mcnemar.p_value if each.mcnemar else None)),
            cell(each.remark),
        ]
        for each in comparison.pairs
    ]
    names = ["Pair", "Points", "95 %: images", "95 %: seeds", "Won : lost", "McNemar p", "Remark"]
    uncorrected = f" {len(rows)} intervals, not corrected for multiple comparisons." if len(rows) > 1 else ""
    caption = (
        "Test accuracy, paired by image and by seed. Won : lost counts images that only one of the two classifies "
        f"correctly.{uncorrected}"
    )
    return build_table(caption, names, rows, ["Remark"]) if rows else None


def build_results_table(comparison: RunComparison) -> DocumentTable:
    """Slots and values that differ, scores and costs; one column per group."""
    rows = [
        [TableCell(words=[code(name)]), *(cell(format_yaml_value(part, none=UNKNOWN)) for part in found)]
        for name, found in (*comparison.choices.items(), *comparison.values.items())
    ]
    rows += [
        [
            cell(ROWS[name][0]),
            *(
                cell(format_mean_and_spread(name, value), shade=0.4 if at in comparison.best.get(name, ()) else None)
                for at, value in enumerate(values)
            ),
        ]
        for name, values in (*comparison.metrics.items(), *comparison.costs.items())
    ]
    caption = (
        "What differs, scores and costs. ±: the standard deviation over several seeds; for one run, the standard "
        "error from the number of images. Shaded: the best value, which alone is no evidence."
    )
    return build_table(caption, ["", *(group.name for group in comparison.groups)], rows)


def format_mean_and_spread(name: str, value: Value | None) -> str:
    """`83.87 ± 1.29`; no spread of zero."""
    if value is None:
        return UNKNOWN
    _, factor, decimals = ROWS[name]
    mean = f"{(value.mean + (name in FROM_ONE)) * factor:,.{decimals}f}"
    spread = value.sd if value.sd is not None else value.standard_error
    return f"{mean} ± {spread * factor:,.{max(decimals, int(name in FROM_ONE))}f}" if spread else mean
