"""The default sampler against the stock sweeper's settings, where learning rate and weight decay interact.

The objective, in decades from the best learning rate (x) and the best lr · wd (y): f = x² + 4 · y² + 0.1 · sin²(3x), with its
minimum 0 at lr 0.1 and lr · wd 1e-4. Knobs are lr and wd, so the valley lies across both axes; our default searches lr and lr · wd.
"""

import math
import statistics
import warnings
from typing import Any

import optuna

NUM_SEEDS, OURS_TRIALS, MOST_TRIALS = 20, 40, 100

#: The sampler of `conf/hydra/sweeper/sampler/tpe.yaml`, and that of hydra-optuna-sweeper 1.4.
OURS = {"multivariate": True, "group": True, "constant_liar": True, "n_startup_trials": 5}
STOCK = {"multivariate": False, "group": False, "constant_liar": False}


def objective(lr: float, wd: float) -> float:
    x, y = math.log10(lr) + 1, math.log10(lr * wd) + 4
    return x**2 + 4 * y**2 + 0.1 * math.sin(3 * x) ** 2


def best_so_far(settings: dict[str, Any], is_coordinate: bool, seed: int, num_trials: int) -> list[float]:
    """The lowest value after each trial; the sampler is seeded anew for each, as our sweeper does."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    found: list[float] = []
    for number in range(num_trials):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = optuna.samplers.TPESampler(seed=1000 * seed + number, **settings)
        trial = study.ask()
        lr = trial.suggest_float("lr", 1e-3, 10, log=True)
        if is_coordinate:
            wd = trial.suggest_float("lr_wd", 1e-7, 1e-1, log=True) / lr
        else:
            wd = trial.suggest_float("wd", 1e-6, 1, log=True)
        value = objective(lr, wd)
        study.tell(trial, value)
        found.append(min(found[-1], value) if found else value)
    return found


def measure() -> list[dict[str, object]]:
    """One row: trials in which the stock settings reach, in the median of seeds, what ours reach in `OURS_TRIALS`."""
    ours = [best_so_far(OURS, True, seed, OURS_TRIALS)[-1] for seed in range(NUM_SEEDS)]
    same = [best_so_far(OURS, False, seed, OURS_TRIALS)[-1] for seed in range(NUM_SEEDS)]
    stock = [best_so_far(STOCK, False, seed, MOST_TRIALS) for seed in range(NUM_SEEDS)]
    reached = statistics.median(ours)
    medians = [statistics.median(run[number] for run in stock) for number in range(MOST_TRIALS)]
    needed = next((number + 1 for number, value in enumerate(medians) if value <= reached), MOST_TRIALS)
    print(
        f"median best of {NUM_SEEDS} seeds after {OURS_TRIALS} trials: ours {reached:.4f}, ours on lr and wd "
        f"{statistics.median(same):.4f}, stock {medians[OURS_TRIALS - 1]:.4f}; stock after {MOST_TRIALS}: {medians[-1]:.4f}"
    )
    return [
        {
            "name": "sweep's default sampler, against the stock settings, lr × wd in closed form",
            "ours": OURS_TRIALS,
            "peer": needed,
            "ratio": round(needed / OURS_TRIALS, 2),
            "goal": 1.5,
            "unit": f"trials to a median best of {reached:.4f} over {NUM_SEEDS} seeds; the peer was given {MOST_TRIALS}",
            "precision": None,
            "model": None,
            "image_size": None,
        }
    ]


if __name__ == "__main__":
    print(measure())
