"""What earlier studies of the same images measured of the noise, for plans of studies without runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sota_exp.errors import ConfigError
from sota_exp.report.study.answer import concerns_all_arms
from sota_exp.runs.digests import read_run_config, try_read_json
from sota_exp.statistics.planned_effect import DifferenceNoise
from sota_exp.study.results import JsonObject, PlannedStudy
from sota_exp.study.study_json_power import EarlierNoise

#: Keys of `data` that say how images are read, stored and cut, but not which they are.
READING_KEYS = (
    "image_size", "crop_ratio", "interpolation", "max_side", "white", "digest", "cache", "store_gigabytes", "split",
    "val_fraction", "test_fraction", "split_seed",
)  # fmt: skip


def find_earlier_noise(directory: Path, study: PlannedStudy) -> EarlierNoise | None:
    """That of the study of the same images and metric beside `directory`, of the same recipe if there is one.

    Of several, that with the most runs. Studies in which nothing was learned, or too few runs tested the same images,
    tell nothing.
    """
    found = list(_list_measured(directory, study))
    if not found:
        return None
    place, best = max(found, key=lambda each: (each[1]["recipe"] == study.recipe, _count_runs(each[1]), str(each[0])))
    return EarlierNoise(
        noise=DifferenceNoise(**best["plan"]["noise"]),
        source=f"measured by the {_count_runs(best)} runs of {place.name}",
    )


def _list_measured(directory: Path, study: PlannedStudy) -> Iterator[tuple[Path, JsonObject]]:
    """The other studies in the parent of `directory` that measured the noise of these images by this metric."""
    own = _describe_images(study.arms.ready[0].configuration.values)
    for path in sorted(directory.parent.glob("*/study.json")):
        found = None if path.parent == directory else try_read_json(path)
        if found is None or found.get("metric") != study.settings.metric or not (found.get("plan") or {}).get("noise"):
            continue
        if not concerns_all_arms(found["warning"]) and _read_images(path.parent, found) == own:
            yield path.parent, found


def _count_runs(found: JsonObject) -> int:
    return sum(len(arm["runs"]) for arm in found["arms"])


def _read_images(directory: Path, found: JsonObject) -> JsonObject | None:
    """Which images the runs of a study had; None if no file says it."""
    places = [place for arm in found["arms"] for place in arm["runs"].values()]
    try:
        return _describe_images(read_run_config(directory / places[0] / "config.yaml"))
    except (OSError, ValueError, LookupError, ConfigError):
        return None


def _describe_images(values: Mapping[str, Any]) -> JsonObject:
    return {key: value for key, value in (values.get("data") or {}).items() if key not in READING_KEYS}
