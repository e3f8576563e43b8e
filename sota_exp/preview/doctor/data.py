"""Check of the data set: whether the images can be read, and how many there are per split and class."""

import time

from sota_exp.config.experiment import Experiment
from sota_exp.data.open import open_data
from sota_exp.errors import ConfigError, RunFailed
from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok, build_problem
from sota_exp.preview.look.classes import FEW_IMAGES
from sota_exp.report.numbers import format_sizes
from sota_exp.training.failures import convert_errors
from sota_exp.training.session import find_fitting_batch_size

#: The fix where images or their list cannot be read; the finding names the file.
FIX_DATA = "correct that key, or replace or remove that file or line; data=animals_on_photos needs no files"


def check_data(experiment: Experiment, name: str) -> list[CheckResult]:
    """Open the data set as a training would, which decodes it the first time."""
    began = time.monotonic()
    try:
        with convert_errors():
            found = open_data(experiment)
    except (ConfigError, RunFailed) as error:
        return [build_problem(f"{name}: {error}", FIX_DATA)]
    seconds = time.monotonic() - began
    counts = format_sizes(found.count_images())
    text = f"{name}: {counts} images of {len(found.classes):,} classes, opened in {seconds:.1f} s"
    if experiment.batch_size > len(found.train):
        small = f"{text}; batch_size={experiment.batch_size} is larger than the training set, and made smaller"
        return [build_note(small, f"batch_size={find_fitting_batch_size(found)} says the same")]
    fewest = found.labels[found.train].bincount(minlength=len(found.classes))
    smallest = int(fewest.argmin())
    if fewest[smallest] < FEW_IMAGES:
        few = f"{text}; only {int(fewest[smallest])} training images of {found.classes[smallest]}"
        return [build_note(few, "more images, or fewer classes")]
    return [build_ok(text)]
