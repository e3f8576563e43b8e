"""Numbers as text: intervals, times, sizes, counts. – means unknown."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sota_exp.report.study.study import ConfidenceInterval
from sota_exp.statistics.units import SHARE_FORMAT, UNKNOWN, MetricFormat

if TYPE_CHECKING:  # it imports SciPy, and the console of a training imports this module
    from sota_exp.statistics.paired import Estimate


def format_interval(scale: MetricFormat, found: "ConfidenceInterval | Estimate | None") -> str:
    return UNKNOWN if found is None else scale.span(found.low, found.high)


def format_accuracy(share: float | None) -> str:
    """`84.24 %`: accuracies have this form in every line, table and title."""
    return SHARE_FORMAT.format_with_unit(share)


def format_percent(share: float, decimals: int = 0) -> str:
    """`77 %`, for other shares than accuracies."""
    return f"{100 * share:.{decimals}f} %"


def format_duration(seconds: float | None) -> str:
    """`5.6 s`, `48 s`, `12 min 5 s`, `3 h 20 min`: tenths below ten seconds, no zero parts."""
    if seconds is None:
        return UNKNOWN
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def estimate_remaining(seconds: float, done: float, total: float, num_running: int = 0) -> float:
    """Seconds until `total` steps or runs are done, if the rest takes as long as the `done` ones did each.

    num_running: runs of other processes, of which each is half done on average.
    """
    done = min(done + num_running / 2, total)
    return seconds / max(done, 1) * max(total - done, 0)


def choose_time_unit(longest: float) -> tuple[str, float]:
    """The unit for an axis of times up to `longest` seconds, and its length in seconds."""
    return next((unit for unit in (("s", 1.0), ("minutes", 60.0)) if longest < 300 * unit[1]), ("hours", 3600.0))


def format_mebibytes(num_bytes: float | None) -> str:
    """`900 MiB`."""
    return format_or_dash(num_bytes, lambda value: f"{value / 2**20:,.0f} MiB")


def format_quantity(value: float | None, unit: str = "") -> str:
    """Three significant digits with a metric prefix: `12.3 M`, `1.61 GFLOPs`."""
    if value is None:
        return UNKNOWN
    for power, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def format_or_dash(value: float | None, format_value: Callable[[float], str]) -> str:
    """The value as text; – for None."""
    return UNKNOWN if value is None else format_value(value)


def format_yaml_value(value: object, none: str = "null") -> str:
    """A value of a configuration as YAML writes it; `none` for None."""
    return {"None": none, "True": "true", "False": "false"}.get(str(value), str(value))


def format_count(num: int, noun: str) -> str:
    """`1 seed`, `8 seeds`."""
    return f"{num:,} {noun}{'' if num == 1 else 's'}"


def format_sizes(counts: Mapping[str, int]) -> str:
    """`1,600 train, 200 val, 400 test`: the number of images of each part."""
    return ", ".join(f"{num:,} {part}" for part, num in counts.items())


def join_with_and(items: Sequence[str], most: int | None = None) -> str:
    """`a`, `a and b`, `a, b and c`; of more than `most`, the first and the number of others: `a, b and 5 more`."""
    rest = [f"{len(items) - most} more"] if most is not None and len(items) > most else []
    shown = [*items[:most], *rest]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
