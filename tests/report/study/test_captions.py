"""Captions of a study's page describe the columns and marks that are there, also where little is known."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sota_exp.report.study.page import write_study_report
from tests.report.pages import Page
from tests.report.studies import STEPS, write_study, write_tree
from tests.report.study.test_page import FEW, MINIMAL, changed, screened

#: The words are those of the page, not of its pictures.
pytestmark = pytest.mark.usefixtures("charts_only_made")

#: Words of a caption of a table → the beginning of the name of a column, one of which the table must have.
COLUMNS = {
    r"paired difference": ["Difference"],
    r"Pairs:": ["Pairs"],
    r"column Against": ["Against"],
    r"Each interval|with .* intervals": ["95 % interval", "Over seeds", "Over test images"],
    r"p and the verdict": ["p, joint"],
    r"Detectable:": ["Detectable"],
    r"Won and lost": ["Won"],
    r"Points per hour": ["Points per hour"],
}

Change = Callable[[dict[str, Any]], None]


def without(*names: str) -> Change:
    """A change that takes values of arms away, as if they were not known."""

    def change(tree: dict[str, Any]) -> None:
        for arm in tree["arms"]:
            arm |= dict.fromkeys(names)

    return change


def no_noise(tree: dict[str, Any]) -> None:
    for arm in tree["arms"]:
        arm.pop("examples", None)
        arm["classes"] = {}


FORMS: dict[str, tuple[int, str, Change]] = {
    "three seeds": (3, "ladder", lambda tree: None),
    "one seed": (1, "ladder", lambda tree: None),
    "one seed of a star": (1, "add_one_in", lambda tree: None),
    "no power": (3, "ladder", without("detectable", "p_adjusted")),
    "equal differences": (2, "add_one_in", without("interval", "detectable")),
    "no test images": (3, "leave_one_out", no_noise),
    "all failed": (2, "add_one_in", without("difference", "interval", "p_adjusted", "detectable")),
    "a design": (2, "screening", screened),
}


def read_page(directory: Path) -> Page:
    write_study_report(directory)
    return Page((directory / "report.html").read_text())


def find_wrong(page: Page) -> list[str]:
    """Captions that describe a column which their table lacks."""
    return [
        f"{words}: {table.caption}"
        for table in page.tables
        for words, names in COLUMNS.items()
        if re.search(words, table.caption) and not any(head.startswith(tuple(names)) for head in table.heads)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_captions_describe_what_is_there(form: str, tmp_path: Path) -> None:
    seeds, kind, change = FORMS[form]
    page = read_page(changed(write_study(tmp_path, FEW, range(seeds), kind=kind, num_test=60), change))
    assert find_wrong(page) == []
    figures = " ".join(re.findall(r"<figcaption>(.*?)</figcaption>", (tmp_path / "report.html").read_text(), re.S))
    assert ("standard deviation" in figures) is (seeds > 1 and kind != "screening")
    assert ("grey, dashed: its reference" in figures) is (kind != "screening")
    has_intervals = (
        "interval" not in vars(change).get("names", ())
        and seeds > 1
        and form not in ("all failed", "equal differences")
    )
    assert ("no interval: it is the same" in " ".join(table.caption for table in page.tables)) is (form[:5] == "equal")
    assert bool(re.search(r"interval (of the step|for new training runs)", figures)) is (
        has_intervals and form != "a design"
    )


@pytest.mark.parametrize("arms", [MINIMAL["arms"], MINIMAL["arms"][:1], []])  # type: ignore[index]
def test_captions_of_almost_nothing(arms: list[dict[str, Any]], tmp_path: Path) -> None:
    write_tree(tmp_path, MINIMAL | {"arms": arms})
    page = read_page(tmp_path)
    assert find_wrong(page) == [] and "standard deviation" not in page.text


@pytest.mark.parametrize("reach", [0.001, 0.9])
def test_an_arrow_head_is_explained_where_there_is_one(reach: float, tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        no_noise(tree)
        for arm in tree["arms"][1:]:
            ends = reach if arm is tree["arms"][-1] else 0.001
            arm["interval"] = [arm["difference"] - ends, arm["difference"] + ends]

    page = read_page(changed(write_study(tmp_path, STEPS, range(3), num_test=60), change))
    assert ("An arrow head" in page.text) is (reach > 0.1)


def test_a_class_without_test_images_is_named(tmp_path: Path) -> None:
    """As `study.json` has it: no change of the class in any arm."""

    def without_cats(tree: dict[str, Any]) -> None:
        for arm in tree["arms"]:
            if arm["classes"]:
                arm["classes"]["cat"] = {"difference": None, "interval": None}

    said = "No image of cat was scored."
    directory = write_study(tmp_path, FEW, range(2), num_test=60)
    assert said not in read_page(directory).text
    changed(directory, without_cats)
    assert said in read_page(directory).text
