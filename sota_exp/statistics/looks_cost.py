"""The seeds that a kind of looks takes. Without SciPy, which the console of a training does not wait for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LooksCost:
    """Seeds per arm that one kind of looks takes.

    kind: fixed, planned or anytime. most: seeds after which even an open arm ends. with_effect, without: mean seeds of
    an arm with the effect and of one without any. power: share of studies that decide the arm with the effect.
    """

    kind: str
    most: int
    with_effect: float
    without: float
    power: float
