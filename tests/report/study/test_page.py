"""A study's report: valid self-contained HTML, the same text as Markdown, every kind of study, every number."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from markdown_it import MarkdownIt

from sota_exp.cli import main
from sota_exp.report.document import write
from sota_exp.report.drawing.chart import INKS, format_ink_css
from sota_exp.report.study.page import write_study_report
from tests.conftest import compare_with_schema
from tests.experiments import TINY
from tests.report.pages import Page, markdown_tables
from tests.report.pictures import Picture
from tests.report.recomputed import check
from tests.report.studies import (
    STEPS,
    adjusted,
    arm_tree,
    compare,
    read_tree,
    study_tree,
    verdict,
    write_study,
    write_tree,
)

#: Looks at two sizes.
SEARCH = ("evaluation/resolution=search", "evaluation.resolution.relative_sizes=[1.0,1.5]")

#: Three arms are enough to be a ladder.
FEW = STEPS[:3]


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of all thirteen steps."""
    directory = write_study(tmp_path_factory.mktemp("ladder"), num_test=200)
    with pytest.MonkeyPatch.context() as patch:
        compare_with_schema(patch)
        write_study_report(directory)
    return directory


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a study without hostile words."""
    return page_of(write_study(tmp_path_factory.mktemp("plain"), FEW, range(3), num_test=60))


def page_of(directory: Path) -> Page:
    write_study_report(directory)
    return Page((directory / "report.html").read_text())


def changed(directory: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    tree = read_tree(directory)
    change(tree)
    write_tree(directory, tree)
    return directory


def test_every_number_of_the_tables_is_recomputed(ladder: Path) -> None:
    found = check(ladder)
    assert found.wrong == []
    assert found.num > 300


@pytest.mark.usefixtures("charts_only_made")
def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    """The test above can fail."""
    directory = write_study(tmp_path, FEW, range(4), num_test=60)
    changed(directory, lambda tree: tree["arms"][1].update(mean=tree["arms"][1]["mean"] + 0.0002))
    write_study_report(directory)
    assert [line for line in check(directory).wrong if "lr_optimizations mean" in line]


@pytest.fixture(scope="module")
def real_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms with three seeds, trained by the command."""
    directory = tmp_path_factory.mktemp("real")
    arms = {
        "plain": [],
        "smoothed": ["regularization/smoothing=label_smoothing"],
        "resized": ["regularization/smoothing=label_smoothing", *SEARCH],
    }
    trees: list[dict[str, Any]] = []
    for name, overrides in arms.items():
        for seed in range(3):
            place = directory / "runs" / name / str(seed)
            words = [
                *TINY,
                "recipe=baseline",
                "optimizer.lr=0.01",
                "data.num_images=120",
                *overrides,
            ]
            assert main.run_command_line(["train", *words, f"seed={seed}", f"hydra.run.dir={place}"]) == 0
        trees.append(arm_tree(directory, name, name, trees[-1]["name"] if trees else None, range(3)))
    result = json.loads((directory / "runs/plain/0/result.json").read_text())
    families = [compare(directory, after, before) for before, after in itertools.pairwise(trees)]
    for arm, p_value in zip(trees[1:], adjusted(families), strict=True):
        arm |= {"p_adjusted": p_value, "verdict": verdict(arm["interval"], p_value)}
        arm["classes"] = {}
    tree = study_tree(trees, range(3), result["evaluated_images"]["test"], "ladder")
    write_tree(directory, tree | {"classes": list(result["per_class_accuracy"])})
    return directory


@pytest.mark.usefixtures("charts_only_made")
def test_every_number_of_a_page_on_real_runs_is_recomputed(real_study: Path) -> None:
    page = page_of(real_study)
    found = check(real_study)
    assert found.wrong == []
    assert found.num >= 60
    figures = {path.stem for path in (real_study / "figures").iterdir()}
    assert {"ladder", "effects", "learning_curves", "accuracy_against_cost"} <= figures
    (sizes,) = [table for table in page.tables if "Chosen" in table.heads]
    assert [row[1] for row in sizes.rows] and all("px by" in row[1] for row in sizes.rows)
    assert "_option_: fake" in page.text and "sota_exp." not in page.text.replace("sota_exp.models.saved", "")


