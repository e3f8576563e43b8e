"""Wrong verdicts and seeds of each kind of looks, simulated: families of arms under the worst ways to stop.

python -m benchmarks.anytime [FAMILIES]: Markdown tables, in minutes for 2,000 families; the same numbers every time.
A family is a study: arms that share one reference, some with an effect and the rest without. It is wrong if any arm
without an effect is ever decided, so that whoever stops as soon as anything is decided, or when the numbers look best,
is covered: they see no more than all seeds show.
"""

import math
import sys
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sota_exp.statistics.anytime import combine_log_evidence, compute_log_evidence
from sota_exp.statistics.interim import compute_look_levels
from sota_exp.statistics.paired import paired_t_interval
from sota_exp.statistics.sign_flip import sign_flip_test
from sota_exp.statistics.stopping import compute_costs_of_looks, simulate_anytime_seeds

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Draws runs: (generator, shape [families, seeds, arms]) → scores without an effect.
Law = Callable[[np.random.Generator, tuple[int, int, int]], Floats]

ALPHA, MOST_SEEDS = 0.05, 60


def draw_normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return rng.standard_normal(shape)


def draw_skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return 1 - rng.exponential(1.0, shape)


def draw_heteroscedastic(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """Normal; the scatter differs tenfold between arms, and between seeds too."""
    arms, seeds = 10 ** rng.random((shape[0], 1, shape[2])), 10 ** rng.random((shape[0], shape[1], 1))
    return rng.standard_normal(shape) * arms * seeds


def draw_collapsing(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """One run of ten is 30 standard deviations worse."""
    return rng.standard_normal(shape) - 30.0 * (rng.random(shape) < 0.1)


#: Every arm of a family scatters alike, but for the scale: differences without an effect are symmetric.
COVERED_LAWS: Mapping[str, Law] = {
    "normal": draw_normal,
    "skewed": draw_skewed,
    "heteroscedastic": draw_heteroscedastic,
    "collapse-prone": draw_collapsing,
}


def mix_laws(law: Law) -> Law:
    """Every second arm has noise by `law`, of mean zero, and the others, with the reference, normal noise."""

    def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        values = draw_normal(rng, shape)
        values[..., 1::2] = law(rng, shape)[..., 1::2]
        return values

    return draw


#: Arms of equal mean and unequal shape: no rule can keep the promise for all of them.
UNCOVERED_LAWS: Mapping[str, Law] = {
    "skewed": mix_laws(draw_skewed),
    "skewed, 3 times the scatter": mix_laws(lambda rng, shape: 3 * draw_skewed(rng, shape)),
    "lognormal, 3 times": mix_laws(lambda rng, shape: 3 * (math.exp(0.5) - np.exp(rng.standard_normal(shape)))),
    "collapse-prone": mix_laws(lambda rng, shape: draw_collapsing(rng, shape) + 3),
}


def draw_differences(law: Law, num_families: int, effects: Floats, num_seeds: int = MOST_SEEDS) -> Floats:
    """Differences from the reference [families, seeds, arms]; effects [arms], in its standard deviations."""
    values = law(np.random.default_rng(len(effects)), (num_families, num_seeds, len(effects) + 1))
    found: Floats = values[..., 1:] - values[..., :1]
    return found + effects * found.std(axis=(0, 1))


def decide_closed(logs: Floats) -> Bools:
    """The rule of a study: the least mean evidence of all sets of arms with an arm. logs: [families, arms]."""
    found: Bools = combine_log_evidence(logs) >= -math.log(ALPHA)
    return found


def decide_bonferroni(logs: Floats) -> Bools:
    found: Bools = logs >= math.log(logs.shape[1] / ALPHA)
    return found


def decide_false_discoveries(logs: Floats) -> Bools:
    """e-BH (Wang and Ramdas 2022): the k arms with the most evidence, for the largest k with all ≥ arms / (k α)."""
    num = logs.shape[1]
    ordered = -np.sort(-logs, axis=1)
    enough = ordered >= np.log(num / (ALPHA * np.arange(1, num + 1)))
    most = np.where(enough.any(1), num - enough[:, ::-1].argmax(1), 0)
    least = np.where(most > 0, np.take_along_axis(ordered, np.maximum(most, 1)[:, None] - 1, 1)[:, 0], np.inf)
    found: Bools = logs >= least[:, None]
    return found


def look_at_any_time(
    differences: Floats, decide: Callable[[Floats], Bools] = decide_closed, leaves_at: float = math.inf
) -> Floats:
    """Seeds until each arm is decided [families, arms], infinite where never; a decided arm gets no more seeds.

    leaves_at: an arm also leaves when its own evidence is this large; what the others need still counts it.
    """
    logs = compute_log_evidence(differences.swapaxes(1, 2))
    current, seeds = np.zeros(logs.shape[:2]), np.full(logs.shape[:2], np.inf)
    for index in range(logs.shape[2]):
        is_open = np.isinf(seeds) & (current < math.log(leaves_at))
        current = np.where(is_open, logs[..., index], current)
        seeds[decide(current) & np.isinf(seeds)] = index + 1
    return seeds


def look_on_and_on(differences: Floats) -> Floats:
    """`look_at_any_time`, but every arm goes on to the last seed, decided or not."""
    logs = compute_log_evidence(differences.swapaxes(1, 2))
    decided = np.stack([decide_closed(logs[..., index]) for index in range(logs.shape[2])])
    return np.where(decided.any(0), decided.argmax(0) + 1.0, np.inf)


def test_at_looks(differences: Floats, looks: Mapping[int, float]) -> Floats:
    """The joint sign-flip test at each look of the arms that are open. looks: seeds → significance level."""
    seeds = np.full((len(differences), differences.shape[2]), np.inf)
    for row, table in enumerate(differences):
        for num, alpha in looks.items():
            is_open = np.flatnonzero(np.isinf(seeds[row]))
            found = sign_flip_test(table[:num, is_open]).p_adjusted
            seeds[row, is_open[np.array(found) <= alpha]] = num
    return seeds


PLANNED_LOOKS = (8, 10, 12)

#: Rule → seeds until each arm of differences [families, seeds, arms] is decided.
RULES: Mapping[str, Callable[[Floats], Floats]] = {
    "any time": look_at_any_time,
    "any time, arms leave at p = 0.05 of their own": lambda differences: look_at_any_time(differences, leaves_at=20.0),
    "any time, all arms go on": look_on_and_on,
    "fixed, 8 seeds": lambda differences: test_at_looks(differences, {8: ALPHA}),
    "planned, 8, 10, 12 seeds": lambda differences: test_at_looks(
        differences, dict(zip(PLANNED_LOOKS, compute_look_levels(PLANNED_LOOKS), strict=True))
    ),
    "fixed test after every seed from 6 to 12": lambda differences: test_at_looks(
        differences, dict.fromkeys(range(6, 13), ALPHA)
    ),
    "any time, e-BH": lambda differences: look_at_any_time(differences, decide_false_discoveries),
}


def compute_share_of_wrong_families(rule: str, law: Law, effects: Floats, num_families: int) -> float:
    """The share of families in which an arm without an effect is decided."""
    seeds = RULES[rule](draw_differences(law, num_families, effects))
    return float(np.isfinite(seeds[:, effects == 0]).any(1).mean())


def compute_coverage(law: Law, num_series: int, num_seeds: int) -> tuple[float, float]:
    """Of intervals of one arm: shares that contain zero, the mean, after every number of seeds at once.

    Of the confidence sequence, by the test that it inverts, and of Student's interval, for comparison.
    """
    values = draw_differences(law, num_series, np.zeros(1), num_seeds)[..., 0]
    covered = (compute_log_evidence(values) < -math.log(ALPHA)).all(1)
    students = [
        all(
            found is None or found.low <= 0 <= found.high
            for num in range(6, num_seeds + 1)
            for found in [paired_t_interval(np.zeros(num), row[:num])]
        )
        for row in values
    ]
    return float(covered.mean()), float(np.mean(students))


def format_table(heading: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rows])


def print_wrong_families(laws: Mapping[str, Law], num_families: int) -> None:
    """Rows: laws and families; columns: rules; percent of families that are wrong."""
    families = {
        "1 arm": np.zeros(1),
        "3 arms": np.zeros(3),
        "12 arms": np.zeros(12),
        "12 arms, 8 with effects": np.array([1.5, 1.5] * 4 + [0.0] * 4),
    }
    rows = []
    for name, law in laws.items():
        for words, effects in families.items():
            shares = [compute_share_of_wrong_families(rule, law, effects, num_families) for rule in RULES]
            rows.append([name, words, *(f"{100 * share:.1f}" for share in shares)])
    print(format_table(["noise", "arms", *RULES], rows), flush=True)


def print_seeds() -> None:
    """Seeds per arm by effect and number of arms, each kind with as many as show the effect in four of five studies."""
    rows = []
    for num_arms in (1, 6, 12):
        for effect in (0.5, 1.0, 2.0):
            for cost in compute_costs_of_looks(effect, num_arms):
                means = [f"{cost.with_effect:.1f}", f"{cost.without:.1f}"]
                rows.append([str(num_arms), f"{effect:g}", cost.kind, str(cost.most), *means, f"{cost.power:.2f}"])
    print(format_table(["arms", "effect, sd", "looks", "at most", "mean", "mean without", "shown in"], rows))
    print("\nShare of arms that looks at any time decide, by seeds:\n")
    rows = []
    for num_arms in (1, 12):
        for effect in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
            seeds = simulate_anytime_seeds(effect, num_arms, MOST_SEEDS)
            shares = [f"{(seeds <= num).mean():.2f}" for num in (8, 12, 20, MOST_SEEDS)]
            median = float(np.median(seeds))
            rows.append([str(num_arms), f"{effect:g}", *shares, f"{median:.0f}" if math.isfinite(median) else "–"])
    print(format_table(["arms", "effect, sd", "by 8", "by 12", "by 20", "by 60", "median seeds"], rows), flush=True)


def main(num_families: int) -> None:
    print(f"Wrong families, %, of {num_families:,}; differences are symmetric without an effect, as promised:\n")
    print_wrong_families(COVERED_LAWS, num_families)
    print("\nThe same where every second arm has noise of another shape and the same mean, which no rule covers:\n")
    print_wrong_families(UNCOVERED_LAWS, num_families)
    print("\nSeeds per arm, normal noise:\n")
    print_seeds()
    rows = [
        [name, *(f"{100 * share:.1f}" for share in compute_coverage(law, num_families, MOST_SEEDS))]
        for name, law in COVERED_LAWS.items()
    ]
    print("\nIntervals of one arm that contain the mean after all numbers of seeds up to 60 at once, %:\n")
    print(format_table(["noise", "confidence sequence", "Student"], rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
