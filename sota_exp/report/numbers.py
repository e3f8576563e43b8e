"""Numbers as people read them: percentage points with a sign, shares in percent, p-values, times, sizes. – is unknown."""

from collections.abc import Callable
from dataclasses import dataclass

from sota_exp.report.study import Interval

#: What stands where nothing is known.
UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How values of a metric are shown: multiplied by `factor`, with `decimals`, as `unit`; differences in `difference_unit`."""

    factor: float
    decimals: int
    unit: str
    difference_unit: str

    def value(self, value: float | None) -> str:
        return UNKNOWN if value is None else f"{value * self.factor:.{self.decimals}f}"

    def difference(self, value: float | None) -> str:
        """With its sign: `+1.24`, `−0.31`, `0.00`."""
        return UNKNOWN if value is None else signed(value * self.factor, self.decimals)

    def interval(self, interval: Interval | None) -> str:
        return UNKNOWN if interval is None else f"{self.difference(interval.low)} to {self.difference(interval.high)}"

    def with_unit(self, value: float | None) -> str:
        return self.value(value) + (f" {self.unit}" if self.unit and value is not None else "")

    def difference_with_unit(self, value: float | None) -> str:
        unit = f" {self.difference_unit}" if self.difference_unit and value is not None else ""
        return self.difference(value) + unit


SHARE = Scale(factor=100, decimals=2, unit="%", difference_unit="points")
PLAIN = Scale(factor=1, decimals=4, unit="", difference_unit="")
SECONDS = Scale(factor=1, decimals=1, unit="s", difference_unit="s")


def scale_of(is_share: bool) -> Scale:
    return SHARE if is_share else PLAIN


def signed(value: float, decimals: int) -> str:
    """With a true minus; nothing before what rounds to zero."""
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


def duration(seconds: float | None) -> str:
    """`48 s`, `12 min 5 s`, `3 h 20 min`; tenths below ten seconds."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def time_unit(longest: float) -> tuple[str, float]:
    """The unit in which times up to `longest` seconds are drawn, and its seconds."""
    return next((unit for unit in (("s", 1.0), ("minutes", 60.0)) if longest < 300 * unit[1]), ("hours", 3600.0))


def size(num: float | None) -> str:
    return known(num, lambda value: f"{value / 2**20:,.0f} MiB")


def quantity(value: float | None, unit: str = "") -> str:
    """Three figures and a power's letter: `12.3 M`, `1.61 GFLOPs`."""
    if value is None:
        return UNKNOWN
    for power, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g} {letter}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def known(value: float | None, text: Callable[[float], str]) -> str:
    return UNKNOWN if value is None else text(value)


def count(num: int, noun: str, plural: str | None = None) -> str:
    """`1 seed`, `8 seeds`."""
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