def test_the_page_needs_nothing_else(ladder: Path) -> None:
    text = (ladder / "report.html").read_text()
    page = Page(text)
    assert not any(tag in ("link", "img", "iframe", "object", "embed") for tag, _ in page.attributes)
    assert not any("src" in found or "srcset" in found for _, found in page.attributes)
    still, vega, script = text.split('<script type="module">')
    assert not re.search(r"url\((?!#)|@import|https?://", re.sub(r"<script.*?</script>", "", still, flags=re.S))
    assert not re.search(r"import |https?://", script) and len(vega) < 1_000_000
    assert len(still) < 900_000


def test_scripts_draw_the_same_figures_and_tables_are_files_too(ladder: Path) -> None:
    text = (ladder / "report.html").read_text()
    page = Page(text)
    drawn = [json.loads(each) for each in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)]
    assert len(drawn) == text.count("<figure>") == 4
    assert all("vega-lite" in each["$schema"] and each["background"] is None for each in drawn)
    texts = [json.dumps(each) for each in drawn]
    assert any('"tooltip"' in text for text in texts)
    assert any('"bind": "scales"' in text for text in texts)
    for each, table in zip(page.files, page.tables, strict=True):
        pairs = zip(each[0], table.heads, strict=True)
        assert all(name in (head, f"{head}, {name.rpartition(', ')[2]}") for name, head in pairs)
    assert all(len(each) == len(table.rows) + 1 for each, table in zip(page.files, page.tables, strict=True))
    assert not re.search("[\u2212\xa0▲▼△▽○✕]|\\]\\(", json.dumps(page.files, ensure_ascii=False))
    found = pandas.DataFrame(page.files[0][1:], columns=page.files[0][0])
    assert "helps" in set(found["Verdict"]) and found["Arm"][2].startswith("2 ")
    shown = [float(cell) for cell in found["Difference, points"] if cell]
    assert len(shown) == len(found) - 1 and min(shown) < 0


def test_the_page_is_sound_and_can_be_read_without_seeing_it(ladder: Path) -> None:
    page = Page((ladder / "report.html").read_text())
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (ladder / link).exists()
    drawings = [found for tag, found in page.attributes if tag == "svg"]
    assert drawings and all(found["role"] == "img" and found["aria-label"] for found in drawings)
    assert all(table.caption for table in page.tables)
    heads = [found.get("scope") for tag, found in page.attributes if tag == "th"]
    assert heads and set(heads) == {"col", "row"}
    regions = [found for _, found in page.attributes if found.get("class") == "scroll"]
    assert len(regions) == len(page.tables)
    assert all(found["tabindex"] == "0" and found["aria-label"] for found in regions)
    style = (ladder / "report.html").read_text().partition("</style>")[0]
    assert not re.search(r"caption\{[^}]*\dvw", style), (
        "a scroll bar takes a part of the window; the box of a table is left"
    )


def read_still(directory: Path) -> str:
    """The page without its scripts."""
    return (directory / "report.html").read_text().partition('<script type="module">')[0]


