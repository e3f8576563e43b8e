"""What can be known before training, as objects; and studies by the beginning of their names."""

import json
import math
from pathlib import Path

import pytest
from PIL import Image

import sota_exp
from sota_exp.study import cost_estimate
from tests.experiments import TINY
from tests.handed_in import Colours
from tests.report.studies import STEPS, write_study

WORDS = ("scale=smoke", *TINY)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LOOKED = {
    "step": 1,
    "class_counts": {"train": {"cat": 5, "dog": 7}, "val": {"cat": 1, "dog": 2}, "test": {"cat": 2, "dog": 0}},
    "near_duplicates": {"pairs": [{"val": "a.png", "train": "b.png", "classes": ["cat", "dog"], "distance": 0.01}]},
    "summary": {"batch": ["8 images of 16 px"], "class_balance": ["2 classes", "no <test> images of dog"]},
}


def test_look_shows_what_the_shell_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    (tmp_path / "look.json").write_text(json.dumps(LOOKED))
    for name in LOOKED["summary"]:
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(
        "sota_exp.cli.python.commands.run_job", lambda task, words, command: asked.extend([command, *words]) or tmp_path
    )
    found = sota_exp.look("step=1", "seed=3", data=Colours(), quiet=True)
    assert asked[0] == "look" and {"data=python", "seed=3"} <= set(asked) and "step=1" not in asked
    assert found.classes.loc["dog"].to_dict() == {"train": 7, "val": 2, "test": 0}
    assert found.near_duplicates.distance.tolist() == [0.01] and dir(found.figures) == ["batch", "class_balance"]
    shown = found._repr_html_()
    assert shown.count("data:image/png;base64") == 2 and "no &lt;test&gt; images of dog" in shown


def test_a_plan_is_what_the_shell_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    costs = {"none": 2.0, "alternating": 3.0, "random": "out of memory", "counts": {"train": 48, "val": 6, "test": 6}}
    monkeypatch.setattr(cost_estimate, "estimate_arm_seconds", lambda *_: costs)
    found = sota_exp.plan("study=one_slot", "study.slot=augmentation/flip", "study.seeds=7", *WORDS, quiet=True)
    assert list(found.arms.index) == ["none", "alternating", "random"]
    assert found.arms.loc["random", ["label", "reference", "runs", "finished"]].tolist() == ["random", "none", 7, 0]
    assert found.arms.seconds.tolist()[:2] == [2.0, 3.0] and math.isnan(found.seconds)
    assert len(found.options) == 0 and "3 arms × 7 seeds" in repr(found)
    assert "The smallest effect that 7 seeds detect among 2 comparisons" in " ".join(str(found).split())
    assert str(found).splitlines()[0] in found._repr_html_()
    assert not found.directory.exists() and capsys.readouterr().out == ""


def test_a_flag_of_the_shell_has_a_function() -> None:
    with pytest.raises(sota_exp.ConfigError, match="--plan: a flag of the shell; from Python sota_exp.plan"):
        sota_exp.ablate("study=equal_arms", "--plan")


def test_a_study_is_found_by_the_beginning_of_its_name() -> None:
    for name in ("ladder-photos-1", "ladder-photos-2", "pairs-1"):
        write_study(Path("multirun", name), STEPS[:2], range(2), num_test=20)
    assert sota_exp.load_study("pairs").directory == Path("multirun/pairs-1").absolute()
    with pytest.raises(
        sota_exp.ConfigError, match="ladder means 2 directories below multirun/; name one: ladder-photos-1"
    ):
        sota_exp.load_study("ladder")
    with pytest.raises(
        sota_exp.ConfigError, match="lider: neither the directory of a study .* legal: ladder-photos-1, "
    ):
        sota_exp.load_study("lider")
    with pytest.raises(sota_exp.ConfigError, match="pairs: neither the directory of a search .* below multirun/$"):
        sota_exp.load_sweep("pairs")
