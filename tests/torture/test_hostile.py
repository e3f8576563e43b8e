"""A share of what strangers may send; `python -m tests.torture.hostile` has all of it."""

from pathlib import Path

import pytest

from tests.torture.hostile import World, find_harm, make_template, run_case
from tests.torture.hostile_cases import CASES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

#: Quick cases of every kind: configuration, links, pickles, lists, images, addresses.
QUICK = (
    "a checkpoint that runs",
    "a list that leaves its folder",
    "a PNG of 3.6 gigapixels",
    "a program as image",
    "a study that is a page",
    "a study that leads out",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.torture) for name in CASES]
)
def test_nothing_is_run_sent_written_outside_or_leaked(name: str, template: Path, tmp_path: Path) -> None:
    rows = run_case(name, template, tmp_path / "world")
    assert len(rows) == len(CASES[name].commands)
    assert [(command, line, harm) for command, _, line, harm in rows if harm] == []


def test_harm_is_found(tmp_path: Path) -> None:
    """The eyes of the table are open: each harm is seen."""
    world = World(root=tmp_path, server="", asked=[b"GET / c4nary-7f3a"])
    world.write(world.home / "x", "1")
    world.write(world.home / "y", "1")
    before = world.snapshot()
    world.write(world.work / "a", "c4nary-7f3a")
    world.write(world.home / "x", "2")
    (world.home / "y").unlink()
    world.marker.touch()
    world.write(world.work / "page.html", "<script>evil()</script>")
    harm = find_harm(world, before, 0, "\x1b]0;x Traceback")
    for word in ("executed", "sent", f"wrote {world.home}/x", f"removed {world.home}/y", "leaked in a", "leaked on"):
        assert any(word in each for each in harm), word
    assert (
        "control characters" in harm
        and "a script in page.html" in harm
        and any(each.startswith("fault") for each in harm)
    )
