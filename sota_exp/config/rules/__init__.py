"""Rules on combinations of options that cannot work or are likely mistakes; `sota-exp explain` prints those that fire.

A rule reads the chosen options and the resolved values. No rule imports torch, so that mistakes are reported at once.
"""

from sota_exp.config.configuration import Configuration, require_filled
from sota_exp.config.data_paths import check_data_paths
from sota_exp.config.rules.conditions import Rule
from sota_exp.config.rules.images import IMAGE_RULES
from sota_exp.config.rules.network import NETWORK_RULES
from sota_exp.config.rules.training import TRAINING_RULES
from sota_exp.config.source_types import check_values
from sota_exp.errors import NotTrainable

RULES: tuple[Rule, ...] = (*IMAGE_RULES, *NETWORK_RULES, *TRAINING_RULES)


def find_fired_rules(configuration: Configuration) -> list[Rule]:
    """The rules that fire on a configuration."""
    return [rule for rule in RULES if rule.condition(configuration)]


def check_each_value(configuration: Configuration, trains: bool = True) -> None:
    """Check a configuration without the rules, which are about several options. trains: see `check_data_paths`.

    Raises:
        ConfigError: an option is missing, or a value is not legal.
        NotTrainable: a value is missing.
    """
    require_filled(configuration)
    with configuration.name_typed_keys():
        check_data_paths(configuration.values, trains)
        check_values(configuration.values)


def check_rules(configuration: Configuration, trains: bool = True) -> list[str]:
    """Check a configuration against all rules and return the warnings. trains: see `check_data_paths`.

    Raises:
        ConfigError: an option is missing, or a value is not legal.
        NotTrainable: a value is missing, or a rule of level error fires.
    """
    check_each_value(configuration, trains)
    rules = find_fired_rules(configuration)
    for rule in rules:
        if rule.level == "error":
            raise NotTrainable(str(rule))
    return [str(rule) for rule in rules]
