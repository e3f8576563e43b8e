"""`sota-exp report` and `compare --html`: files, output and mistakes."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from sota_exp.cli import main
from sota_exp.cli.compare import main as compare
from sota_exp.cli.report import find_page
from sota_exp.errors import ConfigError
from sota_exp.report.document.write import render_markdown
from sota_exp.report.sweep.figures import build_search_figures, list_history
from sota_exp.report.sweep.page import TEMPLATE, collect_values, fill_in, format_sweep_note
from sota_exp.tracking.mlflow_sweep import build_metrics
from tests.report.pages import Page
from tests.report.run.test_figures import write_run as write_finished
from tests.report.studies import STEPS, write_study
from tests.run_directories import write_run


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_study(Path("multirun/ladder"), STEPS[:3], range(3), num_test=60)


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize("word", ["multirun/ladder", "ladder", "multirun/ladder/", "lad"])
def test_a_study_is_reported_by_its_path_or_name(study: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads((study / "study.json").read_text()) | {"next": {"lines": ["Mixup: 24 seeds show it."]}}
    (study / "study.json").write_text(json.dumps(found))
    assert main.run_command_line(["report", word]) == 0
    output = capsys.readouterr().out
    assert "p adj." in output and "95 % interval" in output and "What next\n  Mixup: 24 seeds show it." in output
    assert "of 2" in output and "multirun/ladder/report.html, report.md and" in output
    assert Page((study / "report.html").read_text()).tables
    text = (study / "report.md").read_text()
    assert text.startswith("# The published ladder") and f" · `{found['command']}`" in text.partition("\n\n**")[0]
    assert f" · {found['data']} · " in text.partition("\n\n**")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report needs a directory; legal: ladder"),
        (["a", "b"], "b: report takes no further argument: sota-exp report DIRECTORY"),
        (["--open"], "--open: no such option of report; legal: --grad-cam, --trust."),
        (["--grad-cam"], "report needs DIRECTORY"),
        (["nowhere"], "nowhere: no such directory, and no run below outputs/ or multirun/ has this name"),
        (["nowhere"], "; legal: ladder"),
        ([__file__], f"{__file__}: a file, not a folder"),
        (["multirun"], "multirun means 9 runs, and a page is of one: sota-exp report multirun/ladder/runs/"),
        (["multirun"], "sota-exp compare multirun --html report.html"),
        (
            ["ladder", "--grad-cam"],
            "--grad-cam is of the page of one run, and multirun/ladder is a study or sweep: name",
        ),
        (["multirun", "--grad-cam"], "multirun means 9 runs, and a page is of one"),
    ],
)
def test_mistakes_are_one_line(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main.run_command_line(["report", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_run_is_reported_by_its_path_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_finished(tmp_path / "outputs" / "a_run")
    for word in ("outputs/a_run", "a_run", "a_r"):
        (tmp_path / "outputs" / "a_run" / "report.html").unlink(missing_ok=True)
        assert main.run_command_line(["report", word]) == 0
        assert "Test accuracy 70.00 %" in capsys.readouterr().out
        assert (tmp_path / "outputs" / "a_run" / "report.html").is_file()


@pytest.fixture
def with_model(tmp_path: Path) -> Path:
    from sota_exp.models.small_nets import build_small

    directory = write_finished(tmp_path / "a_run")
    described = {
        "arch": {"_option_": "small", "name": "resnet_xs", "width_multiplier": 1.0},
        "transforms": {},
        "predictor": {"_option_": "none"},
        "preprocessing": {"mean": [0.5] * 3, "std": [0.2] * 3, "resize": 12, "size": 12},
    }
    described |= json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(described))
    save_file(build_small("resnet_xs", 4, 1.0).state_dict(), directory / "model.safetensors")
    return directory


@pytest.mark.usefixtures("charts_only_made")
def test_the_worst_mistakes_are_shown_with_grad_cam_on_request(with_model: Path) -> None:
    pytest.importorskip("captum")
    for flags, wide in (["--grad-cam"], 24), ([], 12):
        assert main.run_command_line(["report", str(with_model), *flags]) == 0
        page = (with_model / "report.html").read_text()
        images = [base64.b64decode(each) for each in re.findall(r'"data:image/png;base64,([^"]+)"', page)]
        assert [Image.open(io.BytesIO(each)).size for each in images] == [(wide, 12)] * 5
        assert ("Right half: Grad-CAM (Selvaraju et al. 2016" in Page(page).text) == bool(flags)


@pytest.mark.parametrize(
    "missing, message",
    [
        ("captum", "--grad-cam needs captum: pip install 'sota-exp[grad-cam]'"),
        ("model.safetensors", "model.safetensors"),
        ("mistakes.npz", "no mistakes can be shown"),
    ],
)
def test_grad_cam_says_what_is_missing(
    with_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str, message: str
) -> None:
    if missing == "captum":
        monkeypatch.setitem(sys.modules, "captum", None)
    else:
        pytest.importorskip("captum")
        (with_model / missing).unlink()
    assert main.run_command_line(["report", str(with_model), "--grad-cam"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not (with_model / "report.html").exists()


@pytest.mark.parametrize("word", ["outputs/few-1f", "few"])
def test_a_page_of_several_runs_is_refused_with_what_has_them(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for fold in range(2):
        write_finished(tmp_path / f"outputs/few-1f/repeat0-fold{fold}")
    (tmp_path / "outputs/few-1f/folds.json").write_text("{}")
    (tmp_path / "multirun/another").mkdir(parents=True)
    (tmp_path / "multirun/another/study.json").write_text("{}")
    assert main.run_command_line(["report", word]) == 2
    one, every = "sota-exp report outputs/few-1f/repeat0-fold0", f"sota-exp compare {word} --html report.html"
    said = f"{word} means 2 runs, and a page is of one: {one}. All of them: {every}; their scores are in outputs/few-1f/folds.json\n"
    assert capsys.readouterr().err == f"sota-exp: {said}"
    with pytest.raises(ConfigError, match="outputs/few-1f means 2 runs, and a page is of one"):
        find_page(Path("outputs/few-1f"))


@pytest.mark.usefixtures("charts_only_made")
def test_a_place_that_cannot_be_written_fails_in_one_line(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "figures").write_text("a file")
    assert main.run_command_line(["report", str(study)]) == 1
    assert "no report can be written" in capsys.readouterr().err


def test_runs_are_compared_on_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name)
    (tmp_path / "two" / "result.json").write_text(
        (tmp_path / "two" / "result.json").read_text().replace('"pad"', '"random_resized"')
    )
    compare([str(tmp_path / "one"), "--html", str(tmp_path / "pages" / "page.html"), str(tmp_path / "two"), "--each"])
    page = Page((tmp_path / "pages" / "page.html").read_text())
    assert "augmentation/crop (pad, random_resized)" in page.text
    (results,) = [table for table in page.tables if "crop=random_resized" in table.heads]
    assert page.text.lstrip().startswith("Comparison of crop=pad, crop=random_resized")
    assert ["val accuracy, %", *["70.00 (60.42 to 78.11)"] * 2] in results.rows
    compare([str(tmp_path / "one"), f"--html={tmp_path}/alone.html"])
    assert "1 configuration · 1 run" in (tmp_path / "alone.html").read_text()


@pytest.mark.parametrize("words", [["--html"], ["--html", "--each"], ["--html="], ["--html", ""]])
def test_a_page_needs_a_name(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"^--html.*: (expected one argument|a value is missing); see sota-exp compare --help"
    ):
        compare([str(write_run(tmp_path / "one")), *words])


SWEEP = {
    "name": "lr_wd",
    "objective": ["val/accuracy"],
    "direction": ["maximize"],
    "trials": {"complete": 2, "pruned": 1, "failed": 1, "running": 0},
    "best": {"number": 2, "value": 0.85, "params": {"optimizer.lr": 0.123456}},
    "ranking": [{"number": 2, "knobs": {"lr": 0.1}, "values": [0.85]}, {"number": 0, "knobs": {}, "values": [0.8]}],
    "failures": [{"number": 3, "reason": "diverged"}],
    "importances": {"fANOVA": {"lr": 0.75, "wd": 0.25}},
    "seconds": 125.0,
    "entries": [
        {"number": 0, "state": "complete", "values": [0.8], "reports": {}},
        {"number": 1, "state": "pruned", "values": [], "reports": {"1": 0.4, "2": 0.5}},
        {"number": 2, "state": "complete", "values": [0.85], "reports": {}},
        {"number": 3, "state": "failed", "values": [], "reports": {}},
    ],
    "confirm": {
        "metric": "val/accuracy",
        "winner": "trial 2",
        "words": "Trial 2 beats the recipe's own values: +1.20 points of test accuracy.",
        "test": {"mean": 0.012, "interval": [0.004, 0.02], "p_value": 0.012, "n": 5},
        "verdict": "beats",
        "overrides": ["optimizer.lr=0.123456"],
        "arms": [
            {"name": "default", "overrides": [], "mean": 0.8, "sd": 0.01, "difference": None},
            {"name": "trial 2", "overrides": ["optimizer.lr=0.123456"], "mean": 0.82, "sd": 0.01,
             "difference": {"mean": 0.02, "interval": [0.01, 0.03], "p_value": 0.01}},
        ],
    },
    "command": "sota-exp sweep search=lr",
}  # fmt: skip


def test_a_sweep_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP))
    write_run(tmp_path / "0")
    assert main.run_command_line(["report", str(tmp_path)]) == 0
    assert "Trial 2 beats the recipe's own values" in capsys.readouterr().out
    page = Page((tmp_path / "report.html").read_text())
    assert (
        "2023-11-14 · fake · 800 training images · 32 px · 3 epochs · Objective val/accuracy · 2 complete" in page.text
    )
    assert "sota-exp sweep search=lr" in page.text.partition("Trial 2 beats")[0]
    row = ["trial 2", "82.00", "1.00", "+2.00", "+1.20", "+0.40 to +2.00", "0.012", "optimizer.lr=0.123456"]
    assert row in page.tables[0].rows
    assert "The winner is chosen by val/accuracy." in page.text
    assert page.tables[1].rows == [["2", "85.00", "lr=0.1"], ["0", "80.00", "its own values"]]
    assert page.tables[2].rows == [["lr", "75 %"], ["wd", "25 %"]]
    assert "Caution: of 2 trials alone" in page.text
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"confirmed", "search_history"}


def test_a_sweep_says_that_its_winner_was_chosen_on_other_seeds(tmp_path: Path) -> None:
    confirm = {**SWEEP["confirm"], "seeds": [1000, 1001], "choice_seeds": [2000, 2001]}
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP | {"confirm": confirm}))
    assert main.run_command_line(["report", str(tmp_path)]) == 0
    assert (
        "The winner is chosen by val/accuracy on other seeds than these."
        in Page((tmp_path / "report.html").read_text()).text
    )


@pytest.mark.parametrize(
    ("change", "columns", "absent"),
    [
        ({}, ["val/accuracy, %", "test/accuracy: difference, points", "95 % interval", "p"], []),
        ({"test": None}, ["val/accuracy, %"], ["test/accuracy", "confirmed result", "Filled"]),
    ],
)
def test_the_headline_the_table_and_the_figure_of_a_sweep_name_the_same_result(
    tmp_path: Path, change: dict[str, object], columns: list[str], absent: list[str]
) -> None:
    confirm = SWEEP["confirm"] | change | ({"words": "No comparison."} if change else {})  # type: ignore[operator]
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP | {"confirm": confirm}))
    assert main.run_command_line(["report", str(tmp_path)]) == 0
    page = Page((tmp_path / "report.html").read_text())
    assert set(columns) <= set(page.tables[0].heads)
    figure = (tmp_path / "figures" / "confirmed.svg").read_text()
    assert ("trial 2, test/accuracy" in figure) is not bool(change) and "trial 2, val/accuracy" in figure
    assert not any(words in page.text for words in absent)
    note = format_sweep_note(SWEEP | {"confirm": confirm})
    assert ("+0.40 to +2.00" in note) is not bool(change) and not any(words in note for words in absent)


def test_a_confirmation_of_equal_differences_has_no_intervals(tmp_path: Path) -> None:
    equal: dict[str, object] = {"mean": 0.0, "interval": None, "p_value": None, "n": 2}
    confirm: dict[str, object] = json.loads(json.dumps(SWEEP["confirm"])) | {"test": equal}
    confirm["arms"][1]["difference"] = equal  # type: ignore[index]
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEP | {"confirm": confirm}))
    assert main.run_command_line(["report", str(tmp_path)]) == 0
    page = Page((tmp_path / "report.html").read_text())
    assert "paired by seed. Rings:" in page.text and "95 % interval" not in page.tables[0].heads
    assert {"confirm/test_difference"} == {
        name for name in build_metrics(SWEEP | {"confirm": confirm}) if "confirm/" in name
    }


@pytest.mark.parametrize(
    ("entries", "marks"),
    [
        ([("complete", 0.8), ("complete", 0.82)], [False, False]),
        ([("complete", 0.8), ("pruned", 0.81)], [True, False]),
        ([("complete", 0.8), ("complete", 0.81), ("complete", 0.82), ("complete", 0.1)], [False, True]),
    ],
)
def test_a_history_explains_the_marks_that_it_has(entries: list[tuple[str, float]], marks: list[bool]) -> None:
    listed = [{"number": at, "state": state, "values": [value]} for at, (state, value) in enumerate(entries)]
    tree = SWEEP | {"entries": listed, "objective": ["val/accuracy"], "direction": ["maximize"]}
    tree, figures = fill_in(tree), build_search_figures(tree)
    shown = {"confirmation": None, "figures": figures, "history": list_history(tree)}
    words = render_markdown(TEMPLATE, **collect_values(tree, 5), **shown).text
    assert ["Rings:" in words, "triangle" in figures["search_history"].note] == marks


@pytest.mark.parametrize(
    "tree", [{}, {"trials": {"complete": 0}}, SWEEP | {"confirm": None}, SWEEP | {"objective": "val/loss"}]
)
def test_a_sweep_with_few_facts_is_reported_too(tmp_path: Path, tree: dict[str, object]) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(tree))
    assert main.run_command_line(["report", str(tmp_path)]) == 0
    assert Page((tmp_path / "report.html").read_text()).ids


def test_an_invalid_sweep_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep.json").write_text("[]")
    assert main.run_command_line(["report", str(tmp_path)]) == 2
    assert "not the format of a sweep" in capsys.readouterr().err
