"""The search space: knobs (searched keys), conditional knobs, coordinates of derived knobs, and fixed overrides."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from sota_exp.errors import ConfigError
from sota_exp.sweep.knobs import format_value, is_meant, parse_override

#: Groups whose overrides do not change results: a sweep can be continued with other values of them.
GROUPS_WITHOUT_EFFECT = ("tracking", "runtime", "hydra")

#: Stands for a value that a distribution does not contain; null may be one that it does.
ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class ConditionalKnob:
    """A knob that is searched only for some options of a slot. name: of its parameter in Optuna."""

    slot: str
    options: tuple[str, ...]
    knob: str
    name: str
    distribution: BaseDistribution


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The search space.

    knobs: {name: distribution}, searched in every trial. derived: {knob: (coordinate, other knob)}; the knob is their
    quotient. fixed: {key: value} of the overrides of every trial. bare: overrides without a value (`~key`).
    """

    knobs: dict[str, BaseDistribution]
    conditions: tuple[ConditionalKnob, ...]
    derived_knobs: dict[str, tuple[str, str]]
    fixed_overrides: dict[str, str]
    bare_overrides: tuple[str, ...]

    @property
    def coordinates(self) -> set[str]:
        """Names that Optuna searches but that are no key of the configuration."""
        return {coordinate for coordinate, _ in self.derived_knobs.values()}

    @property
    def result_overrides(self) -> dict[str, str]:
        """Fixed overrides that change results."""
        return {
            key: value
            for key, value in self.fixed_overrides.items()
            if key.lstrip("+").split(".")[0] not in GROUPS_WITHOUT_EFFECT
        }

    def describe(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Everything that must be equal for trials to be comparable, as {key: text}. settings: added as they are."""
        counted = self.result_overrides
        searched = {name: _format_distribution(distribution) for name, distribution in self.knobs.items()}
        searched |= {
            f"{item.knob} with {item.slot}={'|'.join(item.options)}": _format_distribution(item.distribution)
            for item in self.conditions
        }
        quotients = {knob: f"{top} / {bottom}" for knob, (top, bottom) in self.derived_knobs.items()}
        bare = dict.fromkeys(self.bare_overrides, "")
        return searched | quotients | counted | bare | {key: str(value) for key, value in settings.items()}

    def draw_values(self, trial: Trial, chosen: Mapping[str, str]) -> dict[str, Any]:
        """Draw the values of a trial; returns {knob: value}. chosen: the option of every slot outside the search."""
        values: dict[str, Any] = {name: trial._suggest(name, kind) for name, kind in self.knobs.items()}
        options = {**chosen, **self.fixed_overrides, **{name: str(value) for name, value in values.items()}}
        for item in self.conditions:
            if options.get(item.slot) in item.options:
                values[item.knob] = trial._suggest(item.name, item.distribution)
        known = {**{name: parse_number(text) for name, text in self.fixed_overrides.items()}, **values}
        quotients = {
            knob: known[top] / known[bottom]
            for knob, (top, bottom) in self.derived_knobs.items()
            if knob not in self.fixed_overrides
        }
        return {name: value for name, value in values.items() if name not in self.coordinates} | quotients

    def point(self, run: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        """Convert a run to a point for `study.enqueue_trial`; parameters that the space cannot draw are left out.

        run: values by dotted key. options: the option of every slot.
        """
        values = {**run, **options}
        for knob, (top, bottom) in self.derived_knobs.items():
            if knob in values and bottom in values:
                values[top] = float(values[knob]) * float(values[bottom])
        found = {name: _to_legal_value(kind, values[name]) for name, kind in self.knobs.items() if name in values}
        for item in self.conditions:
            if options.get(item.slot) in item.options and item.knob in values:
                found[item.name] = _to_legal_value(item.distribution, values[item.knob])
        return {name: value for name, value in found.items() if value is not ABSENT}

    def overrides(self, knobs: Mapping[str, Any]) -> list[str]:
        """The overrides of a run, including the fixed ones."""
        values = {**self.fixed_overrides, **knobs}
        return [*(f"{key}={format_value(value)}" for key, value in values.items()), *self.bare_overrides]


def is_search(override: str) -> bool:
    """Whether an override chooses the option of `search`, which is no part of a run."""
    return override.lstrip("+").partition("=")[0] == "search"


def read_space(
    params: Mapping[str, Any], conditional: Mapping[str, Any], derived: Mapping[str, str], arguments: list[str]
) -> SearchSpace:
    """The search space of `hydra.sweeper`, changed by the overrides of the command line.

    Raises:
        ConfigError: a declaration cannot be parsed or is inconsistent, or nothing is searched.
    """
    declared = [f"{key}={format_value(value)}" for key, value in params.items()]
    kept = [item for item in arguments if not is_search(item)]
    knobs, fixed, bare = _parse_overrides([*declared, *kept])
    knobs = {name: kind for name, kind in knobs.items() if name not in fixed}
    quotients = {knob: _parse_quotient(knob, text) for knob, text in derived.items()}
    wanted = {coordinate for coordinate, _ in quotients.values()}
    if coordinates := wanted & set(fixed):
        raise ConfigError(
            f"{', '.join(coordinates)} is a coordinate of the search, not a key of a run; it cannot be fixed"
        )
    for knob, (top, bottom) in quotients.items():
        if knob in fixed:
            knobs.pop(top, None)
        elif missing := [name for name in (top, bottom) if name not in knobs and name not in fixed]:
            raise ConfigError(f"hydra.sweeper.derived: {knob} needs {' and '.join(missing)} in hydra.sweeper.params")
    conditions = tuple(_read_conditions(conditional, fixed))
    if not knobs and not conditions:
        raise ConfigError(
            "there is nothing to search: choose search=…, or give a knob a range, such as "
            "'optimizer.lr=tag(log,interval(0.01,1))'"
        )
    return SearchSpace(
        knobs=knobs, conditions=conditions, derived_knobs=quotients, fixed_overrides=fixed, bare_overrides=tuple(bare)
    )


def _parse_overrides(overrides: list[str]) -> tuple[dict[str, BaseDistribution], dict[str, str], list[str]]:
    """Split overrides into searched, fixed, and those without a value; of a repeated key the last one counts."""
    last = {item.lstrip("+").partition("=")[0]: item for item in overrides}
    bare = [item for item in last.values() if item.startswith("~")]
    parsed = dict(parse_override(item) for item in last.values() if item not in bare)
    knobs = {name: kind for name, kind in parsed.items() if isinstance(kind, BaseDistribution)}
    return knobs, {name: text for name, text in parsed.items() if isinstance(text, str)}, bare


def _parse_quotient(knob: str, text: str) -> tuple[str, str]:
    found = re.fullmatch(r"\s*([\w.]+)\s*/\s*([\w.]+)\s*", str(text))
    if found is None:
        raise ConfigError(f"hydra.sweeper.derived: {knob}: {text} is not `coordinate / knob`")
    return found[1], found[2]


def _read_conditions(conditional: Mapping[str, Any], fixed: Mapping[str, str]) -> Iterator[ConditionalKnob]:
    """A knob with different ranges under different options becomes several parameters in Optuna."""
    declared = [(when, knob, str(text)) for when, knobs in conditional.items() for knob, text in knobs.items()]
    ranges = {knob: {text for _, name, text in declared if name == knob} for _, knob, _ in declared}
    for when, knob, text in declared:
        slot, sign, options = when.partition("=")
        if not sign or not options:
            raise ConfigError(f"hydra.sweeper.conditional: {when} is not slot=option or slot=option|option")
        if knob in fixed:
            continue
        knobs, _, _ = _parse_overrides([f"{knob}={text}"])
        if knob not in knobs:
            raise ConfigError(
                f"hydra.sweeper.conditional: {knob}={text} is not a range; give it an interval, range or choice"
            )
        name = knob if len(ranges[knob]) == 1 else f"{knob} ({options})"
        yield ConditionalKnob(
            slot=slot, options=tuple(options.split("|")), knob=knob, name=name, distribution=knobs[knob]
        )


def _format_distribution(distribution: BaseDistribution) -> str:
    """A distribution as text, to print and to compare."""
    facts = vars(distribution)
    if "choices" in facts:
        return f"one of {', '.join(map(str, facts['choices']))}"
    step = (
        f" in steps of {distribution.step}" if isinstance(distribution, FloatDistribution) and distribution.step else ""
    )
    whole = ", whole numbers" if isinstance(distribution, IntDistribution) else ""
    log = ", by its logarithm" if facts.get("log") else ""
    return f"{facts['low']:g} to {facts['high']:g}{step}{whole}{log}"


def parse_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _to_legal_value(distribution: BaseDistribution, value: Any) -> Any:
    """The value in the type of the distribution; `ABSENT` if the distribution does not contain it."""
    choices = vars(distribution).get("choices")
    if choices is not None:
        return next((choice for choice in choices if is_meant(choice, value)), ABSENT)
    try:
        number = type(vars(distribution).get("low", 0.0))(value)
        is_drawn = number == float(value) and distribution._contains(distribution.to_internal_repr(number))
    except (TypeError, ValueError, OverflowError):  # such as 0 in a logarithmic range
        return ABSENT
    return number if is_drawn else ABSENT
