"""The pages of the documentation: README is short, links lead somewhere, commands compose, code that is shown builds."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

import sota_exp
from sota_exp.cli.main import COMMANDS, run_command_line
from sota_exp.config.compose import get_overrides
from tests.composing import compositions_share_their_work
from tests.options import ROOT
from tests.rows import each_row

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

#: Pages whose examples a user would type; the diary and what was measured name places of other machines.
TYPED = [page for page in PAGES if page.name not in ("log.md", "decisions.md", "benchmarks.md", "CHANGELOG.md")]

#: Commands that take overrides, with those of their words that are none.
COMPOSING = {
    **dict.fromkeys(("train", "sweep", "ablate", "explain"), ()),
    "look": ("step=",),
    "evaluate": ("run=", "weights=", "evaluation.part="),
    "rerun": (),
}

#: A value that stands for several, and the first of them.
SEVERAL = re.compile(r"=(?:tag\(\w+,|interval\(|choice\()*([^,\[({]+),.*")

#: Flags of them that Hydra does not know.
FLAGS = ("--plan", "--no-measure", "--json", "--clean", "-m")


def test_readme_is_a_way_in() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


@each_row("page", PAGES)
def test_links_within_the_tree_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", page.read_text())
    gone = [link for link, _ in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone, gone
    for link, anchor in links:
        target = (page.parent / link).resolve() if link else page
        if anchor and target.suffix == ".md" and "://" not in link and "<!-- generated" not in target.read_text():
            assert anchor[1:] in list_anchors(target), f"{link}{anchor}"


@each_row("page", sorted((ROOT / "docs/results").rglob("*.html")))
def test_links_of_published_reports_lead_somewhere(page: Path) -> None:
    """Runs are not published."""
    text = re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r'(?:href|src)="([^"#][^"]*)"', text)
    assert [each for each in links if not each.startswith("data:") and not (page.parent / each).exists()] == []


def list_anchors(page: Path) -> list[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def list_commands(page: Path) -> list[tuple[list[str], str]]:
    """The words after `sota-exp` of every command in the console blocks of a page, and the error that is shown below."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line, told in re.findall(r"^\$ (.*)\n?(sota-exp: .*)?", block, re.MULTILINE):
            words = shlex.split(line, comments=True)
            called = [at for at, word in enumerate(words) if word in ("sota-exp", "sota_exp")]
            found += [(words[called[0] + 1 :], told)] if called else []
    return found


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """The folder of a user with the files that the pages show, by the comments in their first lines."""
    for page in (ROOT / "docs").rglob("*.md"):
        for name, text in re.findall(
            r"```(?:python|yaml)\n# ((?:my_package|mine)/\S+)\n(.*?)```", page.read_text(), re.DOTALL
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    experiment = re.search(
        r"```yaml\n(# @package _global_\n.*?)```", (ROOT / "docs/how-to/experiment-files.md").read_text(), re.DOTALL
    )
    (tmp_path / "mine/experiment").mkdir()
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/1.png").touch()
    (tmp_path / "mine/experiment/my_photos.yaml").write_text(experiment[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "page", [page for page in TYPED if list_commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_of_a_page_compose(page: Path, own_package, monkeypatch) -> None:
    """Those that compose a configuration do; the others have the words of their help."""
    monkeypatch.setattr(sys, "argv", ["sota-exp"])
    with compositions_share_their_work():
        faults = {shlex.join(words): (find_fault(words), told) for words, told in list_commands(page)}
    assert {line: fault for line, (fault, told) in faults.items() if fault != told} == {}


def find_fault(words: list[str]) -> str:
    """What is wrong with a command line; "" where nothing is."""
    command, *arguments = words
    if command not in COMMANDS:
        return "" if command.startswith("-") else "no such command"
    if command not in COMPOSING:
        told = call(command, "--help")
        return "".join(f"{word} is not in its help" for word in arguments if word.startswith("-") and word not in told)
    kept = [word for word in arguments if word not in FLAGS and not word.startswith(COMPOSING[command] or "\n")]
    if command == "rerun":
        kept = kept[1:]
    if "-m" in arguments or command == "sweep":
        kept = [SEVERAL.sub(r"=\1", word) for word in kept]
    if any(word.startswith("weights=") for word in arguments):
        kept = ["model/weights=checkpoint", "model.weights.path=FILE", *kept]
    name = command if command in ("sweep", "ablate") else "train"
    told = call(name, *kept, "--cfg", "job", is_error=True)
    return "" if "plug-in is not installed" in told else told.strip()


def call(*words: str, is_error: bool = False) -> str:
    """What a command prints; with `is_error` what it says of a mistake."""
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told), contextlib.suppress(SystemExit):
        status = run_command_line(list(words))
        return (told.getvalue() if status else "") if is_error else out.getvalue()
    return "" if is_error else out.getvalue()


OWN = {
    "own-augmentation.md": "augmentation/policy=random_grey",
    "own-model.md": "model/arch=tiny",
    "own-optimizer.md": "optimizer=nadam",
    "own-data.md": "data=stripes",
    "own-metric.md": "evaluation/metrics=cost",
    "experiment-files.md": "experiment=my_photos",
}


@pytest.mark.parametrize(("page", "word"), OWN.items(), ids=OWN)
def test_what_a_page_shows_of_your_own_builds(page: str, word: str, own_package) -> None:
    assert (ROOT / "docs/how-to" / page).is_file()
    assert sota_exp.compose("--config-dir=mine", word).experiment
    assert get_overrides([word]) == [word]


def test_the_data_set_that_a_page_shows_opens(own_package, monkeypatch) -> None:
    monkeypatch.setenv("SOTA_EXP_CACHE", str(own_package / "cache"))
    found = sota_exp.compose("--config-dir=mine", "data=stripes", "data.num_images=40").experiment.data()
    assert found.count_images() == {"train": 24, "val": 8, "test": 8} and found.classes == ("down", "across")
