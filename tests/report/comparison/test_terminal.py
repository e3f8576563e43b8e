"""A comparison on the terminal: numbers, blocks of columns that fit, and the same as JSON."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sota_exp.config.values import shorten_middle
from sota_exp.report.comparison.compare_runs import SeedStatistics, compare_runs
from sota_exp.report.comparison.page import write_comparison_page
from sota_exp.report.comparison.tables import format_mean_and_spread
from sota_exp.report.comparison.terminal import MAX_LENGTH, comparison_to_json, print_comparison, split_columns
from sota_exp.report.numbers import format_interval, format_yaml_value
from sota_exp.runs.find import SavedRun
from sota_exp.statistics.paired import Estimate
from sota_exp.statistics.units import SHARE_FORMAT, UNKNOWN, format_p_value
from tests.finished_runs import make, right
from tests.report.pages import Page


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(*directories: Path, width: int = 120, each: bool = False) -> str:
    out = io.StringIO()
    print_comparison(
        compare_runs([SavedRun.read(directory) for directory in directories], each), Console(file=out, width=width)
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "cell", "text"),
    [
        (
            "test/accuracy",
            SeedStatistics(mean=0.8387, sd=None, interval=(0.812, 0.8625), n=1),
            "83.87 (81.20 to 86.25)",
        ),
        ("test/accuracy", SeedStatistics(mean=0.8387, sd=0.004, interval=None, n=3), "83.87 ± 0.40"),
        ("test/loss", SeedStatistics(mean=0.5, sd=None, interval=None, n=1), "0.5000"),
        ("best/epoch", SeedStatistics(mean=13.0, sd=None, interval=None, n=1), "13"),
        ("best/epoch", SeedStatistics(mean=12.5, sd=0.7, interval=None, n=2), "12 ± 0.7"),
        ("parameters", SeedStatistics(mean=310_000, sd=0.0, interval=None, n=2), "0.31"),
        ("peak_memory_bytes", SeedStatistics(mean=2**30, sd=None, interval=None, n=1), "1,024"),
        ("test/ece", None, "–"),
    ],
)
def test_a_number_and_its_spread(name: str, cell: SeedStatistics | None, text: str) -> None:
    assert format_mean_and_spread(name, cell) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "true"), (0.5, "0.5"), ("x" * 30, "x" * 16 + "…" + "x" * 7), ([1, 2], "[1, 2]")],
)
def test_a_value_in_a_cell(value: object, text: str) -> None:
    assert shorten_middle(format_yaml_value(value, none=UNKNOWN), MAX_LENGTH) == text


@pytest.mark.parametrize(
    ("width", "expected"), [(100, [(0, 4)]), (16, [(0, 2), (2, 4)]), (4, [(0, 1), (1, 2), (2, 3), (3, 4)])]
)
def test_columns_go_into_blocks_that_fit(width: int, expected: list[tuple[int, int]]) -> None:
    found = [(block.start - 1, block.stop - 1) for block in split_columns([["name", *["1234"] * 4]], width)]
    assert found == expected


def test_intervals_and_probabilities_in_words() -> None:
    assert format_interval(SHARE_FORMAT, Estimate(mean=0.01, low=-0.005, high=0.025, n=9)) == "−0.50 to +2.50"
    assert format_interval(SHARE_FORMAT, None) == "–"
    assert (format_p_value(0.04321), format_p_value(0.00001)) == ("0.043", "< 0.001")


def test_the_whole_page(tmp_path: Path) -> None:
    directories = [
        make(tmp_path / "outputs" / f"{name}{seed}", seed, {"optimizer.lr": lr}, correct=right(num))
        for name, lr, counts in (("low", 0.01, (28, 29)), ("high", 0.1, (29, 28)))
        for seed, num in enumerate(counts)
    ]
    text = shown(*directories)
    for words in (
        "A  outputs/{low0, low1}    0, 1   finished",
        "optimizer.lr",
        "71.25 ± 1.77",
        "± of several seeds: their standard deviation.",
        "B − A",
        "paired over 2 seeds",
    ):
        assert words in text
    assert "In parentheses" not in text and "Bold" not in text


def test_equal_runs_say_that_nothing_differs(tmp_path: Path) -> None:
    text = shown(make(tmp_path / "a"), make(tmp_path / "b"))
    assert "No choice and no value differs." in text


def test_a_narrow_terminal_cuts_no_number(tmp_path: Path) -> None:
    directories = [make(tmp_path / str(index), values={"batch_size": 8 + index}) for index in range(6)]
    text = shown(*directories, width=60)
    assert text.count("70.00 (54.57 to 81.93)") == 6
    assert max(len(line) for line in text.split("test accuracy  ")[0].splitlines()) <= 60


def test_a_narrow_terminal_cuts_no_name(tmp_path: Path) -> None:
    names = [f"small_images-animals_on_photos-seed{seed}-1f2e3d4c" for seed in range(2)]
    text = shown(*(make(tmp_path / "outputs" / name, seed=seed) for seed, name in enumerate(names)), width=80)
    assert all(name in text for name in names) and "outputs/{small" in text


def test_square_brackets_are_no_markup(tmp_path: Path) -> None:
    one, other = make(tmp_path / "[bold]a"), make(tmp_path / "b", values={"augmentation.crop.scale": ["[red]", 1]})
    text = shown(one, other)
    assert "[bold]a" in text and "['[red]', 1]" in text


def test_json_has_everything_as_plain_values(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a"), make(tmp_path / "b", values={"optimizer.lr": 0.1}, correct=right(35))
    found = json.loads(
        json.dumps(comparison_to_json(compare_runs([SavedRun.read(one), SavedRun.read(other)])), allow_nan=False)
    )
    assert [group["runs"] for group in found["groups"]] == [["a"], ["b"]]
    assert found["differing"]["values"] == {"optimizer.lr": [0.01, 0.1]}
    assert [cell["mean"] for cell in found["metrics"]["test/accuracy"]] == [0.7, 0.875]
    assert found["best"]["test/accuracy"] == ["B"]
    assert found["pairs"][0]["mcnemar"]["won"] == 7


def one_each(path: Path) -> list[Path]:
    return [make(path / "a"), make(path / "b", values={"optimizer.lr": 0.1}, correct=right(35))]


def two_seeds_each(path: Path) -> list[Path]:
    made = [(name, seed) for name in (0.01, 0.1) for seed in range(2)]
    return [
        make(path / f"{lr}-{seed}", seed, {"optimizer.lr": lr}, correct=right(28 + int(10 * lr) * seed))
        for lr, seed in made
    ]


#: Of each explanation of a column or a mark: the words that explain it, and those that are there with it alone.
EXPLANATIONS = {
    "Won : lost counts": "McNemar p",
    "paired by image": "95 %: images",
    "by seed.": "95 %: seeds",
    "± of several seeds": " ± ",
    "In parentheses": " (54.57 to 81.93)",
}


@pytest.mark.parametrize(
    ("runs", "explained"),
    [
        (lambda path: [make(path / "a")], {"In parentheses"}),
        (one_each, {"In parentheses", "Won : lost counts", "paired by image"}),
        (two_seeds_each, {"± of several seeds", "paired by image", "by seed."}),
        (lambda path: [make(path / "a"), make(path / "b", digest="e" * 64)], {"In parentheses"}),
        (lambda path: [make(path / "a", status="failed")], set()),
    ],
    ids=["one run", "one seed each", "two seeds each", "other images", "failed"],
)
def test_what_is_explained_is_there(
    runs: Callable[[Path], list[Path]], explained: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the terminal and on the page: no caption describes a column or a mark that its tables lack."""
    monkeypatch.chdir(tmp_path)
    made = runs(tmp_path)
    write_comparison_page(compare_runs([SavedRun.read(path) for path in made]), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    for text in (" ".join(shown(*made, width=200).split()), " ".join(page.text.split())):
        assert {words for words in EXPLANATIONS if words in text} == explained
        for words in explained:
            assert EXPLANATIONS[words].strip() in text
    assert ("95 % intervals over seeds" in page.text) is ("by seed." in explained)
    assert ("a band of one standard deviation" in page.text) is ("by seed." in explained)


def test_classes_without_images_are_named(tmp_path: Path) -> None:
    """On the terminal and on the page; their accuracy is null in result.json."""
    made = [
        make(tmp_path / "a", per_class_accuracy={"cat": 0.7, "dog": None}),
        make(tmp_path / "b", values={"optimizer.lr": 0.1}, per_class_accuracy={"cat": 0.8, "dog": 0.1}),
    ]
    write_comparison_page(compare_runs([SavedRun.read(path) for path in made]), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    for text in (" ".join(shown(*made, width=200).split()), " ".join(page.text.split())):
        assert "A: no image of dog, so macro scores are means over the other classes." in text
    assert "no image of" not in shown(made[1])


@pytest.mark.parametrize("sign", ["x", "\n", "日", "\u0301"])
def test_a_long_text_is_cut_by_characters_and_by_cells(sign: str) -> None:
    """Signs without a width count too: a server may answer with a million of them."""
    found = shorten_middle(f"begin{sign * 1000}end", 50)
    assert max(len(found), cell_len(found)) <= 50 and found.startswith("begin") and found.endswith("end")
