"""The configuration of one run: chosen options, values, and the typed experiment that they build."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from textwrap import fill
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.credentials import hide_in_values
from sota_exp.config.data_paths import make_paths_absolute
from sota_exp.config.formats import targets_to_option_names
from sota_exp.config.hydra_compose import SWEEP_KEYS, list_config_groups
from sota_exp.config.signals import postponed_interrupt
from sota_exp.config.values import flatten, get_override_key, require_option
from sota_exp.errors import ConfigError, NotTrainable, first_line

if TYPE_CHECKING:
    from sota_exp.config.experiment import Experiment

#: An interpolation that is nothing but another key, with or without a default.
REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^{}]*)?\}")

#: Keys that a run does not have. `gradient_descent`: the recipe's learning rates for optimizer=sgd and nesterov.
#: `experiment`: what its file sets says what the run is.
NON_RUN_KEYS = (*SWEEP_KEYS, "gradient_descent", "experiment")


@dataclass(frozen=True, kw_only=True, repr=False)
class Configuration:
    """The configuration of one run.

    choices: group or slot → option, such as {"augmentation/mix": "mixup"}.
    values: all values, nested and resolved; the name of an option is its key `_option_`.
    typed_keys: key → the key that the user set, from which it has its value: `scale.epochs` for the number of epochs.
    """

    choices: dict[str, str]
    values: dict[str, Any]
    typed_keys: dict[str, str] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """The options that do something; all values are hundreds."""
        chosen = [f"{slot}={option}" for slot, option in self.choices.items() if option != "none"]
        return fill(f"<Configuration {' '.join(chosen)}>", width=120, break_on_hyphens=False)

    @cached_property
    def experiment(self) -> "Experiment":
        """The typed experiment, built once; imports torch.

        Raises:
            ConfigError: a value is not legal; it is named by the key that the user set.
        """
        with postponed_interrupt():
            from sota_exp.config.build import build
            from sota_exp.config.experiment import Experiment
        with self.name_typed_keys():
            return build(Experiment, self.values)

    @contextmanager
    def name_typed_keys(self) -> Iterator[None]:
        """While entered, an error begins with the key that the user set.

        Raises:
            ConfigError: such an error.
        """
        try:
            yield
        except ConfigError as error:
            found = re.match(r"[\w.]+", str(error))
            key = found[0] if found else ""
            if key not in self.typed_keys:
                raise
            raise type(error)(self.typed_keys[key] + str(error).removeprefix(key)) from error

    def with_values(self, **values: Any) -> "Configuration":
        """A copy with other values at the top level: `seed`, `batch_size`, or whole groups."""
        return replace(self, values={**self.values, **values})


def resolve_configuration(
    config: DictConfig, choices: Mapping[str, str], overrides: Iterable[str] = ()
) -> Configuration:
    """The configuration of the run in `config`, which Hydra composed with `overrides`, with interpolations resolved.

    Raises:
        ConfigError: an interpolation refers to a missing key.
    """
    try:
        tree = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {first_line(error)}") from error
    assert isinstance(tree, dict)
    own = choices.keys() - set(list_config_groups())
    chosen = {
        group: option
        for group, option in choices.items()
        if group not in own and group.split("/")[0] not in NON_RUN_KEYS
    }
    values = hide_in_values({key: value for key, value in tree.items() if key not in NON_RUN_KEYS})
    named = targets_to_option_names(values, chosen)
    make_paths_absolute(named)
    return Configuration(choices=chosen, values=named, typed_keys=find_typed_keys(config, overrides))


def find_typed_keys(config: DictConfig, overrides: Iterable[str]) -> dict[str, str]:
    """Key with an interpolation in the unresolved `config` → the key of `overrides` that it refers to."""
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    written = flatten({str(key): value for key, value in tree.items()})
    referred = {key: found[1] for key, value in written.items() if (found := REFERENCE.fullmatch(str(value)))}
    typed = {get_override_key(word) for word in overrides}
    result = {}
    for key in referred:
        source = referred[key]
        while source not in typed and source in referred:
            source = referred[source]
        if source in typed and key not in typed:
            result[key] = source
    return result


def require_filled(configuration: Configuration) -> None:
    """Check that all options are chosen and all values are set, without importing torch.

    Raises:
        ConfigError: a slot without an option.
        NotTrainable: a missing value.
    """
    for slot in configuration.choices:
        node: object = configuration.values
        for name in slot.split("/"):
            node = node.get(name) if isinstance(node, Mapping) else None
        require_option(node, slot.replace("/", "."))
    for key, value in flatten(configuration.values).items():
        if value == MISSING:
            raise NotTrainable(f"{key}: a value is missing; give one: {key}=…")
