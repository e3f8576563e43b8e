"""Combinations that can't work, or don't mean what they seem: one table, shown by `sota-exp explain`.

A rule sees the chosen option of every slot and the resolved values. It imports nothing heavy: mistakes end before torch starts.
"""

from sota_exp.config.configuration import Configuration, require_filled
from sota_exp.config.rules.conditions import Rule
from sota_exp.config.rules.images import OF_IMAGES
from sota_exp.config.rules.network import OF_NETWORK
from sota_exp.config.rules.training import OF_TRAINING
from sota_exp.errors import ConfigError

RULES: tuple[Rule, ...] = (*OF_IMAGES, *OF_NETWORK, *OF_TRAINING)


def fired(configuration: Configuration) -> list[Rule]:
    """The rules that apply to a configuration."""
    return [rule for rule in RULES if rule.fires(configuration)]


def check(configuration: Configuration) -> list[str]:
    """Warnings in words.

    Raises:
        ConfigError: an option or a value is missing, or a rule of level error fires.
    """
    require_filled(configuration)
    rules = fired(configuration)
    for rule in rules:
        if rule.level == "error":
            raise ConfigError(str(rule))
    return [str(rule) for rule in rules]
