"""How metrics and differences are formatted: shares in percent and points, losses plain; and which way is better."""

import math
from dataclasses import dataclass

#: Shown in place of an unknown value.
UNKNOWN = "–"

#: Metric of a result → whether higher is better.
HIGHER_IS_BETTER = {
    f"{split}/{name}": higher_is_better
    for split in ("val", "test")
    for name, higher_is_better in (("accuracy", True), ("top5_accuracy", True), ("loss", False), ("ece", False))
}


@dataclass(frozen=True, kw_only=True)
class MetricFormat:
    """How a metric is formatted: times `factor`, with `decimals`, in `unit`; differences in `difference_unit`.

    highest: the largest possible value; the smallest is 0.
    """

    factor: float
    decimals: int
    unit: str
    difference_unit: str
    highest: float = math.inf

    def spread(self, mean: float, sd: float | None) -> tuple[float, float]:
        """The ends of mean ± sd, within the possible values."""
        return max(0.0, mean - (sd or 0.0)), min(self.highest, mean + (sd or 0.0))

    def value(self, value: float | None) -> str:
        return UNKNOWN if value is None else f"{value * self.factor:.{self.decimals}f}"

    def difference(self, value: float | None) -> str:
        """A difference with its sign: `+1.24`, `−0.31`, `0.00`."""
        return UNKNOWN if value is None else format_signed(value * self.factor, self.decimals)

    def span(self, low: float, high: float, between: str = " to ") -> str:
        return f"{self.difference(low)}{between}{self.difference(high)}"

    def format_with_unit(self, value: float | None) -> str:
        return self.value(value) + (f" {self.unit}" if self.unit and value is not None else "")

    def size(self, value: float) -> str:
        """The size of a difference with its unit and without sign: `1.20 points`, or `0.0120`."""
        return f"{self.value(value)} {self.difference_unit}".rstrip()

    def format_difference_with_unit(self, value: float | None) -> str:
        unit = f" {self.difference_unit}" if self.difference_unit and value is not None else ""
        return self.difference(value) + unit


SHARE_FORMAT = MetricFormat(factor=100, decimals=2, unit="%", difference_unit="points", highest=1.0)
PLAIN_FORMAT = MetricFormat(factor=1, decimals=4, unit="", difference_unit="")
SECONDS_FORMAT = MetricFormat(factor=1, decimals=1, unit="s", difference_unit="s")


def get_metric_format(metric: str) -> MetricFormat:
    return SHARE_FORMAT if metric.endswith(("accuracy", "ece")) else PLAIN_FORMAT


def format_signed(value: float, decimals: int) -> str:
    """A number with its sign, minus as U+2212; no sign where it rounds to zero."""
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def format_p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"
