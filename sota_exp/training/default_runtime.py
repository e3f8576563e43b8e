"""Torchrun's processes measure their runtime settings by default, each on its GPU, as `runtime=auto` asks for."""

from collections.abc import Sequence

import yaml

from sota_exp import CONF
from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import MEASURABLE
from sota_exp.training.device import pick_device
from sota_exp.training.distributed import read_world

#: Seconds of training below which nothing is measured that was not asked for: measuring takes half a minute.
MIN_SECONDS_TO_MEASURE = 120.0


def ask_by_default(configuration: Configuration, overrides: Sequence[str]) -> Configuration:
    """The configuration, which asks for what `runtime=auto` measures where several processes train on a GPU each.

    Unless an override or a preset chose a runtime; fields that one of them sets are kept. On CPUs nothing is asked for:
    the processes share the cores, so one that measures alone finds what is fastest alone.
    """
    runtime, world = configuration.values["runtime"], read_world()
    is_chosen = configuration.choices["runtime"] != "plain" or any(text.startswith("runtime=") for text in overrides)
    if world.size == 1 or is_chosen or pick_device(runtime["device"], world).type != "cuda":
        return configuration
    plain = yaml.safe_load((CONF / "runtime" / "plain.yaml").read_text())
    kept = [name for name in MEASURABLE if runtime[name] == plain[name]]
    return configuration.with_values(runtime={**runtime, "measure": kept})
