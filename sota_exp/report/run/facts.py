"""The words on a run that its page, its note in MLflow and the terminal share: scores, classes, techniques, command."""

from collections.abc import Mapping
from typing import Any

from sota_exp.config.shell_words import join_command
from sota_exp.config.values import join_first
from sota_exp.report.numbers import format_accuracy, format_percent
from sota_exp.runs.contents import RunContent
from sota_exp.runs.scored_images import get_independent_images
from sota_exp.statistics.proportion import wilson_interval
from sota_exp.statistics.units import METRIC_WORDS, SHARE_FORMAT, get_metric_format

#: Names of neutral options, in any slot.
NEUTRAL_OPTIONS = ("none", "native", "full", "fixed", "standard", "scratch", "step", "plain")

#: Columns of the table of scores.
SCORE_HEADINGS = ("split", "accuracy", "95 % interval", "top-5", "loss", "calibration error", "images")
NAMES_OF_SCORES = ("accuracy", "top5_accuracy", "loss", "ece")


def format_score_cells(result: dict[str, Any], split: str) -> list[str]:
    """The row of a split below `SCORE_HEADINGS`, with the interval over images after the accuracy."""
    metrics, num = result["metrics"], result["evaluated_images"][split]
    accuracy, top5 = metrics[f"{split}/accuracy"], metrics.get(f"{split}/top5_accuracy")
    low, high = wilson_interval(accuracy, get_independent_images(result, split))
    return [
        format_accuracy(accuracy),
        f"{SHARE_FORMAT.value(low)} to {format_accuracy(high)}",
        format_accuracy(top5),
        f"{metrics[f'{split}/loss']:.4f}",
        format_accuracy(metrics[f"{split}/ece"]),
        f"{num:,}",
    ]


def list_further_scores(result: dict[str, Any]) -> list[list[str]]:
    """A row per split, below one of headings: means over classes, κ, own metrics; [] of versions without any."""
    metrics, splits = result["metrics"], list(result["evaluated_images"])
    measured = dict.fromkeys(key.partition("/")[2] for key in metrics if key.partition("/")[0] in splits)
    # Macro recall is the balanced accuracy.
    names = [name for name in measured if name not in (*NAMES_OF_SCORES, "macro_recall")]
    rows = [
        [split, *(get_metric_format(name).format_with_unit(metrics.get(f"{split}/{name}")) for name in names)]
        for split in splits
    ]
    return [["split", *(METRIC_WORDS.get(name, name) for name in names)], *rows] if names else []


def format_confused_pairs(result: dict[str, Any], most: int = 3) -> str:
    """The pairs of classes that are confused most often: `cat as dog 12 (8 %)`; "" without any."""
    pairs = result.get("confused_pairs", [])[:most]
    return ", ".join(
        f"{pair['label']} as {pair['prediction']} {pair['images']} ({format_percent(pair['share'])})" for pair in pairs
    )


def find_extreme_classes(result: dict[str, Any]) -> dict[str, str]:
    """Heading → up to three of the hardest and easiest classes on the last scored part, and those without images."""
    accuracies = result["per_class_accuracy"]
    ranked = sorted((share, name) for name, share in accuracies.items() if share is not None)
    num = max(1, min(3, len(ranked) // 2))
    part = [*result["evaluated_images"]][-1]
    # A class as easy as the easiest is not hard, and one of which nothing is recognized is not easy.
    hardest = [each for each in ranked[:num] if each[0] < ranked[-1][0] or each[0] == 0]
    extremes = {f"hardest on {part}": hardest, f"easiest on {part}": [each for each in ranked[-num:] if each[0] > 0]}
    found = {
        heading: ", ".join(f"{name} {format_percent(share)}" for share, name in some)
        for heading, some in extremes.items()
        if some
    }
    absent = [name for name, share in accuracies.items() if share is None]
    unscored = f"{join_first(absent, 3)}; macro scores are means over the other classes"
    return found | ({f"without {part} images": unscored} if absent else {})


def format_model_cost(result: dict[str, Any]) -> str:
    return (
        f"{result['parameters'] / 1e6:.2f} M parameters, {result['flops_per_image'] / 1e9:.3f} GFLOPs per image, "
        f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB peak memory"
    )


def list_techniques(choices: Mapping[str, str]) -> list[str]:
    """`slot=option` of every slot of the method whose option is not neutral."""
    return [
        f"{slot}={option}"
        for slot, option in choices.items()
        if option not in NEUTRAL_OPTIONS
        and not slot.startswith("data/")
        and ("/" in slot or slot in ("optimizer", "loss", "supervision"))
    ]


def format_command(content: RunContent) -> str:
    """The command that repeats the run; "" where the network was handed in from Python."""
    if content.is_from_python("model/arch"):
        return ""
    from sota_exp.config.search_path import format_config_directories, read_config_directories  # imports Hydra

    places = format_config_directories(read_config_directories(content.directory))
    return join_command(["sota-exp", "train", *places, *map(str, content.origin.get("overrides", []))])
