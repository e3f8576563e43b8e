"""The trials of a sweep as its figures need them, and the axes of searched parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Most parameters in one figure.
MAX_PARAMETERS = 8


@dataclass(frozen=True, kw_only=True)
class SweepFigureData:
    """The contents of `sweep.json`: trials, the first objective and its direction."""

    summary: Mapping[str, Any]

    @property
    def trials(self) -> list[Mapping[str, Any]]:
        return list(self.summary["entries"])

    @property
    def complete(self) -> list[Mapping[str, Any]]:
        return [item for item in self.trials if item["values"]]

    @property
    def objective(self) -> str:
        return str(self.summary["objective"][0])

    @property
    def sign(self) -> int:
        return 1 if self.summary["direction"][0] == "maximize" else -1

    @property
    def parameter_names(self) -> list[str]:
        """Searched parameters with more than one value, the most important first."""
        found = {name for item in self.complete for name in item["params"]}
        varied = [name for name in sorted(found) if len({str(item["params"].get(name)) for item in self.complete}) > 1]
        shares: Mapping[str, float] = next(iter(self.summary["importances"].values()), {})
        return sorted(varied, key=lambda name: -shares.get(name, 0.0))[:MAX_PARAMETERS]

    def build_axis(self, name: str) -> "ParameterAxis":
        """The axis of a parameter."""
        values = [item["params"][name] for item in self.trials if name in item["params"]]
        if any(isinstance(value, str | bool) or value is None for value in values):
            return ParameterAxis(name=name, categories=tuple(sorted({str(value) for value in values})))
        return ParameterAxis(name=name, is_log=min(values) > 0 and max(values) / min(values) > 30)


@dataclass(frozen=True, kw_only=True)
class ParameterAxis:
    """The axis of a parameter: categories or numbers, logarithmic if max / min exceeds 30."""

    name: str
    categories: tuple[str, ...] = ()
    is_log: bool = False

    def compute_position(self, value: Any) -> float:
        if self.categories:
            return float(self.categories.index(str(value)))
        return math.log10(value) if self.is_log else float(value)

    def set_ticks(self, axis: Any) -> None:
        """Label the ticks with values of the parameter."""
        if self.categories:
            axis.set_ticks(range(len(self.categories)), self.categories)
        elif self.is_log:
            low, high = axis.get_view_interval()
            decades = list(range(math.ceil(low), math.floor(high) + 1))
            if len(decades) > 1:
                axis.set_ticks(decades, [f"$10^{{{power}}}$" for power in decades])
            else:
                ticks = np.linspace(low, high, 4)
                axis.set_ticks(ticks, [f"{10**tick:.2g}" for tick in ticks])
