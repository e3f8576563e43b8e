"""In which unit a metric and its differences are said: shares in percent and points, losses as they are."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Unit:
    """`factor` times a value, with so many digits after the point. percent: of values; points: of differences."""

    factor: float
    digits: int
    percent: str
    points: str

    def value(self, value: float) -> str:
        return f"{self.factor * value:.{self.digits}f}"

    def signed(self, value: float) -> str:
        return f"{self.factor * value:+.{self.digits}f}"

    def said(self, value: float, is_signed: bool = False) -> str:
        """`1.20 points`, or `0.0120`."""
        return f"{self.signed(value) if is_signed else self.value(value)}{self.points and ' '}{self.points}"

    def interval(self, low: float, high: float, between: str = " to ") -> str:
        return f"{self.signed(low)}{between}{self.signed(high)}"


SHARE = Unit(factor=100, digits=2, percent=" %", points="points")
PLAIN = Unit(factor=1, digits=4, percent="", points="")


def unit_of(metric: str) -> Unit:
    return SHARE if metric.endswith(("accuracy", "ece")) else PLAIN
