"""The runs of a study: which are launched, which never again, and that interruptions do not change study.json."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sota_exp.config.launch import MAX_LOSSES
from sota_exp.errors import ConfigError, Interrupted, RunFailed, RunLost
from sota_exp.study.arms import ComposedArm
from sota_exp.study.files import ArmRun, StudyFiles
from sota_exp.study.results import PlannedStudy
from sota_exp.study.scheduler import StudyScheduler
from tests.study.studies import arm, chain, simulated, study, write_run


class Trainer:
    """Writes the files of a training; interrupted after `cut` runs, if given."""

    def __init__(self, directory: Path, cut: int | None = None, diverging: str = "") -> None:
        self.directory, self.cut, self.diverging = directory, cut, diverging
        self.made: list[str] = []

    def __call__(self, jobs: Sequence[ArmRun], look: Callable[[], None]) -> list[Exception | None]:
        return [self.train(job) for job in jobs]

    def train(self, job: ArmRun) -> Exception | None:
        place = self.directory / job.place
        if self.cut is not None and len(self.made) == self.cut:
            place.mkdir(parents=True, exist_ok=True)
            (place / "result.json").write_text(
                json.dumps({"status": "interrupted", "reason": "interrupted by signal 2"})
            )
            raise Interrupted(2)
        self.made.append(job.place)
        if job.arm.name == self.diverging:
            place.mkdir(parents=True, exist_ok=True)
            (place / "result.json").write_text(
                json.dumps({"status": "failed", "reason": "diverged: train/loss is nan"})
            )
            return RunFailed("diverged: train/loss is nan")
        correct, labels = simulated(job.arm.name, job.seed, gains={"b": 0.8, "c": 0.8})
        write_run(place, correct, labels)
        (place / "checkpoint").mkdir(exist_ok=True)
        (place / "checkpoint" / "state.pt").write_text(job.arm.training)
        (place / "metrics.jsonl").write_text("{}\n")
        return None


def ignore(job: ArmRun, failure: str | None, num_left: int) -> None:
    """Called after each run."""


def ablation(
    made: PlannedStudy,
    trainer: Trainer,
    batch_size: int | None = 1,
    on_job: Callable[[ArmRun, str | None, int], None] = ignore,
) -> StudyScheduler:
    files = StudyFiles(directory=trainer.directory)
    return StudyScheduler(study=made, files=files, launch=trainer, batch_size=batch_size, on_job=on_job)


def made_with(directory: Path, arms: Sequence[ComposedArm], **changes: object) -> tuple[dict, Trainer]:
    trainer = Trainer(directory)
    return ablation(study(arms, **changes), trainer).run(), trainer


def test_a_finished_study_trains_nothing_again(tmp_path: Path) -> None:
    first, trainer = made_with(tmp_path, chain("a", "b"), seeds=6)
    assert len(trainer.made) == 12 and first["status"] == "complete"
    second, trainer = made_with(tmp_path, chain("a", "b"), seeds=6)
    assert trainer.made == [] and second == first == json.loads((tmp_path / "study.json").read_text())


def test_more_seeds_and_more_arms_train_only_what_is_new(tmp_path: Path) -> None:
    made_with(tmp_path, chain("a", "c"), seeds=2)
    _, trainer = made_with(tmp_path, chain("a", "b", "c"), seeds=3)
    assert sorted(place.split("-")[0].split("/")[1] + place[-1] for place in trainer.made) == [
        "a2",
        "b0",
        "b1",
        "b2",
        "c2",
    ]


def test_twenty_interruptions_leave_the_study_of_an_uninterrupted_one(tmp_path: Path) -> None:
    arms, rng = [*chain("a", "b", "c"), arm("d", "c", training="training-c")], random.Random(0)
    whole, _ = made_with(tmp_path / "whole", arms, seeds=8)
    made: list[str] = []
    for _ in range(20):
        trainer = Trainer(tmp_path / "cut", cut=rng.randrange(3))
        try:
            ablation(study(arms, seeds=8), trainer).run()
        except Interrupted:
            assert json.loads((tmp_path / "cut" / "study.json").read_text())["status"] == "partial"
        made += trainer.made
    found, trainer = made_with(tmp_path / "cut", arms, seeds=8)
    made += trainer.made
    assert len(made) == len(set(made)) == 32
    assert json.dumps(found) == json.dumps(whole)


def test_arms_of_one_training_wait_for_it_and_start_from_its_checkpoint(tmp_path: Path) -> None:
    arms = [arm("a"), arm("b", "a", training="shared"), arm("c", "b", training="shared")]
    batches: list[list[str]] = []

    class Watched(Trainer):
        def __call__(self, jobs: Sequence[ArmRun], look: Callable[[], None]) -> list[Exception | None]:
            batches.append([job.arm.name for job in jobs])
            for job in jobs:
                if job.arm.name == "c":
                    assert (self.directory / job.place / "checkpoint" / "state.pt").read_text() == "shared"
            return super().__call__(jobs, look)

    ablation(study(arms, seeds=2), Watched(tmp_path), batch_size=None).run()
    assert batches == [["a", "b", "a", "b"], ["c", "c"]]


def test_what_diverged_is_not_tried_again_and_other_failures_are(tmp_path: Path) -> None:
    made = study(chain("a", "b", "c"), seeds=2)
    found = ablation(made, Trainer(tmp_path, diverging="b")).run()
    assert {row["name"]: row["verdict"] for row in found["arms"]}["b"] == "failed" and found["status"] == "partial"
    again = Trainer(tmp_path)
    assert ablation(made, again).run() == found and again.made == []
    for path in tmp_path.glob("runs/b-*/*/result.json"):
        path.write_text(json.dumps({"status": "failed", "reason": "disk full"}))
    again = Trainer(tmp_path)
    assert ablation(made, again).run()["status"] == "complete" and len(again.made) == 2


def test_a_job_that_ends_without_a_result_is_a_failure_and_the_study_goes_on(tmp_path: Path) -> None:
    class Broken(Trainer):
        def train(self, job: ArmRun) -> Exception | None:
            return OSError("lost") if job.arm.name == "b" else super().train(job)

    found = ablation(study(chain("a", "b"), seeds=2), Broken(tmp_path)).run()
    assert [item["reason"] for item in found["missing"]] == ["OSError: lost"] * 2
    assert [row["n"] for row in found["arms"]] == [2, 0]


def test_seeds_are_added_where_the_verdict_is_open(tmp_path: Path) -> None:
    """b is decided at the first look; c, which is compared with b, only at the last."""
    arms = chain("a", "b", "c")
    trainer = Trainer(tmp_path)
    made = study(arms, looks=[8, 10, 12])
    left: list[int] = []
    ablation(made, trainer, on_job=lambda job, failure, num_left: left.append(num_left)).run()
    assert left[:24] == [*range(23, -1, -1)] and left[-1] == 0
    assert [num for num, before in zip(left[1:], left, strict=False) if num > before] == [3, 3]  # more at two looks
    counts = {
        name: sum(place.startswith((f"runs/{name}-", f"runs/{name}_")) for place in trainer.made) for name in "abc"
    }
    assert counts == {"a": 8, "b": 12, "c": 12}
    found = json.loads((tmp_path / "study.json").read_text())
    assert (
        found["looks"]["decided"] == {"b": 8}
        and found["looks"]["done"] == [8, 10, 12]
        and found["status"] == "complete"
    )


@pytest.mark.parametrize("batch_size", [1, None])
def test_looks_at_any_time_add_seeds_until_all_is_decided(tmp_path: Path, batch_size: int | None) -> None:
    """b and c help, d does nothing: it alone gets all seeds, and more when the command is repeated with more."""
    arms = [arm("a"), *(arm(name, "a") for name in "bcd")]
    trainer = Trainer(tmp_path)
    found = ablation(study(arms, looks="anytime", seeds=12), trainer, batch_size).run()
    decided = found["looks"]["decided"]
    assert set(decided) == {"b", "c"} and max(decided.values()) < 12 and found["status"] == "complete"
    counts = Counter(place.split("/")[1][0] for place in trainer.made)
    assert counts["a"] == counts["d"] == 12
    for name, num in decided.items():  # A launcher of several runs at once trains at most a quarter more.
        assert num <= counts[name] <= (num if batch_size == 1 else num + max(1, num // 4))
    again = Trainer(tmp_path)
    more = ablation(study(arms, looks="anytime", seeds=14), again, batch_size).run()
    assert Counter(place.split("/")[1][0] for place in again.made) == {"a": 2, "d": 2}
    assert more["looks"]["decided"] == decided and more["looks"]["done"] == [14]


def test_an_interrupted_study_with_looks_at_any_time_is_the_same_in_the_end(tmp_path: Path) -> None:
    arms = [arm("a"), *(arm(name, "a") for name in "bcd")]
    made = study(arms, looks="anytime", seeds=9)
    whole = ablation(made, Trainer(tmp_path / "whole")).run()
    for _ in range(3):
        with pytest.raises(Interrupted):
            ablation(made, Trainer(tmp_path / "cut", cut=7)).run()
    assert ablation(made, Trainer(tmp_path / "cut")).run() == whole


@pytest.mark.parametrize("batch_size", [1, None])
def test_equal_arms_share_runs(tmp_path: Path, batch_size: int | None) -> None:
    twins = [arm("a"), arm("b", "a")]
    same = [twins[0], ComposedArm(**{**vars(twins[1]), "whole": twins[0].whole, "training": twins[0].training})]
    trainer = Trainer(tmp_path)
    ablation(study(same, seeds=3), trainer, batch_size).run()
    assert len(trainer.made) == 3


@pytest.mark.parametrize("metric", ["test/top5_accuracy", "val/macro_f1"])
def test_a_metric_that_the_first_run_lacks_ends_the_study(tmp_path: Path, metric: str) -> None:
    trainer = Trainer(tmp_path)
    for _ in range(2):  # The repeated command trains nothing.
        with pytest.raises(ConfigError, match=f"study.metric={metric}: the first run has not measured it; legal: "):
            ablation(study(chain("a", "b"), seeds=6, metric=metric), trainer).run()
        assert len(trainer.made) == 1


class Losing(Trainer):
    """A launcher that loses runs at some launches: it has trained a half of the batch."""

    def __init__(self, directory: Path, losses: Sequence[int]) -> None:
        super().__init__(directory)
        self.losses, self.num_launches = losses, 0

    def __call__(self, jobs: Sequence[ArmRun], look: Callable[[], None]) -> list[Exception | None]:
        self.num_launches += 1
        if self.num_launches not in self.losses:
            return super().__call__(jobs, look)
        super().__call__(jobs[: len(jobs) // 2], look)
        return [RunLost("the launcher lost its process (TerminatedWorkerError)")] * len(jobs)


def test_runs_that_a_launcher_lost_are_launched_again_and_change_nothing(tmp_path: Path) -> None:
    whole, _ = made_with(tmp_path / "whole", chain("a", "b", "c"), seeds=6)
    told, trainer = [], Losing(tmp_path / "lost", losses=(1, 3))
    found = ablation(
        study(chain("a", "b", "c"), seeds=6),
        trainer,
        batch_size=None,
        on_job=lambda job, failure, num_left: told.append((job.place, failure, num_left)),
    ).run()
    assert sorted(trainer.made) == sorted(set(trainer.made)) and len({place for place, *_ in told}) == 18
    assert {failure for _, failure, _ in told} == {None} and [left for *_, left in told] == [*range(17, -1, -1)]
    assert {**found, "command": ""} == {**whole, "command": ""}


def test_runs_that_are_lost_each_time_fail_with_the_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    trainer = Losing(tmp_path, losses=range(1, 100))
    told: dict[str, str | None] = {}
    ablation(
        study(chain("a"), seeds=2), trainer, on_job=lambda job, failure, num_left: told.update({job.place: failure})
    ).run()
    assert len(told) == 2 and all("lost its process" in str(failure) for failure in told.values())
    assert trainer.num_launches == 2 * MAX_LOSSES


def test_each_run_is_told_when_its_result_is_there_while_others_train(tmp_path: Path) -> None:
    """What an earlier command wrote of a failure is not told again, and what fails now is told at once, both once."""
    told: list[tuple[str, int, str | None, int]] = []

    class Slow(Trainer):
        def __call__(self, jobs: Sequence[ArmRun], look: Callable[[], None]) -> list[Exception | None]:
            returned = []
            look()
            for job in jobs:
                returned.append(self.train(job))
                look()
                told.append((job.arm.name, job.seed, "trained", 0))
            return returned

    scheduler = ablation(
        study(chain("a", "b", "c"), seeds=2),
        Slow(tmp_path, diverging="b"),
        batch_size=None,
        on_job=lambda job, failure, num_left: told.append((job.arm.name, job.seed, failure, num_left)),
    )
    old = tmp_path / scheduler.find_missing_runs()[1].place / "result.json"
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({"status": "failed", "reason": "disk full"}))
    scheduler.run()
    diverged = "diverged: train/loss is nan"
    runs = [("a", 0, None, 5), ("b", 0, diverged, 4), ("c", 0, None, 3), ("a", 1, None, 2), ("b", 1, diverged, 1),
            ("c", 1, None, 0)]  # fmt: skip
    assert told == [line for run in runs for line in (run, (*run[:2], "trained", 0))]
