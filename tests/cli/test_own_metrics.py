"""Metrics of one's own: a class of another package, chosen in `evaluation/metrics` from a `--config-dir`."""

import json
from pathlib import Path

import pytest

from sota_exp.cli import main
from tests.experiments import TINY

MODULE = """
from dataclasses import dataclass

import numpy as np
import torch

from sota_exp.stages.evaluation import Metrics


@dataclass(frozen=True, kw_only=True)
class Cost(Metrics):
    cat_as_dog: float
    name: str = "cost"

    def __call__(self, logits, labels):
        wrong = (logits.argmax(1) == 1) & (labels == 0)
        cost = self.cat_as_dog if self.cat_as_dog >= 0 else float("nan")
        return {name: cost * wrong.float().mean().item() for name in self.name.split("|")}


@dataclass(frozen=True, kw_only=True)
class Odd(Metrics):
    made: str

    def __call__(self, logits, labels):
        return eval(self.made, {"np": np, "torch": torch})
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments that choose the metric."""
    (tmp_path / "my_metrics.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "mine" / "evaluation" / "metrics"
    folder.mkdir(parents=True)
    (folder / "cost.yaml").write_text("_target_: my_metrics.Cost\ncat_as_dog: 10.0\nname: cost\n")
    (folder / "odd.yaml").write_text("_target_: my_metrics.Odd\nmade: ???\n")
    return [f"--config-dir={tmp_path}/mine", "evaluation/metrics=cost"]


def test_a_run_an_evaluation_and_a_comparison_have_it(
    own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        words = ["train", *own, *TINY, "recipe=baseline", f"seed={seed}", f"hydra.run.dir={tmp_path}/r{seed}"]
        assert main.run_command_line(words) == 0
    output = capsys.readouterr().out
    for heading in ("macro F1", "macro precision", "balanced accuracy", "Cohen's κ", "cost"):
        assert heading in " ".join(output.split()).replace("\n", " ") or heading.split()[0] in output
    result = json.loads((tmp_path / "r0" / "result.json").read_text())
    assert 0 <= result["metrics"]["test/cost"] <= 10 and "val/cost" in result["metrics"]
    lines = [json.loads(line) for line in (tmp_path / "r0" / "metrics.jsonl").read_text().splitlines()]
    assert all("val/cost" in line and "val/macro_f1" in line for line in lines)
    words = [
        "evaluate",
        own[0],
        f"run={tmp_path}/r0",
        "evaluation.metrics.cat_as_dog=20",
        f"hydra.run.dir={tmp_path}/e",
    ]
    assert main.run_command_line(words) == 0
    again = json.loads((tmp_path / "e" / "result.json").read_text())
    assert again["metrics"]["test/cost"] == pytest.approx(2 * result["metrics"]["test/cost"])
    capsys.readouterr()
    assert main.run_command_line(["compare", f"{tmp_path}/r0", f"{tmp_path}/r1"]) == 0
    table = capsys.readouterr().out
    assert "test cost" in table and "test macro F1, %" in table and "test Cohen's κ" in table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name=accuracy", "accuracy of Cost is a metric of every run"),
        ("cat_as_dog=-1", "cost of Cost is nan"),
        ("name='at<1|at>1'", "at<1 of Cost is at_1 in MLflow, as another one is"),
        ("name=macro@f1", "macro@f1 of Cost is macro_f1 in MLflow, as another one is"),
    ],
)
def test_a_metric_that_is_no_number_or_has_a_name_of_ours_fails_the_run(
    own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    words = ["train", *own, *TINY, "recipe=baseline", f"evaluation.metrics.{change}", f"hydra.run.dir={tmp_path}/r"]
    assert main.run_command_line(words) == 1
    assert message in capsys.readouterr().err


def train_odd(own: list[str], place: Path, made: str) -> int:
    odd = [own[0], "evaluation/metrics=odd", f"evaluation.metrics.made='{made}'"]
    return main.run_command_line(["train", *odd, *TINY, "recipe=baseline", f"hydra.run.dir={place}"])


#: What a metric may return → the number that it is.
NUMBERS = {
    "np.float32(0.5)": 0.5,
    "np.int64(2)": 2.0,
    "torch.tensor(0.5)": 0.5,
    "np.array(0.5)": 0.5,
    "3": 3.0,
    "True": 1.0,
}


def test_a_number_of_numpy_or_torch_is_a_number(own: list[str], tmp_path: Path) -> None:
    names = {f"m{index}": made for index, made in enumerate(NUMBERS)}
    words = ", ".join(f"\\'{name}\\': {made}" for name, made in names.items())
    assert train_odd(own, tmp_path / "r", f"{{{words}}}") == 0
    result = json.loads((tmp_path / "r" / "result.json").read_text())["metrics"]
    for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines():
        for name, made in names.items():
            assert json.loads(line)[f"val/{name}"] == result[f"test/{name}"] == NUMBERS[made]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("None.score", "Odd raised AttributeError: 'NoneType' object has no attribute 'score'"),
        ("1 / 0", "Odd raised ZeroDivisionError: division by zero"),
        ("0.5", "Odd returned float instead of numbers with names; legal: a dictionary, name → number"),
        ("None", "Odd returned NoneType instead of"),
        ("[0.5]", "Odd returned list instead of"),
        ("dict(x=None)", "x of Odd is a value of type NoneType; legal: finite numbers"),
        ("dict(x=[0.5])", "x of Odd is a value of type list"),
        ("dict(x=torch.ones(2))", "x of Odd is a value of type Tensor"),
        ("dict(x=torch.tensor(torch.nan))", "x of Odd is nan"),
        ("{1: 0.5}", "1 of Odd is no text"),
        ("dict([[chr(118) + chr(97) + chr(108) + chr(47) + chr(120), 1]])", "val/x of Odd is a name with a part"),
    ],
)
def test_a_metric_that_fails_is_told_in_one_line(
    own: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], made: str, message: str
) -> None:
    assert train_odd(own, tmp_path / "r", made) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sota-exp: ")]
    assert len(errors) == 1 and errors[0].startswith(f"sota-exp: evaluation/metrics: {message}")


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize(
    "objective",
    ["val/cost", *(pytest.param(name, marks=pytest.mark.torture) for name in ("val/macro_f1", "val/top2_accuracy"))],
)
def test_a_sweep_searches_by_it(
    own: list[str], tmp_path: Path, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sweep", *own, *TINY, "recipe=baseline", "optimizer.lr=interval(0.01,0.1)", "hydra.sweeper.n_trials=2"]
    words += ["hydra.sweeper.confirm={top: 1, seeds: 2}", "schedule.length.epochs=1"]
    words += [f"hydra.sweeper.objective={objective}", f"hydra.sweep.dir={tmp_path}/s"]
    direction = "minimize" if objective == "val/cost" else "maximize"
    words += ["evaluation/metrics=top_k", "evaluation.metrics.k=[2]"] if "top2" in objective else []
    assert main.run_command_line([*words, f"hydra.sweeper.direction={direction}"]) == 0
    summary = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert summary["trials"]["complete"] + summary["trials"]["pruned"] == 2
    assert summary["command"].startswith(f"sota-exp sweep {own[0]} ")


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize("metric", [pytest.param("test/balanced_accuracy", marks=pytest.mark.torture), "test/cost"])
def test_a_study_compares_by_it(own: list[str], tmp_path: Path, metric: str) -> None:
    words = [
        "ablate",
        "--config-dir",
        *own[0].split("=")[1:],
        own[1],
        *TINY,
        "study=equal_arms",
        "study.seeds=2",
        "recipe=baseline",
        f"study.metric={metric}",
    ]
    words += ["schedule.length.epochs=1"]
    words += ["study.direction=minimize"] if metric == "test/cost" else []
    assert main.run_command_line([*words, f"hydra.sweep.dir={tmp_path}/s"]) == 0
    study = json.loads((tmp_path / "s" / "study.json").read_text())
    assert study["metric"] == metric and study["higher_is_better"] == (metric != "test/cost")
    assert study["arms"][0]["mean"] is not None
    assert study["command"].startswith(f"sota-exp ablate {own[0]} study=equal_arms {own[1]} ")
    assert all(arm["command"].startswith(f"sota-exp train {own[0]} {own[1]} ") for arm in study["arms"])
    assert (
        metric in (tmp_path / "s" / "report.md").read_text()
        or "balanced accuracy" in (tmp_path / "s" / "report.md").read_text()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.metric=test/cost"], "study.metric=test/cost is not legal"),
        (["study.metric=test/cost", "study.direction=down"], "study.direction=down is not legal: maximize, minimize"),
        (["study.metric=test/loss", "study.direction=maximize"], "study.direction=maximize is not legal: null"),
        (["study.metric=test/cost", "study.direction=minimize"], "choose evaluation/metrics=…, not none"),
        (["study.metric=test/top2_accuracy"], "choose evaluation/metrics=…, not none"),
    ],
)
def test_a_study_by_a_metric_that_nothing_measures_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    command = ["ablate", *TINY, "study=equal_arms", "recipe=baseline", *words, f"hydra.sweep.dir={tmp_path}/s"]
    assert main.run_command_line(command) == 2
    assert message in capsys.readouterr().err
