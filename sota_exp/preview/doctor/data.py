"""Check of the data set: whether the images can be read, and how many there are per split and class."""

import time

from sota_exp.config.experiment import Experiment
from sota_exp.data.open import open_data
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.preview.doctor.finding import Finding, note, ok, problem
from sota_exp.training.failures import foreseen
from sota_exp.training.session import fitting_batch_size

#: The fix where images or their list cannot be read; the finding names the file.
MEND = "correct that key, or replace or remove that file or line; data=animals_on_photos needs no files"

#: A class with fewer training images than this is noted.
FEW = 10


def data(experiment: Experiment, name: str) -> list[Finding]:
    """Open the data set as a training would, which decodes it the first time."""
    began = time.monotonic()
    try:
        with foreseen():
            found = open_data(experiment)
    except (ConfigError, RunFailed) as error:
        return [problem("data", f"{name}: {error}", MEND)]
    counts = ", ".join(f"{len(vars(found)[split]):,} {split}" for split in ("train", "val", "test"))
    seconds = time.monotonic() - began
    text = f"{name}: {counts} images of {len(found.classes)} classes, opened in {seconds:.1f} s"
    if experiment.batch_size > len(found.train):
        small = f"{text}; batch_size={experiment.batch_size} is larger than the training set"
        return [problem("data", small, f"batch_size={fitting_batch_size(found)}")]
    fewest = found.labels[found.train].bincount(minlength=len(found.classes))
    smallest = int(fewest.argmin())
    if fewest[smallest] < FEW:
        few = f"{text}; only {int(fewest[smallest])} training images of {found.classes[smallest]}"
        return [note("data", few, "more images, or fewer classes")]
    return [ok("data", text)]
