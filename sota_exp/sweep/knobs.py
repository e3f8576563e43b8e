"""Ranges and choices as Optuna's distributions, and values as Hydra's command line has them.

Knobs are written as in Hydra's sweeps (`interval`, `range`, `choice`, `tag(log, …)`) and parsed by
hydra-optuna-sweeper, whose choices lose their quotes and whose ranges lose `log`.
"""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString, RangeSweep, Sweep, Transformer
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sota_exp.config.hydra_compose import normalize_override
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.values import format_override_value
from sota_exp.errors import ConfigError


def parse_override(override: str) -> tuple[str, BaseDistribution | str]:
    """Parse one override; returns (key, distribution), or (key, value as text).

    Raises:
        ConfigError: it cannot be parsed, or is a sweep that cannot be searched.
    """
    try:
        parsed = OverridesParser.create().parse_override(normalize_override(override))
        require_order(parsed.value())
        found = create_optuna_distribution_from_override(parsed)
    except HydraException as error:
        raise ConfigError(format_hydra_error(error, [override])) from error
    except (ValueError, NotImplementedError, AssertionError) as error:
        reason = str(error) or "this kind of sweep cannot be searched; write choice(…) with its values"
        raise ConfigError(f"{override}: {reason}") from error
    key = parsed.get_key_element()
    if not isinstance(found, BaseDistribution):
        return key, str(found)
    if isinstance(found, CategoricalDistribution):
        found = CategoricalDistribution(_keep_quotes(parsed))
    return key, _apply_tags(override, parsed.value(), found)


def require_order(sweep: Any) -> None:
    """Refuse `shuffle`, which would make another search of each repeat of the command.

    Raises:
        ValueError: the sweep is shuffled.
    """
    if isinstance(sweep, ChoiceSweep | RangeSweep) and sweep.shuffle:
        raise ValueError("a search draws its values by itself; leave out shuffle(…)")


def _keep_quotes(parsed: Override) -> list[Any]:
    """The values of a sweep; a text that Hydra would read otherwise is written with its quotes."""
    found = []
    for item in parsed.sweep_iterator():
        text = item.text if isinstance(item, QuotedString) else item
        is_quoted = isinstance(text, str) and read_text(text) != text
        found.append(format_override_value(text) if is_quoted else Transformer.encode(item))
    return found


def _apply_tags(override: str, sweep: Any, found: BaseDistribution) -> BaseDistribution:
    """The distribution with the tag `log` of a range.

    Raises:
        ConfigError: a tag that does nothing.
    """
    tags = sweep.tags if isinstance(sweep, Sweep) else set()
    if unknown := tags - {"log"}:
        raise ConfigError(f"{override}: tag({', '.join(sorted(unknown))}, …) is unknown; legal: tag(log, …)")
    if "log" not in tags or (isinstance(found, FloatDistribution | IntDistribution) and found.log):
        return found
    if isinstance(sweep, ChoiceSweep):
        raise ConfigError(f"{override}: choices have no order, so tag(log, …) does nothing; leave it out")
    if isinstance(sweep, RangeSweep) and isinstance(found, IntDistribution) and found.step == 1 and found.low >= 1:
        return IntDistribution(found.low, found.high, log=True)
    legal = "a logarithmic range has whole numbers above 0 and no step; for others write tag(log,interval(low,high))"
    raise ConfigError(f"{override}: {legal}")


def read_text(text: str) -> Any:
    """The value that Hydra reads from `key=text`; Ellipsis if it reads none."""
    try:
        return _to_plain(OverridesParser.create().parse_override(f"key={text}").value())
    except HydraException:
        return ...


def _to_plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_to_plain(item) for item in value]
    if isinstance(value, dict):
        return {_to_plain(key): _to_plain(item) for key, item in value.items()}
    return value


def format_value(value: Any) -> str:
    """A drawn or declared value as text of the command line; a text already is."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_meant(choice: Any, value: Any) -> bool:
    """Whether a choice of a distribution means `value`, a value of a configuration or of another distribution."""
    if str(choice) == str(value):
        return True
    read = read_text(choice) if isinstance(choice, str) else choice
    return bool(read == value) and isinstance(read, bool) == isinstance(value, bool)
