"""The configuration of one run: chosen options, values, and the typed experiment that they build."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sota_exp.config.data_paths import make_paths_absolute
from sota_exp.config.formats import targets_to_option_names
from sota_exp.config.values import flatten, require_option
from sota_exp.errors import ConfigError, first_line

if TYPE_CHECKING:
    from sota_exp.config.experiment import Experiment

#: Keys of the composed configuration that belong to Hydra, a sweep or a study, not to a run.
SWEEP_KEYS = ("hydra", "search", "study")

#: Keys that a run does not have. `gradient_descent`: the recipe's learning rates for optimizer=sgd and nesterov.
NON_RUN_KEYS = (*SWEEP_KEYS, "gradient_descent")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The configuration of one run.

    choices: group or slot → option, such as {"augmentation/mix": "mixup"}.
    values: all values, nested and resolved; the name of an option is its key `_option_`.
    """

    choices: dict[str, str]
    values: dict[str, Any]

    @cached_property
    def experiment(self) -> "Experiment":
        """The typed experiment, built once; imports torch."""
        from sota_exp.config.build import build
        from sota_exp.config.experiment import Experiment

        return build(Experiment, self.values)

    def with_values(self, **values: Any) -> "Configuration":
        """A copy with other values at the top level: `seed`, `batch_size`, or whole groups."""
        return replace(self, values={**self.values, **values})


def resolve_configuration(config: DictConfig, choices: Mapping[str, str]) -> Configuration:
    """The configuration of the run in `config`, which Hydra composed, with interpolations resolved.

    Raises:
        ConfigError: an interpolation refers to a missing key.
    """
    try:
        tree = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {first_line(error)}") from error
    assert isinstance(tree, dict)
    chosen = {group: option for group, option in choices.items() if group.split("/")[0] not in NON_RUN_KEYS}
    values = {key: value for key, value in tree.items() if key not in NON_RUN_KEYS}
    named = targets_to_option_names(values, chosen)
    make_paths_absolute(named)
    return Configuration(choices=chosen, values=named)


def require_filled(configuration: Configuration) -> None:
    """Check that all options are chosen and all values are set, without importing torch.

    Raises:
        ConfigError: a slot without an option, or a missing value.
    """
    for slot in configuration.choices:
        node: object = configuration.values
        for name in slot.split("/"):
            node = node.get(name) if isinstance(node, Mapping) else None
        require_option(node, slot.replace("/", "."))
    for key, value in flatten(configuration.values).items():
        if value == MISSING:
            raise ConfigError(f"{key}: a value is missing; give one: {key}=…")
