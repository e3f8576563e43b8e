"""The content sent to MLflow: legal names, values equal to those of the files, the same at every reading."""

import io
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from sota_exp.report.run.facts import find_extreme_classes
from sota_exp.runs.contents import MLFLOW_STATUSES, RunContent
from sota_exp.runs.lock import STALE
from sota_exp.runs.mlflow_store import sanitize_key
from sota_exp.tracking.console import build_score_table
from sota_exp.tracking.mlflow_content import (
    build_epoch_points,
    build_final_metrics,
    build_params,
    build_points,
    build_tags,
)
from sota_exp.tracking.mlflow_note import format_run_note, format_scores
from tests.run_directories import CONFIG, epoch, result, write_owner, write_run


def read(directory: Path, **origin: object) -> RunContent:
    return RunContent.read(directory, dict(origin))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train/loss", "train/loss"),
        ("val/accuracy@224", "val/accuracy_224"),
        ("a=b,c", "a_b_c"),
        ("/absolute", "absolute"),
        ("../up", "_/up"),
        ("twice//slash", "twice/slash"),
        ("k" * 300, "k" * 250),
    ],
)
def test_keys_are_made_legal(key: str, expected: str) -> None:
    assert sanitize_key(key) == expected


def test_legal_keys_by_mlflows_own_rule() -> None:
    from mlflow.utils.validation import _validate_metric_name

    for key in ("val/accuracy@224", "/absolute", "../up", ".", "", "twice//slash", "ü%&", "k" * 300):
        _validate_metric_name(sanitize_key(key))


def test_params_are_choices_and_short_values(tmp_path: Path) -> None:
    found = build_params(read(write_run(tmp_path / "run")))
    assert found["augmentation/crop"] == "pad"
    assert found["augmentation.crop.scale"] == "0.08, 1.0"
    assert found["optimizer.lr"] == "0.01"
    assert not [key for key in found if "tracking" in key or "_option_" in key]


def test_a_value_that_mlflow_would_cut_is_left_to_the_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_run(tmp_path / "run")
    long = {**CONFIG, "batch_sizes": list(range(3000))}
    monkeypatch.setattr("sota_exp.runs.contents.read_run_config", lambda path: long)
    assert "batch_sizes" not in build_params(read(directory))


def test_hyper_parameters_are_metrics_too(tmp_path: Path) -> None:
    overrides = [
        "regularization.smoothing.label_smoothing=0.05",
        "evaluation.fine_tune.batch_size=10",
        "augmentation.mix.alpha=0.2",
        "supervision.alpha=0.8",
        "augmentation/mix=cutmix",
        "optimizer.lr=0.01",
        "seed=3",
    ]
    values = {point.key: point.value for point in build_points(read(write_run(tmp_path / "run"), overrides=overrides))}
    assert values["hp/log10_lr"] == -2
    assert "hp/log10_wd" not in values, "no logarithm of a weight decay of 0"
    assert values["hp/batch_size"] == 64
    assert values["hp/regularization.smoothing.label_smoothing"] == 0.05
    assert values["hp/evaluation.fine_tune.batch_size"] == 10
    assert (values["hp/augmentation.mix.alpha"], values["hp/supervision.alpha"]) == (0.2, 0.8)
    assert not {"hp/lr", "hp/optimizer.lr", "hp/seed"} & set(values)


def test_every_number_of_the_files_is_there(tmp_path: Path) -> None:
    found = {(point.key, point.step): point.value for point in build_points(read(write_run(tmp_path / "run")))}
    for number in range(3):
        line = epoch(number)
        assert all(found[key, number + 1] == line[key] for key in line if "/" in key)
        assert found["time/images_per_second", number + 1] == line["images_per_second"]
    for key, value in result()["metrics"].items():
        shown = key if key.startswith(("test/", "best/")) else f"best/{key.replace('/', '_')}"
        assert found[shown, 3] == value
    assert found["cost/train_seconds", 3] == 7.5


