"""From a blueprint to arms that can be trained: composed, checked against rules, and told apart from their references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.fingerprint import fingerprint, training_fingerprint
from sota_exp.config.formats import typed_key
from sota_exp.config.rules import check
from sota_exp.config.values import leaves
from sota_exp.errors import ConfigError
from sota_exp.study.plan import Arm, Blueprint, key_of, overrides

#: Composes overrides; raises `ConfigError`.
Compose = Callable[[Sequence[str]], Configuration]

#: Groups that change no number.
WITHOUT_EFFECT = ("tracking", "recipe", "scale")


#: Why an arm is its reference, where the command fixes nothing that it changes.
NO_CHANGE = "its changes say what the configuration has already"


@dataclass(frozen=True, kw_only=True)
class Base:
    """The study's own configuration: what the command line gives beside `study…`, and what that composes.

    Keys that the command fixes are fixed in every arm.
    """

    overrides: tuple[str, ...]
    configuration: Configuration

    def with_changes(self, changes: Sequence[str]) -> tuple[str, ...]:
        """The whole list of overrides of an arm."""
        fixed = {key_of(override) for override in self.overrides} - {"recipe"}
        return overrides(self.overrides, [change for change in changes if key_of(change) not in fixed])


@dataclass(frozen=True, kw_only=True)
class ReadyArm:
    """An arm that trains. `training` and `whole` are hashes of what decides weights, and of that and the evaluation."""

    arm: Arm
    overrides: tuple[str, ...]
    configuration: Configuration
    differences: dict[str, list[Any]]
    warnings: tuple[str, ...]
    training: str
    whole: str
    train_size: int

    @property
    def name(self) -> str:
        return self.arm.name


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Those that train, in order; and those that don't, with the reason."""

    ready: tuple[ReadyArm, ...]
    refused: tuple[tuple[str, str], ...]

    def named(self, name: str) -> ReadyArm:
        return next(arm for arm in self.ready if arm.name == name)


def compose_base(given: Sequence[str], compose: Compose) -> Base:
    """The configuration as it composes; whether it can be trained is asked of the arms, of which it need not be one."""
    return Base(overrides=tuple(given), configuration=compose(given))


def made_ready(blueprint: Blueprint, base: Base, compose: Compose) -> Arms:
    """Every arm that composes, breaks no rule, and differs from its reference in more than a name.

    An arm whose reference was refused is compared with the reference's reference, which is the same but for what was refused.

    Raises:
        ConfigError: an arm without reference can't be trained, so there is nothing to compare with.
    """
    ready: dict[str, ReadyArm] = {}
    stands_for: dict[str, str | None] = {}
    refused = list(blueprint.refused)
    for arm in blueprint.arms:
        reference = _standing(arm.reference, stands_for)
        try:
            made = _ready(replace(arm, reference=reference), base, ready, compose)
        except ConfigError as error:
            if arm.reference is None and not arm.is_cell:
                raise ConfigError(f"arm {arm.name}: {error}") from error
            refused.append((arm.name, str(error)))
            stands_for[arm.name] = reference
            continue
        ready[arm.name] = made
    if not any(arm.arm.reference or arm.arm.is_cell for arm in ready.values()):
        why = "; ".join(f"{name}: {reason}" for name, reason in refused)
        raise ConfigError(f"no arm is left to compare: {why or 'no technique is named'}")
    return Arms(ready=tuple(ready.values()), refused=tuple(refused))


def _standing(name: str | None, stands_for: Mapping[str, str | None]) -> str | None:
    while name is not None and name in stands_for:
        name = stands_for[name]
    return name


def _ready(arm: Arm, base: Base, ready: Mapping[str, ReadyArm], compose: Compose) -> ReadyArm:
    """The arm, composed and checked.

    Raises:
        ConfigError: it doesn't compose, a rule forbids it, or it can't differ from its reference.
    """
    whole_list = base.with_changes(arm.overrides)
    configuration = compose(whole_list)
    warnings = check(configuration)
    experiment, values = configuration.experiment, configuration.values
    training = config_digest(values)
    reference = ready.get(arm.reference or "")
    made = ReadyArm(
        arm=arm,
        overrides=whole_list,
        configuration=configuration,
        differences={} if reference is None else differences(reference.configuration.values, values),
        warnings=tuple(warnings),
        training=training,
        whole=fingerprint(training, values),
        train_size=experiment.augmentation.train_size(experiment.data.image_size),
    )
    if reference is not None and made.whole == reference.whole and arm.seed_offset == reference.arm.seed_offset:
        raise ConfigError(_why_equal(arm, reference, base))
    return made


def config_digest(tree: Mapping[str, Any]) -> str:
    """What decides the weights but for seed and images, as a hash."""
    return training_fingerprint({**tree, "seed": None}, {})


def _why_equal(arm: Arm, reference: ReadyArm, base: Base) -> str:
    fixed = {key_of(override) for override in base.overrides}
    kept = [
        override for override in base.overrides if key_of(override) in {key_of(item) for item in arm.overrides} & fixed
    ]
    why = f"the command fixes {', '.join(kept)}" if kept else NO_CHANGE
    return f"it trains and evaluates exactly as its reference, {reference.name}, does: {why}"


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{key: [value in the one, value in the other]} of what can change a number; None where a side has no such key."""
    first, second = (
        leaves({key: node for key, node in tree.items() if key not in WITHOUT_EFFECT}) for tree in (one, other)
    )
    keys = [key for key in {**first, **second} if key != "seed"]
    differing = [key for key in keys if first.get(key, ...) != second.get(key, ...)]
    return {typed_key(key): [first.get(key), second.get(key)] for key in differing}
