"""The parent run of a study in MLflow: note and differences from study.json; one line if it cannot be sent."""

import shutil
from pathlib import Path

from sota_exp.study.files import StudyFiles
from sota_exp.study.results import JsonObject, StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.tracking.mlflow_parent import end_parent_run
from sota_exp.tracking.mlflow_study import build_difference_metrics, format_study_note
from tests.study.studies import chain, study, write_all


def made(directory: Path) -> JsonObject:
    planned, files = study(chain("a", "b"), seeds=6), StudyFiles(directory=directory)
    write_all(planned, files, {"b": 2.0})
    found = build_study_json(planned, StudyRuns.read(planned, files, {}))
    files.write(found)
    return found


def test_the_note_has_the_verdicts_and_the_command(tmp_path: Path) -> None:
    found = made(tmp_path)
    text = format_study_note(found)
    assert "**helps**" in text and "Refused impossible: a rule forbids it" in text and found["command"] in text
    assert build_difference_metrics(found) == {"difference/b": found["arms"][1]["difference"]}


def test_what_can_not_be_sent_is_one_line(tmp_path: Path, made_store: Path) -> None:
    made(tmp_path)
    shutil.copy(made_store, tmp_path)
    tracking = {"uri": "http://127.0.0.1:9", "experiment": "sota_exp"}
    (line,) = end_parent_run(tmp_path, tracking, "FINISHED")
    assert "http://127.0.0.1:9 does not answer" in line
    (line,) = end_parent_run(tmp_path, tracking | {"uri": f"sqlite:///{tmp_path}/mlflow.db"}, "FINISHED")
    assert "none of its runs is shown there" in line
    assert end_parent_run(tmp_path, {"figures": True}, "FINISHED") == []


def test_a_losss_differences_are_no_points(tmp_path: Path) -> None:
    found = made(tmp_path) | {"metric": "val/loss"}
    heading = format_study_note(found).splitlines()[2]
    assert "| difference\u2003 |" in heading and "points" not in heading
    low, high = (f"{end:+.4f}" for end in found["arms"][1]["new_images"]["interval"])
    assert f"{low} … {high}" in format_study_note(found)
