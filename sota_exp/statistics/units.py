"""How metrics and differences are formatted: shares in percent and points, losses plain; and which way is better."""

import math
import re
from dataclasses import dataclass

#: Shown in place of an unknown value.
UNKNOWN = "–"

#: Metric that every run measures on val and test → its words.
METRIC_WORDS = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    "loss": "loss",
    "ece": "calibration error",
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "balanced_accuracy": "balanced accuracy",
    "kappa": "Cohen's κ",
}

#: Metric of a result → whether higher is better.
HIGHER_IS_BETTER = {
    f"{split}/{name}": name not in ("loss", "ece") for split in ("val", "test") for name in METRIC_WORDS
}


def find_direction(metric: str) -> bool | None:
    """Whether higher is better; None for a metric of one's own (evaluation/metrics), of which this is not known."""
    if re.fullmatch(r"(val|test)/top\d+_accuracy", metric):
        return True
    return HIGHER_IS_BETTER.get(metric)


@dataclass(frozen=True, kw_only=True)
class MetricFormat:
    """How a metric is formatted: times `factor`, with `decimals`, in `unit`; differences in `difference_unit`.

    highest, lowest: the largest and the smallest possible value.
    """

    factor: float
    decimals: int
    unit: str
    difference_unit: str
    highest: float = math.inf
    lowest: float = 0.0

    def spread(self, mean: float, sd: float | None) -> tuple[float, float]:
        """The ends of mean ± sd, within the possible values."""
        return max(self.lowest, mean - (sd or 0.0)), min(self.highest, mean + (sd or 0.0))

    def value(self, value: float | None) -> str:
        """Without decimals from 1,000 on."""
        if value is None:
            return UNKNOWN
        shown = value * self.factor
        return f"{shown:.{self.decimals}f}" if abs(shown) < 1000 else f"{shown:,.0f}"

    def difference(self, value: float | None) -> str:
        """A difference with its sign: `+1.24`, `−0.31`, `0.00`."""
        return UNKNOWN if value is None else format_signed(value * self.factor, self.decimals)

    def span(self, low: float, high: float, between: str = " to ") -> str:
        return f"{self.difference(low)}{between}{self.difference(high)}"

    def format_with_unit(self, value: float | None) -> str:
        return self.value(value) + (f" {self.unit}" if self.unit and value is not None else "")

    def title(self, name: str) -> str:
        """A name with the unit, for a column or an axis: `test/accuracy, %`."""
        return f"{name}, {self.unit}" if self.unit else name

    def difference_title(self, name: str) -> str:
        return f"{name}, {self.difference_unit}" if self.difference_unit else name

    def size(self, value: float) -> str:
        """The size of a difference with its unit and without sign: `1.20 points`, or `0.0120`."""
        return f"{self.value(value)} {self.difference_unit}".rstrip()

    def format_difference_with_unit(self, value: float | None) -> str:
        unit = f" {self.difference_unit}" if self.difference_unit and value is not None else ""
        return self.difference(value) + unit


SHARE_FORMAT = MetricFormat(factor=100, decimals=2, unit="%", difference_unit="points", highest=1.0)
PLAIN_FORMAT = MetricFormat(factor=1, decimals=4, unit="", difference_unit="")
SIGNED_FORMAT = MetricFormat(factor=1, decimals=4, unit="", difference_unit="", lowest=-math.inf)
SECONDS_FORMAT = MetricFormat(factor=1, decimals=1, unit="s", difference_unit="s")


#: Names of the shares of images, and of the other metrics of every run in [0, 1]; one of one's own may be in any unit.
SHARES_OF_IMAGES = re.compile(r"(\w+/)?(top\d+_)?accuracy")
OTHER_SHARES = re.compile(r"(\w+/)?(ece|balanced_accuracy|macro_(f1|precision|recall))")


def get_metric_format(metric: str) -> MetricFormat:
    if is_share_of_images(metric) or OTHER_SHARES.fullmatch(metric):
        return SHARE_FORMAT
    is_positive = metric.endswith("loss") or metric.startswith("cost/")
    return PLAIN_FORMAT if is_positive else SIGNED_FORMAT  # κ and metrics of one's own may be negative


def is_share_of_images(metric: str) -> bool:
    """Whether the metric is a number of images divided by that of all, so that its standard error is a binomial one."""
    return bool(SHARES_OF_IMAGES.fullmatch(metric))


def format_signed(value: float, decimals: int) -> str:
    """A number with its sign, minus as U+2212; no sign where it rounds to zero."""
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def format_level(level: float) -> str:
    """A level of confidence: `95 %`, `99.5 %`."""
    return f"{100 * level:g} %"


def format_p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"