def test_points_are_the_same_at_every_reading_and_never_twice(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    once = build_points(read(directory))
    assert once == build_points(read(directory))
    assert len({(point.key, point.step) for point in once}) == len(once)


def test_time_goes_on_from_the_start(tmp_path: Path) -> None:
    times = [
        point.timestamp for point in build_points(read(write_run(tmp_path / "run"))) if point.key == "val/accuracy"
    ]
    assert times == [1_700_000_000_250 + milliseconds for milliseconds in (1750, 4500, 8250)]


def test_a_line_being_written_is_left_for_later(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status=None)
    with (directory / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "val')
    assert len(read(directory).epochs) == 3


@pytest.mark.parametrize(("status", "expected"), list(MLFLOW_STATUSES.items())[2:])
def test_statuses(tmp_path: Path, status: str, expected: str) -> None:
    assert read(write_run(tmp_path / "run", status=status)).mlflow_status == expected


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path) -> None:
    assert read(write_run(tmp_path / "alive", status=None)).mlflow_status == "RUNNING"
    assert read(write_run(tmp_path / "gone", status=None, pid=2**22 + 1)).mlflow_status == "KILLED"


def test_a_reused_process_number_is_not_the_run(tmp_path: Path) -> None:
    born = psutil.Process().create_time()
    assert read(write_run(tmp_path / "alive", status=None, born=born)).mlflow_status == "RUNNING"
    assert read(write_run(tmp_path / "reused", status=None, born=born - 100)).mlflow_status == "KILLED"


def test_a_run_of_another_host_that_fell_silent_was_killed(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status=None, host="elsewhere")
    assert read(directory).mlflow_status == "RUNNING"
    assert replace(read(directory), is_over=True).mlflow_status == "KILLED"
    for age, expected in ((STALE - 20, "RUNNING"), (STALE + 1, "KILLED")):
        os.utime(directory / "owner.json", (time.time() - age,) * 2)
        assert read(directory).mlflow_status == expected


def test_a_run_without_an_owner_was_killed_whatever_its_start_says(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status=None)
    (directory / "owner.json").unlink()
    assert read(directory).mlflow_status == "KILLED"


def test_the_result_of_an_earlier_start_does_not_end_a_resumed_run(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status="interrupted")
    assert read(directory).mlflow_status == "KILLED"
    write_run(directory, status=None)
    assert read(directory).mlflow_status == "RUNNING"


@pytest.mark.parametrize("newer", ["start.json", "result.json"])
@pytest.mark.parametrize(("start", "expected"), [("one", "FAILED"), ("two", "RUNNING")])
def test_a_result_belongs_to_the_start_it_names(tmp_path: Path, newer: str, start: str, expected: str) -> None:
    """The times of the files do not matter: copying a directory may reverse them."""
    directory = write_run(tmp_path / "run", status="failed", start=start)
    write_owner(directory)
    (directory / "result.json").write_text(json.dumps(result("failed") | {"start": "one"}))
    later = (directory / "start.json").stat().st_mtime + 60
    os.utime(directory / newer, (later, later))
    assert read(directory).mlflow_status == expected


def test_tags_say_where_the_run_comes_from(tmp_path: Path) -> None:
    found = build_tags(read(write_run(tmp_path / "run"), kind="trial", overrides=["seed=3"]))
    assert found["kind"] == "trial"
    assert found["git_commit"].endswith("-dirty")
    assert re.fullmatch("c{40}", found["mlflow.source.git.commit"])
    assert found["recipe"] == "baseline"
    assert found["command"] == "sota-exp train seed=3"


def test_a_failed_run_has_its_reason_and_no_scores(tmp_path: Path) -> None:
    content = read(write_run(tmp_path / "run", status="failed"))
    assert build_final_metrics(content.result or {}) == {}
    assert build_tags(content)["reason"] == "diverged: the loss is nan"
    assert "**Failed**: diverged: the loss is nan." in format_run_note(content)


def test_the_note_has_scores_with_their_intervals(tmp_path: Path) -> None:
    text = format_run_note(read(write_run(tmp_path / "run"), overrides=["augmentation.crop.scale=[0.1,1]"]))
    cells = [cell.strip() for cell in text.split("|")]
    assert cells[cells.index("**70.00 %**") + 1] == "60.42 to 78.11 %"
    assert "sota-exp train 'augmentation.crop.scale=[0.1,1]'" in text
    assert "are the metrics `best/val_…`; `val/…` are curves" in text


@pytest.mark.parametrize(
    ("accuracy", "interval"), [(1.0, "60.97 to 100.00 %"), (0.0, "0.00 to 39.03 %"), (0.5, "18.76 to 81.24 %")]
)
def test_six_images_leave_an_accuracy_uncertain_on_the_console_and_in_the_note(accuracy: float, interval: str) -> None:
    scores = {f"val/{name}": accuracy for name in ("accuracy", "loss", "ece")}
    metrics = scores | {key.replace("val", "test"): value for key, value in scores.items()} | {"best/epoch": 1}
    found = {"status": "finished", "metrics": metrics, "evaluated_images": {"val": 6, "test": 6}}
    out = Console(file=io.StringIO(), width=120)
    out.print(build_score_table(found))
    for text in (out.file.getvalue(), format_scores(found)):  # type: ignore[attr-defined]
        assert text.count(interval) == 2 and "±" not in text


REST = "macro scores are means over the other classes"


def test_a_class_without_test_images_is_named_and_not_ranked() -> None:
    scored = {"evaluated_images": {"val": 9, "test": 9}}
    found = find_extreme_classes(scored | {"per_class_accuracy": {"a": 1.0, "b": None, "c": 0.5}})
    assert found == {"hardest on test": "c 50 %", "easiest on test": "a 100 %", "without test images": f"b; {REST}"}
    assert find_extreme_classes(scored | {"per_class_accuracy": {"a": 1.0, "b": 1.0}}) == {"easiest on test": "b 100 %"}
    several = dict.fromkeys("abcdefg", 1.0) | {"h": 0.2}
    assert find_extreme_classes(scored | {"per_class_accuracy": several})["hardest on test"] == "h 20 %"
    many = find_extreme_classes(scored | {"per_class_accuracy": {"a": 1.0} | dict.fromkeys("bcdef")})
    assert many["without test images"] == f"b, c, d and 2 more; {REST}"


@pytest.mark.parametrize(
    ("accuracies", "easiest"), [({"a": 0.0, "b": 0.0}, None), ({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.5}, "d 50 %")]
)
def test_a_class_of_which_nothing_is_recognized_is_not_easy(accuracies: dict[str, float], easiest: str | None) -> None:
    found = find_extreme_classes({"evaluated_images": {"all": 9}, "per_class_accuracy": accuracies})
    assert found.get("easiest on all") == easiest and "a 0 %" in found["hardest on all"]


def test_the_note_of_a_pruned_run_names_no_saved_weights(tmp_path: Path) -> None:
    found = result() | {"status": "pruned", "evaluated_images": {"val": 100}}
    text = format_scores(found)
    assert "Scores of epoch 2, the best on val; a pruned run saves no weights." in text and "Saved weights" not in text


def test_a_run_without_a_start_file_can_be_shown(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    (directory / "start.json").unlink()
    content = read(directory)
    assert content.mlflow_status == "FINISHED"
    assert build_points(content) and build_tags(content)["run_id"] == "f" * 16


@pytest.mark.parametrize("after", range(4))
def test_points_after_some_lines_are_the_others(tmp_path: Path, after: int) -> None:
    content = read(write_run(tmp_path / "run"))
    every, rest = build_points(content), build_points(content, after)
    keys = {point.key for number in range(3) for point in build_epoch_points(epoch(number), 0)}
    assert rest == [point for point in every if not (point.key in keys and point.step <= after)]


@pytest.mark.parametrize(("covered", "expected"), [(None, 0), (1, 1), (3, 3)])
def test_a_training_shows_what_a_checkpoint_covers_and_an_ended_one_all(
    tmp_path: Path, covered: int | None, expected: int
) -> None:
    """Epochs after the checkpoint are trained again after a kill, perhaps with other values."""
    directory = write_run(tmp_path / "run", num_epochs=3, status=None)
    (directory / "checkpoint" / "epochs").unlink()
    if covered is not None:
        (directory / "checkpoint" / "epochs").write_text(f"{covered}\n")
    assert len(read(directory).epochs) == expected
    (directory / "result.json").write_text(json.dumps(result("finished")))
    assert len(read(directory).epochs) == 3


def test_a_trial_of_a_sweep_is_shown_without_test(tmp_path: Path) -> None:
    """Nobody may choose a trial by test; only the confirmation shows the winner on test."""
    content = read(write_run(tmp_path / "run"), kind="trial")
    keys = {point.key for point in build_points(content)}
    assert "best/val_accuracy" in keys and not any(key.startswith("test/") for key in keys)
    rows = [line for line in format_run_note(content).splitlines() if line.startswith("|")]
    assert any("val" in row for row in rows) and not any("test" in row for row in rows)
    assert "Hardest on test" not in format_run_note(content)
    assert any(point.key.startswith("test/") for point in build_points(read(tmp_path / "run", kind="confirm")))


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path: Path) -> None:
    """MLflow's table averages the runs of a group, which says something of equal ones alone."""
    one, other, larger = (read(write_run(tmp_path / name)) for name in ("one", "other", "larger"))
    other, larger = (
        replace(each, config=each.config | change)
        for each, change in ((other, {"seed": 9}), (larger, {"batch_size": 128}))
    )
    groups = [build_tags(each)["equals"] for each in (one, other, larger)]
    assert groups[0] == groups[1] != groups[2] and groups[0].startswith("baseline on fake, ")
    arm = replace(one, origin={"kind": "arm", "arm": "ema", "parent": "/a/ladder-1"})
    assert build_tags(arm)["equals"] == "ema in ladder-1"