def test_drawings_change_between_light_and_dark(ladder: Path) -> None:
    text = read_still(ladder)
    drawn = [Picture(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    assert drawn and set.union(*(each.inks for each in drawn)) <= {light for light, _ in INKS.values()}
    assert format_ink_css() in text


def test_no_text_of_a_drawing_is_cut_or_covered(ladder: Path) -> None:
    for svg in re.findall(r"<svg.*?</svg>", read_still(ladder), re.S):
        found = Picture(svg)
        assert found.find_overlaps() == found.find_cut() == []
        assert found.words and found.alt


def test_markdown_has_the_tables_of_the_page(ladder: Path) -> None:
    page = Page((ladder / "report.html").read_text())
    text = (ladder / "report.md").read_text()
    tables = markdown_tables(text)
    assert len(tables) == len(page.tables) > 5
    for shown, written in zip(page.tables, tables, strict=True):
        links = [[re.sub(r"\[`?(.*?)`?\]\(.*?\)", r"\1", cell) for cell in row] for row in written]
        assert [[cell.strip() for cell in row] for row in shown.rows] == links
    for picture in re.findall(r"\]\((figures/.*?)\)", text):
        assert (ladder / picture).is_file()
        assert (ladder / picture).with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_same_files_give_the_same_bytes(ladder: Path) -> None:
    before = {path: path.read_bytes() for path in ladder.rglob("*") if path.is_file()}
    write_study_report(ladder)
    assert {path: path.read_bytes() for path in ladder.rglob("*") if path.is_file()} == before


EVIL = [
    "<script>alert('&amp;')</script> | `x` **y** $z$ [a](b)",
    "</code></table>{{ 7 * 7 }} {% raw %} ![x](figures/effects.svg) \\| \\",
    "# <h2>\n\n- ``` _a_ &lt; ~~b~~ 1. https://a.b <https://a.b>",
]


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_words_stay_words(evil: str, usual: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "write_png", lambda svg, path: None)  # of the same SVG that is in the page

    def poison(tree: dict[str, Any]) -> None:
        tree |= {"title": evil, "recipe": evil, "command": evil, "refused": [{"name": evil, "reason": evil}]}
        tree |= {"missing": [{"arm": evil, "reason": evil}], "rules": [{"message": evil}], "notes": [evil]}
        tree["environment"]["device"] = evil
        for arm in tree["arms"]:
            arm |= {"label": evil, "overrides": [evil], "verdict_words": evil}
            arm["differences"] = {evil: [evil, evil]} if arm["differences"] else {}

    directory = changed(write_study(tmp_path, FEW, range(3), num_test=60), poison)
    page = page_of(directory)
    assert {tag for tag, _ in page.attributes} - {tag for tag, _ in usual.attributes} <= {"ul", "li"}
    names = [{name for _, found in each.attributes for name in found} for each in (page, usual)]
    assert names[0] <= names[1]
    assert [len(table.rows) for table in page.tables] == [len(table.rows) for table in usual.tables]
    words = " ".join(evil.split())
    assert page.tables[0].column("Arm")[0].endswith(words)
    assert f"{words} was refused: {words}" in page.text and f"Missing: {words}: {words}" in page.text
    assert page.text.startswith(f"\n\n{words}") or words in page.text[:400]
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse((directory / "report.md").read_text())
    parts = [part for token in parsed for part in (token, *(token.children or ()))]
    assert not {"html_block", "html_inline"} & {part.type for part in parts}
    assert {part.attrs["href"] for part in parts if part.type == "link_open"} == {
        link for link in page.links if link[0] != "#"
    }


MINIMAL = {
    "metric": "test/accuracy",
    "arms": [
        {"name": "a", "reference": None, "runs": {"0": "0"}, "n": 1, "mean": 0.5, "verdict": "reference"},
        {"name": "b", "reference": "a", "runs": {"0": "1"}, "n": 1, "mean": None, "verdict": "failed"},
    ],
    "refused": [{"name": "c", "reason": "it is a"}],
}


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (MINIMAL, "1 failed: b. 1 arm was refused: c."),
        (MINIMAL | {"arms": []}, "nothing to compare yet"),
        (MINIMAL | {"arms": MINIMAL["arms"][:1]}, "nothing to compare yet"),  # type: ignore[index]
        (MINIMAL | {"status": "partial", "missing": [{"arm": "b", "seed": 3, "reason": "diverged"}]}, "not complete"),
        (MINIMAL | {"metric": "test/loss"}, "Test loss"),
    ],
    ids=["no more than promised", "no arm", "one arm", "partial", "another metric"],
)
def test_little_is_enough(tmp_path: Path, tree: dict[str, Any], words: str) -> None:
    write_tree(tmp_path, tree)
    assert words in page_of(tmp_path).text


