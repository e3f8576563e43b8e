"""Studies as objects, also those with missing runs."""

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
