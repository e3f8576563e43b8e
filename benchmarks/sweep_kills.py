"""Thirty kills at random moments of a sweep over real trainings of a second, and over an objective in closed form.

python -m benchmarks.sweep_kills [KILLS]: ends with an assertion where a trial was lost, counted twice or overwritten.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.experiments import TINY
from tests.sweep.killing import TOY, drive, found


def closed_form(num_trials: int) -> list[str]:
    goal = (
        "lr=tag(log,interval(0.001,10))",
        "hydra/sweeper/pruner=none",
        "hydra.sweeper.objective=val/x",
        "seconds=0.3",
    )
    return [*goal, f"hydra.sweeper.n_trials={num_trials}", "hydra.sweeper.retries=100"]


def trainings(num_trials: int) -> list[str]:
    asked = [item for item in TINY if not item.startswith(("schedule.length", "data.num_images"))]
    length = ("schedule.length.epochs=8", "data.num_images=300", "tracking.figures=false", "seed=3")
    goal = ("optimizer.lr=tag(log,interval(0.01,1.0))", "hydra.sweep.dir=sweep", "hydra.sweeper.confirm.top=0")
    ends = (f"hydra.sweeper.n_trials={num_trials}", "hydra.sweeper.retries=100")
    return ["sweep", *asked, *length, *goal, *ends]


def main(num_kills: int) -> None:
    for name, arguments, num_trials in (("closed form", closed_form(40), 40), ("trainings", trainings(20), 20)):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            path, reach = (None, 3.0) if name == "trainings" else (TOY, 1.0)
            hits = drive(arguments, place, num_kills, reach=reach, path=path)
            left = found(f"sqlite:///{place / 'sweep' / 'study.db'}", "sweep")
            assert not left.running and not left.failed and len(left.complete + left.pruned) == num_trials, left
            resumed = [times_resumed(path) for path in (place / "sweep").glob("[0-9]*/result.json")]
            print(
                f"{name}: {hits} kills, {num_trials} of {num_trials} trials, {sum(map(bool, resumed))} went on from a checkpoint"
            )


def times_resumed(path: Path) -> int:
    return int(json.loads(path.read_text())["resumed"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
