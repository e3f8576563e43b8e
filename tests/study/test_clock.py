"""A study ends with the last whole seed that fits into its time, and says so as soon as its plan does not hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sota_exp.study import clock
from sota_exp.study.clock import StudyClock
from sota_exp.study.files import ArmRun, StudyFiles
from sota_exp.study.results import PlannedStudy
from sota_exp.study.scheduler import StudyScheduler
from tests.study.studies import chain, study
from tests.study.test_scheduler import Trainer, ablation, ignore

#: What `study.time=100s` planned: four seeds of two arms.
TIME_PLAN: dict[str, Any] = {"recommended": 0, "options": [{"seeds": 4}]}


class Watch:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    monkeypatch.setattr(clock, "time", found)
    return found


def runs(num_seeds: int, names: str = "ab") -> list[ArmRun]:
    made = {each.name: each for each in chain(*names)}
    return [ArmRun(arm=made[name], seed=seed, place="") for seed in range(num_seeds) for name in names]


@pytest.mark.parametrize(
    ("num_at_once", "num_ended", "seconds", "seeds"),
    [
        (1, 0, 0, [0]),  # the first seed is begun before anything is known
        (1, 2, 20, [0]),
        (1, 2, 40, [0]),
        (1, 2, 60, []),  # 60 s a seed, 40 s left
        (3, 0, 0, [0, 1]),
        (3, 4, 10, [0, 1, 2, 3, 4, 5, 6, 7]),  # 5 s a seed, and half of 90 s
        (3, 4, 40, [0, 1]),  # 20 s a seed: enough for three workers, which is more than half of 60 s
        (3, 4, 60, [0]),
        (3, 4, 80, []),
    ],
)
def test_a_seed_is_begun_if_it_fits(
    watch: Watch, num_at_once: int, num_ended: int, seconds: float, seeds: list[int]
) -> None:
    of = StudyClock(began=0.0, deadline=100.0, num_at_once=num_at_once)
    watch.now = seconds
    of.ended += ["a"] * num_ended
    assert [job.seed for job in of.choose(runs(8))] == [seed for seed in seeds for _ in "ab"]
    watch.now = 1000.0
    assert len(of.choose(runs(8))) == 2 * len(seeds)  # what was begun is finished
    assert StudyClock().choose(runs(8)) == runs(8)


@pytest.mark.parametrize(
    ("ended", "seconds", "num_runs", "words"),
    [
        ("ab", 60, 10, ""),  # too few to tell
        ("aba", 40, 10, ""),  # 13 s instead of 11 s
        ("abb", 40, 10, ""),
        ("aba", 60, 5, ""),  # slow, and all fit
        ("aba", 60, 10, "a run ends every 20 s instead of 11 s, so about 5 of 10 runs fit"),
        ("aba", 200, 10, "a run ends every 1 min 7 s instead of 11 s, so about 3 of 10 runs fit"),
    ],
)
def test_a_plan_that_does_not_hold_is_told_once(
    watch: Watch, ended: str, seconds: float, num_runs: int, words: str
) -> None:
    of = StudyClock(began=0.0, deadline=100.0, expected={"a": 10.0, "b": 14.0})
    of.ended += ended
    watch.now = seconds
    told = of.warn(num_runs)
    assert words in told and bool(told) == bool(words) and of.warn(num_runs) == ""


class SlowTrainer(Trainer):
    """Each run takes as long as given."""

    def __init__(self, directory: Path, watch: Watch, seconds: float) -> None:
        super().__init__(directory)
        self.watch, self.seconds = watch, seconds

    def train(self, job: ArmRun) -> Exception | None:
        self.watch.now += self.seconds
        return super().train(job)


@pytest.mark.parametrize(("num_at_once", "batch_size"), [(1, 1), (2, None)])
def test_a_study_ends_with_the_last_seed_that_fits_and_goes_on(
    tmp_path: Path, watch: Watch, num_at_once: int, batch_size: int | None
) -> None:
    def go_on(made: PlannedStudy) -> tuple[dict[str, Any], Sequence[str]]:
        trainer = SlowTrainer(tmp_path, watch, 17.0)
        of = StudyClock(began=watch.now, deadline=watch.now + 100, num_at_once=num_at_once)
        files = StudyFiles(directory=tmp_path)
        scheduler = StudyScheduler(
            study=made, files=files, launch=trainer, batch_size=batch_size, on_job=ignore, clock=of
        )
        return scheduler.run(), trainer.made

    made = study(chain("a", "b"), seeds=4, time="100s")
    made = PlannedStudy(**(vars(made) | {"time_plan": TIME_PLAN}))
    found, trained = go_on(made)
    assert len(trained) in (4, 6) and found["seeds"] == list(range(len(trained) // 2))
    assert found["status"] == "complete" and found["missing"] == []
    num_done = len(trained) // 2
    assert found["next"]["lines"][0].startswith(
        f"study.time=100s was enough for {num_done} of 4 seeds: the same command trains the other {4 - num_done}, in "
    )
    assert watch.now <= 102
    found, more = go_on(made)
    assert len(trained) + len(more) == 8 and found["seeds"] == [0, 1, 2, 3]
    whole = ablation(made, Trainer(tmp_path / "whole")).run()
    assert found == whole and "study.time" not in " ".join(found["next"]["lines"])
