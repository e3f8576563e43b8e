"""A technique of a study: the overrides that turn it on and off, and lists of overrides for sets of techniques."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sota_exp.config.values import get_override_key


@dataclass(frozen=True, kw_only=True)
class Technique:
    """The overrides that turn a technique on and off.

    scaled: key → factor; with the technique, the value of the key is that factor times its value without it.
    combined_on: another technique of the same slot → the overrides that turn on both. needs: the technique with which
    it is left out. given: a key without whose value there is nothing to compare.
    """

    name: str
    label: str
    on: tuple[str, ...]
    off: tuple[str, ...]
    scaled: Mapping[str, float] = field(default_factory=dict)
    combined_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: str | None = None
    given: str | None = None

    def at(self, choices: Mapping[str, str], values: Mapping[str, Any]) -> "Technique":
        """The technique for one configuration: scaled values become overrides, computed from its own values."""
        own = {key: float(values[key]) for key in self.scaled if isinstance(values.get(key), int | float)}
        is_on = self.is_on(choices)
        on = [f"{key}={value if is_on else value * self.scaled[key]:.10g}" for key, value in own.items()]
        off = [f"{key}={value / self.scaled[key] if is_on else value:.10g}" for key, value in own.items()]
        return replace(self, on=(*self.on, *on), off=(*self.off, *off), scaled={})

    def is_on(self, choices: Mapping[str, str]) -> bool:
        """Whether a configuration has chosen the options that turn it on, alone or beside another technique."""
        return any(_has_options(choices, overrides) for overrides in (self.on, *self.combined_on.values()))

    @property
    def keys(self) -> set[str]:
        """The keys of its overrides."""
        return {
            get_override_key(override)
            for override in (*self.on, *self.off, *itertools.chain(*self.combined_on.values()))
        }


def _has_options(choices: Mapping[str, str], overrides: Sequence[str]) -> bool:
    pairs = [override.partition("=") for override in overrides]
    return all(choices[key] == option for key, _, option in pairs if key in choices)


def merge_overrides(*parts: Sequence[str]) -> tuple[str, ...]:
    """Lists of overrides in one list; where a key occurs more than once, only its last override stays."""
    by_key: dict[str, str] = {}
    for override in itertools.chain(*parts):
        key = get_override_key(override)
        by_key.pop(key, None)
        by_key[key] = override
    return tuple(by_key.values())


def build_overrides(techniques: Sequence[Technique], on: Sequence[str]) -> tuple[str, ...]:
    """The overrides that turn on the techniques named in `on` and turn off all others.

    Those that turn off come first: some of them choose a preset, which would undo values set before it.
    """
    chosen = [technique for technique in techniques if technique.name in on]
    off = [item for technique in techniques if technique.name not in on for item in technique.off]
    both = [item for technique in chosen for other in on for item in technique.combined_on.get(other, ())]
    return merge_overrides(off, [item for technique in chosen for item in technique.on], both)


def build_slot_techniques(choices: Mapping[str, str], neutral: Mapping[str, str], taken: set[str]) -> list[Technique]:
    """One technique per slot whose chosen option is not its neutral one, except for the slots in `taken`.

    Its name is the option, or the slot where several slots have an option of this name.
    """
    found = {
        slot: option
        for slot, option in choices.items()
        if slot in neutral and option != neutral[slot] and slot not in taken
    }
    names = Counter(found.values())
    return [
        Technique(
            name=option if names[option] == 1 else slot.split("/")[-1],
            label=f"{slot.split('/')[-1].replace('_', ' ')}={option}",
            on=(f"{slot}={option}",),
            off=(f"{slot}={neutral[slot]}",),
        )
        for slot, option in found.items()
    ]
