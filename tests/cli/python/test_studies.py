"""Studies as objects, also those with missing runs."""

import json
import re
from pathlib import Path

import pytest

import sota_exp
from tests.report.studies import STEPS, read_tree, write_study, write_tree


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sota_exp.Study:
    monkeypatch.chdir(tmp_path)
    write_study(Path("multirun/ladder"), STEPS[:2], range(2), num_test=20)
    return sota_exp.load_study("ladder")


@pytest.mark.usefixtures("charts_only_made")
def test_missing_runs_are_told_before_the_answer(study: sota_exp.Study) -> None:
    complete = study.answer
    missing = [{"arm": "lr_optimizations", "seed": seed, "reason": "not run yet"} for seed in (2, 3)]
    write_tree(study.directory, read_tree(study.directory) | {"status": "partial", "missing": missing})
    partial = sota_exp.load_study("ladder")
    words = "This study is not complete: 2 runs missing. Run its command again: it continues where it stopped. "
    assert partial.answer == words + complete and repr(partial).startswith(f"<Study {partial.name}: {words}")
    assert "<strong>This study is not complete</strong>: 2 runs missing" in partial._repr_html_()
    assert partial.missing.to_dict("records") == missing
    assert list(study.missing.columns) == list(partial.missing.columns) and study.missing.empty


WRONG = {
    "an arm": ("baselin", 0, "arm=baselin: no such arm; legal: baseline, lr_optimizations. Did you mean baseline?"),
    "a seed": ("baseline", 7, "seed=7: no run of the arm baseline; legal: 0, 1"),
    "no number": ("baseline", "0", "seed='0': no run of the arm baseline; legal: 0, 1"),
}


@pytest.mark.parametrize(("arm", "seed", "message"), WRONG.values(), ids=WRONG)
def test_a_run_that_is_not_there_is_told(study: sota_exp.Study, arm: str, seed: int, message: str) -> None:
    with pytest.raises(sota_exp.ConfigError, match=re.escape(message)):
        study.run(arm, seed)


def test_a_run_is_called_by_arm_seed_and_fold(study: sota_exp.Study) -> None:
    run = study.run("lr_optimizations", 1)
    files = {"result.json": {"status": "finished", "fingerprint": "f", "metrics": {}}, "start.json": {}}
    for name, content in files.items():
        (run.directory / name).write_text(json.dumps(content | {"id": "1", "time": 0.0, "fingerprint": "f"}))
    (run.directory / "config.yaml").write_text("seed: 1\n")
    assert repr(sota_exp.load_run(run.directory)) == "<Run lr_optimizations, seed 1, finished>"
    (run.directory / "config.yaml").write_text("seed: 1\ndata: {split: {folds: 5, fold: 2}}\n")
    assert repr(run) == "<Run lr_optimizations, seed 1, fold 2, finished>"
    assert "<strong>lr_optimizations, seed 1, fold 2</strong>" in run._repr_html_()


def test_the_directory_of_an_arm_is_named(study: sota_exp.Study, tmp_path: Path) -> None:
    assert study.arms.directory.to_dict() == {
        name: str(tmp_path / "multirun/ladder/runs" / name) for name in ("baseline", "lr_optimizations")
    }
    folder = Path("multirun/ladder/runs/baseline")
    folder.rename(f"{folder}-33e984d0c1")
    with pytest.raises(sota_exp.ConfigError, match=rf"Did you mean {folder}-33e984d0c1\?"):
        sota_exp.load_model(folder)


def test_runs_have_their_folds_and_whole_directories(study: sota_exp.Study, tmp_path: Path) -> None:
    assert list(study.runs.columns) == ["arm", "seed", "value", "directory"]
    assert study.runs.directory[1] == str(tmp_path / "multirun/ladder/runs/baseline/1")
    Path(study.runs.directory[0], "config.yaml").write_text("data: {split: {folds: 5, fold: 0, repeat: 0}}\n")
    assert study.runs.fold.tolist() == [0, 1] * 2
