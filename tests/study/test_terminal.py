"""A study on the terminal: intervals drawn to scale, every arm with its reason, at any width."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from sota_exp.study import terminal
from sota_exp.study.clock import StudyClock
from sota_exp.study.files import ArmRun, StudyFiles
from sota_exp.study.results import StudyRuns
from sota_exp.study.study_json import build_study_json
from sota_exp.study.terminal_plan import format_study_plan
from tests.study.studies import arm, chain, study, write_all


def printed(*parts: object, width: int = 120) -> str:
    out = Console(file=io.StringIO(), width=width)
    for part in parts:
        out.print(part)
    text: str = out.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("width", terminal.INTERVAL_WIDTHS)
@pytest.mark.parametrize(("low", "middle", "high"), [(-1.0, 0.0, 1.0), (0.5, 0.75, 1.0), (-0.2, -0.1, 0.3)])
def test_an_interval_is_drawn_to_scale(low: float, middle: float, high: float, width: int) -> None:
    def place(value: float) -> int:
        return round((value + 1) / 2 * (width - 1))

    found = terminal.draw_interval_bar(low, middle, high, 1, width)
    drawn = [index for index, sign in enumerate(found) if sign in "─●┼"]
    assert len(found) == width and found.index("●") == place(middle)
    assert (drawn[0], drawn[-1]) == (place(low), place(high))
    assert found[width // 2] in "│┼●"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_result_names_every_arm_and_what_is_not_known(tmp_path: Path, width: int) -> None:
    made, files = study(chain("a", "b", "c"), seeds=6), StudyFiles(directory=tmp_path)
    write_all(made, files, {"b": 2.0, "c": 2.0})
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    text = printed(terminal.format_study_result(found), width=width)
    words = " ".join(text.split())
    assert "If no technique changes anything, at most 5 % of studies have even one wrong verdict" in words
    assert len(text.splitlines()) <= 25 and "simulated" not in words
    assert "helps" in text and "A" in text and "refused impossible: a rule forbids it" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("length", "epochs", "words"),
    [
        ("standard", (4, 4), "4 epochs at 128 px; the recipe's own length is 30 epochs"),
        ("standard", (1, 1), "1 epoch at 128 px; the recipe's own length is 30 epochs"),
        ("long", (100, 100), "100 epochs at 128 px"),
        ("standard", (30, 40), "30 to 40 epochs at 128 px"),
    ],
)
def test_plan_and_result_say_how_long_a_run_is(
    length: str, epochs: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    """The result of a study of 4 epochs named them 70 lines above its table."""
    made, files = study(chain("a", "b"), seeds=6), StudyFiles(directory=tmp_path)
    for each, num in zip(made.arms.ready, epochs, strict=True):
        each.configuration.choices["schedule/length"] = length
        each.configuration.values["schedule"] = {"length": {"epochs": num}}
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    assert f"Every run: {words}. ±: how much single runs vary.\n" in printed(terminal.format_study_result(found))
    assert f"2 arms × 6 seeds, {words}; in " in " ".join(printed(*terminal.format_study_heading(made, files)).split())


@pytest.mark.parametrize("width", [80, 110, 120])
def test_numbers_and_names_are_whole_at_any_width(tmp_path: Path, width: int) -> None:
    made, files = study(chain("a", "b", "c"), seeds=6), StudyFiles(directory=tmp_path)
    write_all(made, files, {"b": 2.0, "c": 2.0})
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    found["arms"][1] |= {
        "label": "TrivialAugment tuning and all of it",
        "difference": -0.1234,
        "new_images": found["arms"][1]["new_images"] | {"interval": [-0.2345, 0.1]},
    }
    text = printed(terminal.format_study_result(found), width=width)
    words = text.replace("−", "-").split()
    whole = {"-12.34", "-23.45", "+10.00", found["metric"], "interval", "points", "distinguished", "TrivialAugment"}
    assert whole <= set(words)
    assert "…" not in text.replace(" … ", "")


def test_a_plan_says_what_these_seeds_can_show(tmp_path: Path) -> None:
    made, files = study(chain("a", "b"), seeds=4), StudyFiles(directory=tmp_path)
    text = printed(
        *terminal.format_study_heading(made, files),
        format_study_plan(made, files, {"a": 61.0, "b": "too large", "counts": {"train": 8000, "test": 2000}}),
    )
    words = " ".join(text.split())
    assert "No verdict is possible with 4 seeds. At least 6 seeds are needed." in words
    assert "2 arms × 4 seeds" in text and "1 min 1 s" in text and "Not measured: b: too large." in words
    assert "About 4 min 4 s for the runs of 1 of 2 arms, one run after the other" in words
    assert "at least 6 seeds are needed" in words and "a fifth of 2,000 test images" in words


@pytest.mark.parametrize("width", [80, 120])
def test_a_plan_says_once_why_arms_are_not_measured_and_cuts_nothing(tmp_path: Path, width: int) -> None:
    """Without a connection, the same reason was cut in every row, and the total was that of one arm."""
    reason = (
        "cifar10 is not available: put it into a/folder/with/a/very/long/name/for/a/narrow/column, or set data.root"
    )
    made = study([arm("a"), *(arm(f"with_another_slot/weight_decay_{at}", "a") for at in range(6))])
    files = StudyFiles(directory=tmp_path)
    text = printed(format_study_plan(made, files, {each.name: reason for each in made.arms.ready}, 2), width=width)
    words = " ".join(text.split())
    assert words.count("cifar10 is not available") == 1 and f"Not measured: all arms: {reason}." in words
    assert "About" not in text and "…" not in text.replace("study.looks=[…]", "")
    assert max(map(len, text.splitlines())) <= width and "change=with_another_slot/weight_decay_5" in words
    costs = {each.name: 60.0 for each in made.arms.ready}
    assert "About 14 min, 2 runs at a time" in " ".join(printed(format_study_plan(made, files, costs, 2)).split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_line_of_a_run_fits_and_says_the_time_left(
    tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    made, files = study(chain("a", "without_repeated_augmentation"), seeds=12), StudyFiles(directory=tmp_path)
    write_all(made, files)
    progress, jobs = (
        terminal.ProgressPrinter(made, files, StudyClock()),
        [ArmRun(arm=each, seed=seed, place=files.place(each, seed)) for each in made.arms.ready for seed in (0, 11)],
    )
    progress.begin(jobs)
    for at, job in enumerate(jobs):
        progress.print_ended_run(job, None, 400 - at)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 4 and max(map(len, lines)) <= width
    assert all(line.endswith(" left") and line.index(" %") == lines[0].index(" %") for line in lines)


def test_a_plan_has_the_seeds_of_each_kind_of_looks(tmp_path: Path) -> None:
    """Also of a study without looks, and with the smallest effect that its user asks for."""
    files = StudyFiles(directory=tmp_path)
    known = {"counts": {"train": 8000, "test": 2000}}
    words = " ".join(printed(format_study_plan(study(chain("a", "b"), seeds=8), files, known)).split())
    assert "the smallest effect of interest (study.smallest_effect)" in words
    assert "fixed: study.seeds alone 8" in words and "any: study.looks=anytime" in words
    made = study(chain("a", "b"), looks=[8, 12], smallest_effect=0.01)
    words = " ".join(printed(format_study_plan(made, files, known)).split())
    assert "Seeds per arm to show 1.00 points" in words and "planned: study.looks=[8,12] 12" in words


@pytest.mark.parametrize("width", [80, 120])
def test_a_result_of_looks_at_any_time_says_what_it_promises_and_how_to_go_on(tmp_path: Path, width: int) -> None:
    made = study([arm("a"), arm("b", "a"), arm("c", "a")], looks="anytime", seeds=8)
    files = StudyFiles(directory=tmp_path)
    write_all(made, files, {"b": 1.0, "c": 0.25})
    found = build_study_json(made, StudyRuns.read(made, files, {}))
    words = " ".join(printed(terminal.format_study_result(found), width=width).split())
    assert "at most 5 % of studies ever have even one wrong verdict" in words
    (num,) = found["looks"]["decided"].values()
    further = found["arms"][2]["further_seeds"]
    assert f"Decided: b after {num} seeds." in words
    assert f"; {8 + further} seeds (" in words and f"study.seeds={8 + further} goes on" in words
    heading = printed(*terminal.format_study_heading(made, files))
    assert "3 arms × up to 8 seeds" in heading


def test_a_plan_has_the_names_that_labels_do_not_tell(tmp_path: Path) -> None:
    label = {"transfer": "pretrained weights", "weight_decay": "Weight-decay"}
    techniques = {name: {"label": text, "with": ["a=b"], "without": ["a=c"]} for name, text in label.items()}
    made, files = study(chain("a", "b"), techniques=techniques), StudyFiles(directory=tmp_path)
    words = " ".join(printed(format_study_plan(made, files, {})).split())
    assert "Names in study.only: transfer (pretrained weights)." in words
