"""Studies of two stages: runs of one are never those of the other, the choice is made once, and they can be interrupted."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sota_exp.config.configuration import Configuration
from sota_exp.config.hashing import compute_digest
from sota_exp.errors import ConfigError, Interrupted, RunFailed
from sota_exp.study.files import ArmRun, StudyFiles
from sota_exp.study.results import JsonObject, PlannedStudy, StudyRuns
from sota_exp.study.scheduler import StudyScheduler
from sota_exp.study.screening import plan_screening
from sota_exp.study.settings import parse_study_technique
from sota_exp.study.terminal_stages import format_two_stage_plan, format_two_stage_result
from sota_exp.study.two_stage import Screening, plan_two_stages, take_first_stage, take_second_stage, train_two_stages
from sota_exp.tracking.mlflow_study import format_study_note
from tests.study.studies import arm, make_values, simulated, study, write_run
from tests.study.test_terminal import printed

NAMES = ("t0", "t1", "t2", "t3", "t4")

#: Logits that a technique adds where it is on.
GAINS = {"t0": 1.2, "t1": -0.8}


def planned(names: Sequence[str] = NAMES, seed: int = 0, **changes: Any) -> PlannedStudy:
    techniques = [parse_study_technique(name, {"with": [f"{name}=1"], "without": [f"{name}=0"]}) for name in names]
    blueprint = plan_two_stages(plan_screening(techniques, False, lambda on: None, False, True))
    values = Configuration(choices={"schedule/length": "standard"}, values={**make_values(), "seed": seed})
    arms = []
    for each in blueprint.arms:
        made = arm(each.name, each.reference, is_cell=each.is_cell)
        arms.append(
            replace(
                made, arm=each, overrides=each.overrides, configuration=values, whole=compute_digest(each.overrides)
            )
        )
    return study(arms, blueprint, **({"kind": "auto", "seeds": 8} | changes))


class Trainer:
    """Writes the files of runs by the techniques that are on; interrupted after `cut` runs, if given."""

    def __init__(self, directory: Path, cut: int | None = None, failing: Mapping[str, str] | None = None) -> None:
        self.files = StudyFiles(directory=directory)
        self.cut, self.failing, self.made = cut, failing or {}, list[str]()

    def __call__(self, jobs: Sequence[ArmRun], look: Callable[[], None]) -> list[Exception | None]:
        return [self.train(job) for job in jobs]

    def train(self, job: ArmRun) -> Exception | None:
        if len(self.made) == self.cut:
            raise Interrupted(2)
        self.made.append(job.place)
        place = self.files.directory / job.place
        if reason := self.failing.get(job.arm.name):
            place.mkdir(parents=True)
            (place / "result.json").write_text(json.dumps({"status": "failed", "reason": reason}))
            return RunFailed(reason)
        is_on = {item[:2] for item in job.arm.overrides if item.endswith("=1")}
        gains = {job.arm.name: sum(GAINS.get(name, 0.0) for name in is_on)}
        run_seed = job.seed + job.arm.arm.seed_offset
        correct, labels = simulated(job.arm.name, run_seed, gains=gains)
        accuracy = float(correct.mean())
        write_run(place, correct, labels, metrics={"test/accuracy": accuracy, "val/accuracy": accuracy})
        return None


def trained(made: PlannedStudy, trainer: Trainer, batch_size: int | None = 1) -> JsonObject:
    def train(part: PlannedStudy, build: Callable[[PlannedStudy, StudyRuns], JsonObject]) -> JsonObject:
        return StudyScheduler(
            study=part,
            files=trainer.files,
            launch=trainer,
            batch_size=batch_size,
            on_job=lambda job, failure, num_left: None,
            build=build,
        ).run()

    return train_two_stages(made, trainer.files, train)


def is_cell(place: str) -> bool:
    """Of the cell with everything on, the directory is that of the arm `full`, whose configuration it has."""
    return place.endswith("/1000")


@pytest.mark.parametrize("batch_size", [1, None])
def test_cells_come_first_and_what_they_show_is_tested_on_other_seeds(tmp_path: Path, batch_size: int | None) -> None:
    trainer = Trainer(tmp_path)
    found = trained(planned(), trainer, batch_size)
    followed = found["screening"]["followed"]
    assert {"t0", "t1"} <= set(followed) < set(NAMES)
    num = 8 * (1 + len(followed))
    assert [is_cell(place) for place in trainer.made] == [True] * 16 + [False] * num
    seeds = [{place.rsplit("/", 1)[1] for place in part} for part in (trainer.made[:16], trainer.made[16:])]
    assert seeds == [{"1000"}, set(map(str, range(8)))]
    assert [row["name"] for row in found["arms"]] == ["full", *(f"without_{name}" for name in followed)]
    verdicts = {row["name"]: row["verdict"] for row in found["arms"]}
    assert verdicts["without_t0"] == "hurts" and verdicts["without_t1"] == "helps"
    assert found["plan"]["num_tests"] == len(followed) and found["effects"] == [] and found["status"] == "complete"
    words = {row["factor"]: row["verdict"] for row in found["screening"]["effects"]}
    assert words == {name: "followed" if name in followed else "not followed" for name in NAMES}
    assert found["saved"]["trainings"] == {
        "shared": 0,
        "decided": 0,
        "not_followed": 8 * (5 - len(followed)),
        "screening": -16,
    }
    note = format_study_note(found)
    assert "of 5 techniques, stage 2 follows T0" in note and "main effect on val/accuracy" in note
    again = Trainer(tmp_path)
    assert trained(planned(), again) == found and again.made == []


@pytest.mark.parametrize("changes", [{}, {"looks": "anytime", "seeds": 12}, {"looks": [8, 10, 12]}])
def test_interruptions_change_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole, rng = trained(planned(**changes), Trainer(tmp_path / "whole")), random.Random(0)
    for _ in range(4):
        trainer = Trainer(tmp_path / "cut", cut=rng.randrange(3, 8))
        with pytest.raises(Interrupted):
            trained(planned(**changes), trainer)
        stopped = json.loads((tmp_path / "cut" / "study.json").read_text())
        assert stopped["status"] == "partial" and stopped["missing"]
        is_known = (tmp_path / "cut" / "followed.json").exists()
        assert is_known == (stopped["screening"]["followed"] is not None)
        assert not is_known or stopped["screening"]["followed"] == whole["screening"]["followed"]
    found = trained(planned(**changes), Trainer(tmp_path / "cut"))
    assert json.dumps(found) == json.dumps(whole)
    assert (found["saved"]["trainings"]["decided"] > 0) == ("looks" in changes)


def test_more_seeds_change_no_choice_and_train_no_cell(tmp_path: Path) -> None:
    first = trained(planned(), Trainer(tmp_path))
    choice = (tmp_path / "followed.json").read_bytes()
    for changes in ({"seeds": 10}, {"seeds": [20, 21, 22, 0, 1, 2, 3]}):
        trainer = Trainer(tmp_path)
        found = trained(planned(**changes), trainer)
        assert not any(map(is_cell, trainer.made)) and found["screening"] == first["screening"]
    assert (tmp_path / "followed.json").read_bytes() == choice


@pytest.mark.parametrize(
    "changes", [{"names": NAMES[:4]}, {"seed": 1}, {"metric": "test/loss"}], ids=["techniques", "seed", "metric"]
)
def test_the_choice_of_another_screening_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    trained(planned(), Trainer(tmp_path))
    trainer = Trainer(tmp_path)
    with pytest.raises(ConfigError, match=r"followed.json is a choice among other techniques.*hydra.sweep.dir=DIR"):
        trained(planned(**changes), trainer)
    assert trainer.made == []


def test_a_study_that_follows_nothing_ends_after_its_first_stage(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tests.study.test_two_stage.GAINS", {})
    monkeypatch.setattr("sota_exp.study.two_stage.select_effects", lambda effects: ())
    trainer = Trainer(tmp_path)
    found = trained(planned(), trainer)
    assert len(trainer.made) == 16 and found["status"] == "complete" and found["missing"] == []
    assert found["saved"]["trainings"]["not_followed"] == 48
    assert found["next"]["lines"] == [
        "Stage 1 showed nothing, so nothing was tested; study=leave_one_out tests every technique."
    ]
    text = printed(format_two_stage_result(found))
    assert "stage 2 follows none." in text and "without verdicts" in text


def test_a_cell_that_can_be_trained_again_keeps_the_choice_open(tmp_path: Path) -> None:
    found = trained(planned(), Trainer(tmp_path, failing={"cell_03": "disk full"}))
    assert found["screening"]["followed"] is None and found["status"] == "partial"
    assert found["missing"] == [{"arm": "cell_03", "seed": 0, "reason": "disk full"}]
    assert {row["verdict"] for row in found["screening"]["effects"]} == {"open"}
    assert found["next"]["lines"] == ["1 run of stage 1 missing: the same command goes on."]
    assert not (tmp_path / "followed.json").exists()
    again = Trainer(tmp_path)
    for path in tmp_path.glob("runs/cell_03*"):
        path.rename(tmp_path / "gone")
    assert trained(planned(), again)["screening"]["followed"] is not None and is_cell(again.made[0])


def test_cells_that_diverge_are_left_out_and_without_any_effect_all_is_followed(tmp_path: Path) -> None:
    diverged = "diverged: train/loss is nan"
    found = trained(planned(), Trainer(tmp_path / "one", failing={"cell_03": diverged}))
    assert found["screening"]["failures"] == {"cell_03": diverged} and "t0" in found["screening"]["followed"]
    most = {f"cell_{num:02}": diverged for num in range(1, 14)}
    found = trained(planned(), Trainer(tmp_path / "most", failing=most))
    assert found["screening"]["followed"] == list(NAMES) and "too few cells" in found["screening"]["words"]


def test_a_damaged_choice_is_made_again_from_the_same_runs(tmp_path: Path) -> None:
    found = trained(planned(), Trainer(tmp_path))
    (tmp_path / "followed.json").write_text("{")
    assert trained(planned(), Trainer(tmp_path)) == found


def test_the_stages_share_no_run() -> None:
    made, files = planned(), StudyFiles(directory=Path("nowhere"))
    first, second = take_first_stage(made), take_second_stage(made, NAMES)
    places = [{files.place(each, seed) for each in part.arms.ready for seed in part.seeds} for part in (first, second)]
    assert not places[0] & places[1] and first.settings.metric == "val/accuracy"
    assert made.num_families == 2 and (first.num_families, second.num_families) == (1, 1)


def test_the_plan_says_the_range_and_writes_nothing(tmp_path: Path) -> None:
    files, estimates = StudyFiles(directory=tmp_path), {each.name: 60.0 for each in planned().arms.ready}
    text = " ".join(
        printed(
            format_two_stage_plan(planned(), files, estimates | {"counts": {"train": 900, "val": 100, "test": 400}})
        ).split()
    )
    assert "Stage 1: 16 runs, one per cell, 0 of them finished, about 16 min, one run after the other." in text
    assert (
        "no run if none is followed, about 13 runs if none has an effect, 48 if all are followed, about 48 min" in text
    )
    assert "those without any in 20 %." in text and not list(tmp_path.iterdir())
    trained(planned(), Trainer(tmp_path))
    text = " ".join(printed(format_two_stage_plan(planned(), StudyFiles(directory=tmp_path), estimates)).split())
    assert "of 5 techniques, stage 2 follows T0" in text and "24 of 24 runs are finished" in text


def test_screening_is_read_from_the_files_alone(tmp_path: Path) -> None:
    found = trained(planned(), Trainer(tmp_path))
    files = StudyFiles(directory=tmp_path)
    screening = Screening.read(planned(), StudyRuns.read(take_first_stage(planned()), files, {}), files)
    assert list(screening.followed or ()) == found["screening"]["followed"]
