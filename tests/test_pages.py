"""The pages of the documentation: README is short, and links within the tree lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.options import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_readme_is_a_way_in() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_tree_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", page.read_text())
    gone = [link for link, _ in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone, gone
    headings = {page: list_anchors(page) for page in PAGES}
    for link, anchor in links:
        target = page.parent / link if link else page
        if anchor and target.suffix == ".md" and "://" not in link:
            assert anchor[1:] in headings[target.resolve()], f"{link}{anchor}"


def list_anchors(page: Path) -> list[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
