"""Which split of the data a run gets by its seed, in studies, sweeps and cross-validations: pairs share images."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.values import get_override_key
from sota_exp.errors import ConfigError

#: Keys that say which split a run has.
SPLIT_NUMBERS = ("data.split.repeat", "data.split.fold")


def get_split(values: Mapping[str, Any]) -> dict[str, Any]:
    """The node `data.split`; {} in files of older versions."""
    return dict((values.get("data") or {}).get("split") or {})


def takes_every_fold(values: Mapping[str, Any]) -> bool:
    """Whether the configuration is of a whole cross-validation, of which a run trains one fold."""
    return get_split(values).get("fold", 0) is None


def get_split_of_seed(values: Mapping[str, Any], seed: int) -> dict[str, int]:
    """Key below `data.split` → its value for a seed: fold seed mod folds of repeat seed div folds. {}: one for all."""
    split = get_split(values)
    if "folds" in split:
        repeat, fold = divmod(seed, int(split["folds"]))
        return {"repeat": repeat, "fold": fold}
    return {"repeat": seed} if "repeat" in split else {}


@dataclass(frozen=True, kw_only=True)
class ScoredShare:
    """What each run scores of a data set where every seed has a split of its own.

    of_all: the images of its part, test or val, of all images; to_train: divided by those of train. runs_per_repeat:
    runs that together score each image once, such as folds; 1: an image is scored by chance.
    """

    of_all: float
    to_train: float
    runs_per_repeat: int


def get_scored_share(values: Mapping[str, Any], part: str) -> ScoredShare | None:
    """Of `part`, test or val; None where all seeds have one split."""
    split = get_split(values)
    if "folds" not in split and "repeat" not in split:
        return None
    data = values["data"]
    tested = 1 / float(split["folds"]) if "folds" in split else float(data["test_fraction"])
    chosen = (1 - tested) * float(data["val_fraction"])
    of_all = {"test": tested, "val": chosen}[part]
    runs = int(split["folds"]) if "folds" in split and part == "test" else 1
    return ScoredShare(of_all=of_all, to_train=of_all / (1 - tested - chosen), runs_per_repeat=runs)


def list_split_overrides(values: Mapping[str, Any], seed: int) -> list[str]:
    """The overrides that give a run the split of a seed; none where all runs share one."""
    return [f"data.split.{key}={value}" for key, value in get_split_of_seed(values, seed).items()]


def with_split_of_seed(configuration: Configuration, seed: int) -> Configuration:
    """The configuration with the split of a seed, of which its own seed may differ."""
    numbers = get_split_of_seed(configuration.values, seed)
    if not numbers:
        return configuration
    data = configuration.values["data"]
    return configuration.with_values(data={**data, "split": {**data["split"], **numbers}})


def check_split_is_open(overrides: Iterable[str], key: str) -> None:
    """Check that no override chooses one split for all runs, whose seeds choose it. key: of the seeds.

    Raises:
        ConfigError: one does.
    """
    for override in overrides:
        if get_override_key(override) in SPLIT_NUMBERS:
            raise ConfigError(f"{override}: here the seed of a run chooses its split; {key} says which seeds there are")


def describe_folds(values: Mapping[str, Any], seeds: Sequence[int], key: str) -> list[str]:
    """How often these seeds test each image, and what tests each equally often if they don't; [] without folds.

    key: of the seeds, for the advice.
    """
    folds = get_split(values).get("folds")
    if folds is None:
        return []
    what = f"Cross-validation: seed k tests fold k mod {folds} of repeat k div {folds}, so pairs by seed share images"
    shared = "Folds share training images, which the interval over seeds alone leaves out."
    repeats, tested = Counter(seed // folds for seed in seeds), Counter(seed % folds for seed in seeds)
    if set(repeats.values()) == {folds}:
        return [f"{what}. Every image is tested once per repeat; repeats: {len(repeats)}. {shared}"]
    least, most = min(tested[fold] for fold in range(folds)), max(tested.values())
    first = folds * (min(seeds) // folds)
    whole = folds * -(-len(seeds) // folds)
    return [
        f"{what}. These {len(seeds)} seeds are no whole repeats: an image is tested {least} to {most} times; "
        f"{key}={whole} with seed={first} tests each once per repeat. {shared}"
    ]
