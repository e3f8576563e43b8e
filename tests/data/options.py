"""The options of conf/data as tests build them, without the rest of a configuration."""

from typing import Any

from omegaconf import OmegaConf

from sota_exp import CONF


def read_data_option(name: str) -> dict[str, Any]:
    """The values of an option; what the training crops would choose is that of random resized ones."""
    values: Any = OmegaConf.to_container(OmegaConf.load(CONF / "data" / f"{name}.yaml"), resolve=False)
    return values | {"crop_ratio": 0.875 if isinstance(values["crop_ratio"], str) else values["crop_ratio"]}
