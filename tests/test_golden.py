"""The numbers of unchanged configurations, written down.

A change of code that changes them raises `NUMERICS_VERSION` in sota_exp/config/fingerprint.py, so that no earlier run passes for a
new one, and writes the file anew:

    python -m tests.test_golden

A recipe that is tuned is another configuration: the file is written anew, the version stays.

The losses of every step are compared to one part in 10,000: other processors sum in another order, and six steps of training
carry a last-bit difference to about a hundredth of that, while any change of meaning moves the third decimal.
"""

import json
from pathlib import Path

import pytest
import torch

from sota_exp.config.fingerprint import NUMERICS_VERSION
from tests.experiments import TINY, composed, trace_of

FILE = Path(__file__).with_name("golden_losses.json")

CONFIGURATIONS = {
    "baseline": ("recipe=baseline",),
    "small_images": ("recipe=small_images", "optimizer.lr=0.05"),
    "torchvision": ("recipe=torchvision", "regularization.average.every=1"),
    "last maps of a single pixel": ("recipe=baseline", "data.image_size=8"),
    "adamw, group norm, pad, randaugment, cutmix": (
        "recipe=baseline",
        "optimizer=adamw",
        "optimizer.lr=0.001",
        "optimizer.weight_decay=0.05",
        "regularization/norm=group",
        "regularization/clip=norm",
        "regularization/dropout=head",
        "regularization/stochastic_depth=linear",
        "augmentation/crop=pad",
        "augmentation/policy=randaugment",
        "augmentation/mix=cutmix",
        "schedule/lr=cosine",
        "schedule/warmup=linear",
    ),
}


def losses(name: str) -> list[float]:
    return trace_of(composed(*TINY, *CONFIGURATIONS[name]).experiment).losses


def write() -> None:
    """Write the file anew with the losses of this machine."""
    torch.set_num_threads(1)
    content = {"numerics_version": NUMERICS_VERSION, "losses": {name: losses(name) for name in CONFIGURATIONS}}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


def test_the_file_is_of_this_version_and_has_every_configuration():
    golden = json.loads(FILE.read_text())
    assert golden["numerics_version"] == NUMERICS_VERSION
    assert set(golden["losses"]) == set(CONFIGURATIONS)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_losses_are_the_golden_ones(name):
    golden = json.loads(FILE.read_text())["losses"][name]
    assert len(golden) == 6
    assert losses(name) == pytest.approx(golden, rel=1e-4)


if __name__ == "__main__":
    write()
