"""Whether the images are those with which a run began; what changed since then is told before the run goes on.

The digest of the data set tells what names, sizes and times of its files tell. Files that were written since the run
began, whatever time they say they are of, are read again.
"""

from typing import Any

import numpy as np

from sota_exp.errors import ConfigError
from sota_exp.runs.files import RunFiles
from sota_exp.stages.data import DataSet
from sota_exp.training.trained_on import OF_NAMES, are_comparable, read_trained_on

#: Seconds before the start of a run from which on files are read again, since clocks of hosts differ.
CLOCK_TOLERANCE = 60.0


def describe_changed_data(files: RunFiles, start: dict[str, Any], data: DataSet) -> str | None:
    """How the data differ from those in `start`, the content of `start.json`; None if they don't, or it is unknown."""
    before = start.get("data") or {}
    if before.get("digest", data.digest) == data.digest:
        return None
    counts = data.count_images()
    sizes = [f"{part}: {num} → {counts[part]} images" for part, num in before["counts"].items() if num != counts[part]]
    trained_on = read_trained_on(files.weights)
    if trained_on is None or not are_comparable(data, trained_on):
        return f"the data ({'; '.join(sizes) or 'as many images as before'})"
    now, trained_on = data.image_digests[data.train].numpy(), trained_on[trained_on != OF_NAMES]
    num_new, num_gone = int((~np.isin(now, trained_on)).sum()), int((~np.isin(trained_on, now)).sum())
    trained = f"of train {num_new} are new or changed and {num_gone} are gone"
    return f"the data ({'; '.join([*sizes, trained if num_new or num_gone else 'images of val or test'])})"


def require_unchanged_images(files: RunFiles, start: dict[str, Any], data: DataSet) -> None:
    """Check the images that were written since the start of the run. start: the content of `start.json`, or empty.

    Raises:
        ConfigError: they are other images.
    """
    since, used = start.get("time", 0.0) - CLOCK_TOLERANCE, data.part("all")
    if changed := data.images.find_changed(used, data.image_digests, since):
        raise ConfigError(
            f"hydra.run.dir={files.directory}: {len(changed)} of {len(used)} images were changed since this run began, "
            f"such as {data.name_image(changed[0])}; put them back (of a store in data.cache: remove it, and it is "
            "built again), or choose another directory"
        )