@pytest.mark.usefixtures("charts_only_made")
def test_one_seed_makes_a_page(tmp_path: Path) -> None:
    page = page_of(write_study(tmp_path, FEW, range(1), num_test=60))
    assert "2 have too few seeds" in page.text


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("leave_one_out", "an omission that hurts is a technique that helps"),
        ("null", "of equal arms"),
        ("add_one_in", "without the others"),
        ("something new", "Each arm is compared with its reference"),
    ],
)
def test_stars_have_no_waterfall(tmp_path: Path, kind: str, words: str) -> None:
    page = page_of(write_study(tmp_path, STEPS[:4], range(3), kind=kind, num_test=60))
    assert words in page.text
    assert page.tables[0].column("Against") == ["–", "0", "0", "0"]
    assert "ladder" not in {path.stem for path in (tmp_path / "figures").iterdir()}


@pytest.mark.usefixtures("charts_only_made")
def test_failures_refusals_rules_looks_and_plans_are_told(tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["arms"][2]["failures"] = {"1": "diverged: the loss is nan"}
        tree["rules"] = [{"arm": "mixup", "message": "smooths twice"}]
        tree["looks"] = {"planned": [8, 12], "done": [8], "alpha_spent": [0.01], "decided": {"lr_optimizations": 8}}
        tree["missing"] = [{"arm": "mixup", "seed": seed, "reason": "not yet"} for seed in (1, 2)]

    page = page_of(changed(write_study(tmp_path, FEW, range(3), num_test=60), change))
    for words in (
        "TrivialAugment, seed 1, failed: diverged: the loss is nan",
        "A rule fired for mixup: smooths twice",
        "planned at 8 and 12 seeds, taken at 8; error spent so far: 0.01. Decided: lr_optimizations at 8.",
        "Missing: seeds 1 and 2 of mixup: not yet",
        "312 for 0.20, 51 for 0.50 and 15 for 1.00",
    ):
        assert words in page.text


@pytest.mark.usefixtures("charts_only_made")
def test_looks_at_any_time_show_the_evidence_and_what_decides(tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["arms"][1] |= {"evidence": [1.0, 3.0, 25.0], "verdict": "helps", "further_seeds": None}
        tree["arms"][2] |= {"evidence": [1.0, 0.8, 1.5], "further_seeds": 9, "verdict": "cannot be distinguished"}
        tree["looks"] = {"kind": "anytime", "threshold": 20.0, "done": [3], "decided": {"lr_optimizations": 3}}
        cost = {"kind": "anytime", "most": 18, "with_effect": 12.1, "without": 17.9, "power": 0.81}
        fixed = {"kind": "fixed", "most": 11, "with_effect": 11, "without": 11, "power": 0.8}
        tree["plan"] |= {"effect": 0.01, "looks": [fixed, cost]}

    page = page_of(changed(write_study(tmp_path, FEW, range(3), num_test=60), change))
    for words in (
        "reaches 20 in at most 5 % of studies, however long they last",
        "Looks at any time: 3 seeds so far. Decided: lr_optimizations after 3. To go on, repeat the command with "
        "study.seeds=12.",
        "Seeds per arm to show 1.00 points with each kind of looks",
        "An interval is a confidence sequence over these differences",
        "Seeds may be added for whatever reason",
        "at most 5 % of studies ever have even one wrong verdict",
    ):
        assert words in page.text
    assert "Student interval over these" not in page.text and "Seeds are decided beforehand" not in page.text
    (table,) = [table for table in page.tables if "Seeds at most" in table.heads]
    assert table.rows == [
        ["none, fixed seeds", "11", "11.0", "11.0", "80 % of studies"],
        ["at any time", "18", "12.1", "17.9", "81 % of studies"],
    ]
    (results,) = [table for table in page.tables if "Evidence" in table.heads]
    assert results.column("Evidence") == ["–", "25", "1.5"]


@pytest.mark.usefixtures("charts_only_made")
def test_without_looks_at_any_time_a_page_has_no_evidence(usual: Page, tmp_path: Path) -> None:
    assert "evidence" not in usual.text.lower() and "confidence sequence" not in usual.text


def screened(tree: dict[str, Any]) -> None:
    """Change the tree to that of a screening design: cells without reference, effects of factors."""
    for arm in tree["arms"]:
        arm |= {"reference": None, "difference": None, "label": f"cell: {arm['label']}, and more"}
    tree["effects"] = [
        {"factor": "ema", "label": "EMA", "estimate": 0.02, "interval": [0.01, 0.03], "p_adjusted": 0.01,
         "verdict": "helps"},
        {"factor": "mixup", "label": "Mixup", "estimate": -0.01, "interval": [-0.02, 0.01], "p_adjusted": 0.4,
         "verdict": "cannot be distinguished", "aliases": ["a × b"]},
    ]  # fmt: skip
    tree["interactions"] = [
        {"factors": ["ema", "mixup"], "label": "EMA × Mixup", "estimate": 0.004, "interval": [0.001, 0.007],
         "p_adjusted": 0.03, "verdict": "helps"},
    ]  # fmt: skip


@pytest.mark.usefixtures("charts_only_made")
def test_a_screening_design_is_told_by_its_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_with_schema(monkeypatch)
    page = page_of(changed(write_study(tmp_path, FEW, range(2), kind="screening", num_test=60), screened))
    assert "1 of 2 techniques helps: EMA (+2.00 points, +1.00 to +3.00). 1 cannot be distinguished" in page.text
    assert page.tables[0].rows[0] == ["EMA", "+2.00", "+1.00 to +3.00", "0.010", "▲ helps"]
    assert "Mixup cannot be separated from a × b" in page.text
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"main_effects", "interactions"} <= figures
    assert not {"learning_curves", "effects", "ladder"} & figures


@pytest.mark.usefixtures("charts_only_made")
def test_leave_one_out_beside_a_design_is_told_beside_its_effects(tmp_path: Path) -> None:
    def beside(tree: dict[str, Any]) -> None:
        screened(tree)
        tree["arms"][-1] |= {"reference": "baseline", "difference": -0.02, "interval": [-0.03, -0.01]}

    arms = [*FEW, ("without_ema", "Without EMA", -0.02)]
    page = page_of(changed(write_study(tmp_path, arms, range(3), kind="screening", num_test=60), beside))
    effects, arms = page.tables[:2]
    assert effects.rows[0][:3] == ["EMA", "+2.00", "+1.00 to +3.00"]
    assert arms.rows[-1][0].endswith("and more") and "−2.00" in arms.rows[-1] and "−3.00 to −1.00" in arms.rows[-1]


@pytest.mark.usefixtures("charts_only_made")
@pytest.mark.parametrize(
    ("verdict", "says"),
    [("helps", "1 pair helps more together: EMA × Mixup (+0.40 points, +0.10 to +0.70)"),
     ("hurts", "1 pair helps less together"),
     ("cannot be distinguished", "No interaction of 1 was shown.")],
)  # fmt: skip
def test_a_study_of_pairs_begins_with_its_interactions(verdict: str, says: str, tmp_path: Path) -> None:
    def paired(tree: dict[str, Any]) -> None:
        tree["interactions"] = [
            {"factors": ["ema", "mixup"], "label": "EMA × Mixup", "estimate": 0.004, "interval": [0.001, 0.007],
             "p_adjusted": 0.03, "verdict": verdict},
        ]  # fmt: skip

    page = page_of(changed(write_study(tmp_path, FEW, range(3), kind="pairs", num_test=60), paired))
    assert says in page.text and "at most 5 % of studies have even one wrong verdict" in page.text


@pytest.mark.usefixtures("charts_only_made")
def test_runs_that_are_gone_take_only_their_curves_along(tmp_path: Path) -> None:
    import shutil

    directory = write_study(tmp_path, FEW, range(3), num_test=60)
    shutil.rmtree(directory / "runs")
    page = page_of(directory)
    assert len(page.tables[0].rows) == 3
    assert "learning_curves" not in {path.stem for path in (directory / "figures").iterdir()}


@pytest.mark.usefixtures("charts_only_made")
def test_many_arms_are_drawn_in_part_and_told_whole(tmp_path: Path) -> None:
    steps = [(f"arm_{index}", f"Arm {index}", 0.001 * index) for index in range(70)]
    page = page_of(write_study(tmp_path, steps, range(2), kind="add_one_in", num_test=20, num_epochs=2))
    assert len(page.tables[0].rows) == 70
    assert "The 60 largest of 69" in page.text and "The 24 largest of 69" in page.text
