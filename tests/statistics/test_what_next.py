"""What would decide an open difference: each reason, the seeds and images that it names, and its words."""

import math

import numpy as np
import pytest

from sota_exp.statistics.power import find_num_seeds
from sota_exp.statistics.units import SHARE_FORMAT
from sota_exp.statistics.what_next import (
    LEAST_SEEDS,
    Advice,
    advise,
    describe_advice,
    describe_lack_of_images,
    make_seeds_finder,
)
from tests.rows import each_row

NOISY = [0.01, -0.02, 0.03, 0.0, 0.01, 0.02]


@each_row(
    "differences, changes, reason",
    [
        ([0.0, 0.0, 0.0], {"is_same": True}, "same"),
        ([], {}, "noise"),
        ([0.01], {}, "noise"),
        ([0.05, 0.05, 0.05], {}, "equal"),
        ([0.0, 0.0, 0.0], {}, "equal"),
        ([0.01, -0.01], {}, "none"),
        (NOISY, {}, "seeds"),
        (NOISY, {"smallest": 1e-6}, "far"),
        (NOISY, {"smallest": 0.05, "interval": (-0.01, 0.02)}, "small"),
        (NOISY, {"smallest": 0.05, "interval": (-0.01, 0.06)}, "seeds"),
        (NOISY, {"image_variance": 0.03 / 24, "num_images": 24}, "images"),
        (NOISY, {"image_variance": 0.03 / 1e6, "num_images": 1_000_000}, "seeds"),
    ],
)
def test_the_reason(differences: list[float], changes: dict, reason: str) -> None:
    assert advise(differences, 3, **changes).reason == reason


def test_the_seeds_are_those_that_the_plan_of_a_new_study_has() -> None:
    found = advise(NOISY, 3)
    assert found.num_seeds == find_num_seeds(float(np.mean(NOISY)), float(np.std(NOISY, ddof=1)), 3)
    wanted = advise(NOISY, 3, smallest=0.02)
    assert wanted.effect == 0.02 and (wanted.num_seeds or 99) < (found.num_seeds or 0)


def test_noise_of_images_takes_more_seeds_until_no_number_is_enough() -> None:
    variances = np.linspace(0, 1e-5, 21)
    found = [advise(NOISY, 1, image_variance=each, num_images=1000) for each in variances]
    seeds = [each.num_seeds for each in found if each.reason == "seeds"]
    assert seeds == sorted(seeds) and len(seeds) > 3  # type: ignore[type-var]
    images = [each.num_images for each in found if each.reason == "images"]
    assert images == sorted(images) and images[0] > 1000 and len(seeds) + len(images) == len(found)  # type: ignore


@pytest.mark.parametrize("num_images", [24, 400])
def test_with_so_many_images_as_many_seeds_are_enough(num_images: int) -> None:
    """Scaled to the images that it names, both noises leave the effect where `LEAST_SEEDS` show it."""
    scale = (advise(NOISY, 2, image_variance=0.01, num_images=num_images).num_images or 0) / num_images
    again = advise(np.mean(NOISY) + (np.array(NOISY) - np.mean(NOISY)) / math.sqrt(scale), 2,
                   image_variance=0.01 / scale, num_images=num_images)  # fmt: skip
    assert again.reason == "seeds" and (again.num_seeds or 99) <= LEAST_SEEDS + 1


def test_a_finder_of_other_seeds_is_asked_with_effect_and_spread() -> None:
    asked = []

    def find(effect: float, sd: float) -> int:
        asked.append((effect, sd))
        return 17

    assert advise(NOISY, 3, find_seeds=find).num_seeds == 17
    assert asked == [(pytest.approx(np.mean(NOISY)), pytest.approx(np.std(NOISY, ddof=1)))]
    assert make_seeds_finder(3, 0.95)(0.01, 0.02) == find_num_seeds(0.01, 0.02, 3)


@pytest.mark.parametrize(
    ("advice", "is_wanted", "words"),
    [
        (
            Advice(reason="seeds", effect=0.012, num_seeds=14),
            False,
            "Seems to differ by 1.20 points; 14 seeds (3 min) would show that with a chance of four in five.",
        ),
        (
            Advice(reason="seeds", effect=0.01, num_seeds=9, is_median=True),
            True,
            "9 seeds (3 min) would show an effect of 1.00 points half of the time.",
        ),
        (
            Advice(reason="images", effect=0.0047, num_images=31_757),
            False,
            "Seems to differ by 0.47 points; to show that for new images takes about 32,000 test images instead of "
            "24; more seeds alone don't.",
        ),
        (
            Advice(reason="images", effect=0.01, num_images=3149),
            True,
            "To show an effect of 1.00 points for new images takes about 3,100 ",
        ),
        (
            Advice(reason="images", effect=0.0001, num_images=644_206_783),
            False,
            "takes about a million or more test images instead of 24",
        ),
        (Advice(reason="same", effect=0.0), False, "It is right on the same of the 24 test images as its reference"),
        (Advice(reason="equal", effect=0.0), False, "the same at every seed"),
        (Advice(reason="noise", effect=0.0), False, "is unknown: 6 seeds (3 min) show it"),
        (Advice(reason="none", effect=0.0), False, "No effect is seen"),
        (Advice(reason="far", effect=0.0001), False, "Seems to differ by 0.01 points; no practical number of seeds"),
        (Advice(reason="small", effect=0.01), True, "The interval excludes effects of 1.00 points"),
    ],
)
def test_the_words(advice: Advice, is_wanted: bool, words: str) -> None:
    assert words in describe_advice(advice, 24, SHARE_FORMAT, is_wanted, lambda num: " (3 min)")


@pytest.mark.parametrize(
    ("num", "is_wanted", "words"),
    [
        (2, False, "what these seem to differ by for new images takes more test images than the 24 here, as more seeds "
         "alone don't: about 10,000 for arm 0 (1.00 points), 20,000 for arm 1 (1.00 points)."),
        (8, True, "an effect of 1.00 points for new images"),
        (8, True, "60,000 for arm 5 and 2 more."),
    ],
)  # fmt: skip
def test_what_lacks_images_is_told_in_one_sentence(num: int, is_wanted: bool, words: str) -> None:
    advices = {
        f"arm {index}": Advice(reason="images", effect=0.01, num_images=10_049 * (index + 1)) for index in range(num)
    }
    assert words in describe_lack_of_images(advices, 24, SHARE_FORMAT, is_wanted)
