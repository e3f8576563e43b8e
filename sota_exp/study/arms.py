"""From a blueprint to arms that can be trained: composed, checked against the rules, unequal to their references."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.fingerprint import compute_run_fingerprint, compute_training_fingerprint
from sota_exp.config.formats import key_to_command_line
from sota_exp.config.rules import check_rules
from sota_exp.config.split_of_seed import with_split_of_seed
from sota_exp.config.values import find_presets, flatten, get_override_key
from sota_exp.errors import ConfigError, NotTrainable
from sota_exp.study.plan import PlannedArm, StudyDesign
from sota_exp.study.technique import merge_overrides

#: Groups that change no result.
IGNORED_GROUPS = ("tracking", "recipe", "scale")

#: Why an arm equals its reference, where the command fixes nothing that the arm changes.
NO_CHANGE_REASON = "its changes set values that the configuration has already"


@dataclass(frozen=True, kw_only=True)
class StudyConfiguration:
    """The configuration of the study. Keys that the command line sets keep their value in every arm, but for options
    that an arm changes on top of the whole.

    overrides: those of the command, without those of `study`. compose: composes overrides; raises `ConfigError`.
    """

    overrides: tuple[str, ...]
    compose: Callable[[tuple[str, ...]], Configuration]

    @cached_property
    def configuration(self) -> Configuration:
        """Not checked against the rules, since it need not be one of the arms."""
        return self.compose(self.overrides)

    def combine_overrides(self, changes: Sequence[str], on_top: bool = False) -> tuple[str, ...]:
        """All overrides of an arm that changes the study's configuration by `changes`.

        on_top: whether the arm is the configuration itself with these changes. Then other options than those of the
        command are chosen too, and the values that the command gives these are left out.
        """
        choices = self.configuration.choices if on_top else {}
        pairs = [change.partition("=")[::2] for change in changes]
        slots = {key for key, option in pairs if choices.get(key, option) != option}
        places = tuple(f"{slot.replace('/', '.')}." for slot in slots - find_presets(choices))
        given = [
            word
            for word in self.overrides
            if not (key := get_override_key(word)).startswith(places) and key not in slots
        ]
        fixed = {get_override_key(override) for override in given} - {"recipe"}
        return merge_overrides(given, [change for change in changes if get_override_key(change) not in fixed])


@dataclass(frozen=True, kw_only=True)
class ComposedArm:
    """An arm that can be trained.

    arm: without a reference, its `changes` are those in the configuration of the study. overrides: those of the command
    line and of the arm. differences: key → [value in the reference, or in that configuration, value here]; of no cell.
    warnings: messages of the rules. training: hash of what decides the weights, without the seed and the images.
    whole: hash of that and of the evaluation.
    """

    arm: PlannedArm
    overrides: tuple[str, ...]
    configuration: Configuration
    differences: dict[str, list[Any]]
    warnings: tuple[str, ...]
    training: str
    whole: str

    @property
    def name(self) -> str:
        return self.arm.name

    @property
    def training_key(self) -> str:
        """Equal for arms that train the same weights with the same seeds."""
        return f"{self.training}+{self.arm.seed_offset}"


@dataclass(frozen=True, kw_only=True)
class ComposedArms:
    """The arms that can be trained, in order; and (name, reason) of those that cannot."""

    ready: tuple[ComposedArm, ...]
    refused: tuple[tuple[str, str], ...]


def compose_arms(blueprint: StudyDesign, base: StudyConfiguration) -> ComposedArms:
    """Every arm that breaks no rule, lacks no value, and differs from its reference.

    If the reference of an arm is refused, the arm is compared with the reference of that reference.

    Raises:
        ConfigError: a key, an option, a class or a value of an arm is wrong, an arm without reference cannot be
            trained, or no arm is left to compare.
    """
    ready: dict[str, ComposedArm] = {}
    replaced_by: dict[str | None, str | None] = {}
    refused = list(blueprint.refused)
    for arm in blueprint.arms:
        reference = replaced_by.get(arm.reference, arm.reference)
        try:
            ready[arm.name] = _compose_arm(replace(arm, reference=reference), base, ready)
        except ConfigError as error:
            if not isinstance(error, NotTrainable) or (arm.reference is None and not arm.is_cell):
                raise ConfigError(f"arm {arm.name}: {error}") from error
            refused.append((arm.name, str(error)))
            replaced_by[arm.name] = reference
    if not any(arm.arm.reference or arm.arm.is_cell for arm in ready.values()):
        why = "; ".join(f"{name}: {reason}" for name, reason in refused)
        raise ConfigError(f"no arm is left to compare: {why or 'no technique is named'}")
    return ComposedArms(ready=tuple(ready.values()), refused=tuple(refused))


def _compose_arm(arm: PlannedArm, base: StudyConfiguration, ready: Mapping[str, ComposedArm]) -> ComposedArm:
    """The arm.

    Raises:
        ConfigError: something in it is wrong.
        NotTrainable: a rule forbids it, it lacks a value, or it equals its reference.
    """
    reference = ready.get(arm.reference or "")
    on_top = reference is not None and not reference.arm.overrides
    whole_overrides = base.combine_overrides(arm.overrides, on_top)
    configuration = base.compose(whole_overrides)
    warnings, values = check_rules(configuration), configuration.values
    _ = configuration.experiment  # Built here, so that an illegal value ends the command before the first run.
    of_any_seed = with_split_of_seed(configuration, 0).values | {"seed": None}
    training = compute_training_fingerprint(of_any_seed, {})
    compared = base.configuration if reference is None else reference.configuration
    differences = {} if arm.is_cell else find_differences(name_options(compared), name_options(configuration))
    if arm.reference is None and not arm.is_cell:
        arm = replace(arm, changes=tuple(word for word in arm.overrides if _sets_any(word, differences)))
    composed = ComposedArm(
        arm=arm,
        overrides=whole_overrides,
        configuration=configuration,
        differences=differences,
        warnings=tuple(warnings),
        training=training,
        whole=compute_run_fingerprint(training, values),
    )
    if reference is not None and composed.whole == reference.whole and arm.seed_offset == reference.arm.seed_offset:
        raise NotTrainable(_explain_equality(arm, reference, base))
    return composed


def _sets_any(override: str, keys: Iterable[str]) -> bool:
    """Whether an override sets one of the keys, or chooses a preset that does."""
    key = get_override_key(override)
    return any(f"{each.replace('/', '.')}.".startswith(f"{key.replace('/', '.')}.") for each in keys)


def _explain_equality(arm: PlannedArm, reference: ComposedArm, base: StudyConfiguration) -> str:
    changed = {get_override_key(override) for override in arm.overrides}
    kept = [override for override in base.overrides if get_override_key(override) in changed]
    why = f"the command fixes {', '.join(kept)}" if kept else NO_CHANGE_REASON
    return f"it trains and evaluates exactly as its reference, {reference.name}, does: {why}"


def name_options(configuration: Configuration) -> dict[str, Any]:
    """The values, in which an option with a class of the user is named too, as `_option_`, in place of the class."""

    def name(node: Any, slot: str) -> Any:
        if not isinstance(node, Mapping):
            return node
        named = {key: name(value, f"{slot}/{key}".lstrip("/")) for key, value in node.items() if key != "_target_"}
        own = {"_option_": configuration.choices.get(slot, node["_target_"])} if "_target_" in node else {}
        return own | named

    return {key: name(node, key) for key, node in configuration.values.items()}


def find_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{key: [value in one, value in other]} of what can change a result; None where a side has no such key."""
    first, second = (
        flatten({key: node for key, node in tree.items() if key not in IGNORED_GROUPS}) for tree in (one, other)
    )
    keys = [key for key in {**first, **second} if key != "seed"]
    differing = [key for key in keys if first.get(key, ...) != second.get(key, ...)]
    return {key_to_command_line(key): [first.get(key), second.get(key)] for key in differing}
