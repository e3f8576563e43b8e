"""The documentation as a site: it builds strictly and alone, techniques have pages, keys are told, notebooks run."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import keys
import lengths
import nbformat
import notebooks
import pages
import pytest

from sota_exp import CONF
from sota_exp.config.catalog import load_catalog
from sota_exp.config.hydra_compose import compose_with_hydra
from sota_exp.stages.stage import Count, Legal
from tests.composing import compositions_share_their_work
from tests.forked import Program
from tests.options import ROOT
from tests.rows import each_row

#: Groups whose options belong to techniques that a study can compare, but for those of choices that every training makes.
TECHNIQUE_GROUPS = ("augmentation", "regularization", "schedule", "supervision")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.mark.torture  # `make check` builds the site too
def test_the_site_builds_strictly_and_fetches_nothing(site: Path) -> None:
    found = {}
    for page in site.rglob("*.html"):
        tags = re.findall(r"<(?:link|script|img|iframe)\b[^>]*>", page.read_text())
        loaded = [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag) and "canonical" not in tag]
        found |= {page.name: loaded} if loaded else {}
    assert found == {}
    assert 'role="dialog" aria-label="Search"' in (site / "index.html").read_text()
    assert "fonts.googleapis" not in "".join(path.read_text() for path in site.glob("*.html"))


@pytest.mark.torture
def test_every_technique_is_in_the_menu_and_has_its_page(site: Path) -> None:
    menu = (site / "techniques.html").read_text()
    for technique in pages.read_techniques():
        assert f'href="techniques/{technique.slug}.html"' in menu
        assert technique.name in (site / f"techniques/{technique.slug}.html").read_text()


def test_there_are_twenty_six_techniques_of_options_that_exist() -> None:
    found = pages.read_techniques()
    assert len(found) == 26 == len({each.slug for each in found})
    for each in found:
        for group, _, option in (word.partition("=") for word in (*each.on, *each.off) if "." not in word):
            assert (CONF / group / f"{option}.yaml").is_file(), f"{each.name}: {group}={option}"
    assert set(pages.read_notes()) == {each.name for each in found}


def test_every_slot_of_techniques_is_on_a_page() -> None:
    shown = {each.slot for each in pages.read_techniques()}
    slots = {option.group for option in load_catalog(CONF, ROOT / "sota_exp")}
    others = {
        "augmentation/crop",
        "augmentation/flip",
        "augmentation/geometry",
        "schedule/lr_scaling",
        "schedule/stepping",
    }
    assert {slot for slot in slots if slot.split("/")[0] in TECHNIQUE_GROUPS} - shown == others


def test_a_page_has_formula_paper_options_and_what_was_measured() -> None:
    (cutmix,) = [each for each in pages.read_techniques() if each.name == "CutMix"]
    page = pages.build_technique_page(cutmix)
    for text in (
        "On: `augmentation/mix=cutmix`",
        "box of sides sqrt(1 - λ)·S",
        "[1905.04899](https://arxiv.org/abs/1905.04899)",
        "**When it helps.**",
        "**Measured.**",
        "4 epochs: **−3.44** (−4.07 to −2.81)",
        "| `augmentation.mix.alpha` | `cutmix` | `1.0` |",
    ):
        assert text in page, text


def test_each_technique_that_was_measured_at_three_lengths_says_so() -> None:
    found = [each.name for each in pages.read_techniques() if lengths.describe_technique(each.name)]
    assert len(found) == len(lengths.list_effects(lengths.read_studies())) == 12


@functools.cache
def list_keys() -> frozenset[str]:
    """The names in the reference of keys, which is made once for all pages."""
    return frozenset(re.findall(r"`([\w.]+)`", pages.build_keys()))


def test_every_slot_has_its_class_and_what_to_write() -> None:
    text = pages.build_slots()
    assert set(keys.read_slots()) - set(re.findall(r"`([a-z_/]+)`", text)) == {"data/split"}  # a part of a data source
    row = "| `optimizer` | `sota_exp.stages.optimizer.OptimizerFactory` | `__call__(groups: list[dict[str, Any]]) -> "
    assert row in text and "<br>" in text


def list_option_keys() -> list[keys.Key]:
    files = [key for file, prefix, cls in keys.VALUE_FILES for key in keys.read_values(file, prefix, cls)]
    return files + [
        key for options in keys.read_slots().values() for option in options for key in keys.read_option(option)
    ]


def test_no_key_says_twice_what_is_legal() -> None:
    """`one of bilinear, nearest; bilinear or nearest`, and `num_magnitude_bins={num_magnitude_bins}`."""
    every, joining = list_option_keys(), {"or", "and", "a", "the"}
    assert [key.name for key in every if "{" in key.legal] == []
    clauses = {key: key.meaning.partition(";")[0] for key in every if ":" not in key.meaning.partition(";")[0]}
    told = {key: set(re.findall(r"\w+", clause)) - joining for key, clause in clauses.items()}
    assert [key.name for key, words in told.items() if words and words <= set(re.findall(r"\w+", key.legal))] == []


SETTINGS = {
    "train": [],
    "torchvision": ["recipe=torchvision", "runtime=auto"],
    "few images": ["recipe=few_images", "data=image_folder"],
    "distillation": ["recipe=distill", "tracking=none", "evaluation/resolution=search", "optimizer=muon"],
    "study": ["+study=ladder"],
    "sweep": ["hydra/sweeper=sota_exp", "hydra/sweeper/pruner=wilcoxon"],
}


@pytest.mark.parametrize("words", SETTINGS.values(), ids=SETTINGS)
def test_every_key_is_in_the_reference(words: list[str]) -> None:
    with compositions_share_their_work():
        config = compose_with_hydra(words)
    groups: dict[str, Any] = {key: node for key, node in read_plain(config).items() if key != "hydra"}
    groups |= {"hydra": {"sweeper": read_plain(config.hydra.sweeper)}} if "sweep" in str(words) else {}
    named = list_keys()
    free = ("study.techniques.", "experiment")  # a table of the user's own; a name of a file
    missing = [key for key, _ in keys.flatten(groups) if key not in named and not key.startswith(free)]
    assert [key for key in missing if not key.endswith("_target_")] == []


def read_plain(node: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=False)


TYPES = [
    (bool, "true, false"),
    (Count, "a count of at least 1"),
    (Count | None, "a count of at least 1, or null"),
    (list[float], "a list of: a number"),
    (Annotated[float, Legal(lambda value, side: value < side, "below side={side}")], "below side"),
    (Any, ""),
]


@pytest.mark.parametrize(("kind", "words"), TYPES)
def test_types_in_words(kind: Any, words: str) -> None:
    assert keys.describe_type(kind) == words


def test_comments_of_a_file_belong_to_its_keys() -> None:
    text = "# head\na: 1  # first\n       # goes on\nb:\n  c: 2 # inner\nd: 3\n"
    assert keys.read_comments(text) == {"a": "first goes on", "b.c": "inner"}


def test_a_docstring_becomes_markdown() -> None:
    text = "Name: does a*b.\n\n    y = a_1·x\n\nMore.\n\nPaper: One 2020, 2001.00001\nSetting: p 0.5"
    assert pages.format_docstring(text) == (
        "Name: does a\\*b.\n\n``` { .text .wrapped }\ny = a_1·x\n```\n\nMore.\n\n"
        "**Paper.** One 2020, [2001.00001](https://arxiv.org/abs/2001.00001)\n\n**Setting.** p 0.5"
    )


def test_overrides_of_a_cell() -> None:
    assert pages.find_overrides("`a/b=c`, `=d`") == ("a/b=c", "a/b=d")
    assert pages.find_overrides("`=none`", "a/b=c") == ("a/b=none",)


#: It trains a run and a study of photographs for seven seconds; `make torture` also runs it in a kernel.
HEAVY_NOTEBOOK = "photographs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.torture if path.stem == HEAVY_NOTEBOOK else [], id=path.stem)
        for path in notebooks.NOTEBOOKS
    ],
)
def test_the_cells_of_a_notebook_run_as_a_program(path: Path, tmp_path: Path) -> None:
    shutil.copytree(notebooks.STUDY, tmp_path / "multirun" / notebooks.STUDY.name)
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    script, said = tmp_path / "cells.py", tmp_path / "said.txt"
    script.write_text("\n".join(cells))
    assert Program(path=script, cwd=tmp_path, output=said).wait() == 0, said.read_text()


#: A kernel imports PyTorch for five seconds where something is trained.
LIGHT_NOTEBOOK = "reading_a_study"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem == LIGHT_NOTEBOOK else pytest.mark.torture, id=path.stem)
        for path in notebooks.NOTEBOOKS
    ],
)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = notebooks.run(path, tmp_path)
    assert len(notebooks.NOTEBOOKS) == 3
    assert any(output for cell in found.cells if cell.cell_type == "code" for output in cell.outputs)


#: Words of Hydra, and options of a package of the user's own, which no file of conf/ has.
NOT_OURS = re.compile(
    r"hydra[./](?!sweeper)|.*(?:random_grey|=tiny|=stripes|=cost|\+study\.)|trainer\.|data\.batch_size|group\.slot|evaluation\.part|model\.optimizer|logger|tracking\.uri=http"
)


@each_row("page", [*sorted((ROOT / "docs").glob("*/*.md")), ROOT / "README.md", ROOT / "docs/faq.md"])
def test_keys_and_options_in_sentences_exist(page: Path) -> None:
    """`group/slot=option` and `group.slot.key=value` in running text and tables, where no command is composed."""
    named = list_keys()
    strange = []
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        for word in code.split():
            key, sign, value = word.strip("'\"").partition("=")
            if not sign or NOT_OURS.match(word) or not re.fullmatch(r"[a-z_]+([./][a-z_]+)+", key):
                continue
            is_known = (CONF / key / f"{value}.yaml").is_file() if "/" in key else key in named
            is_open = value in ("…", "NAME", "null") and (CONF / key).is_dir()
            strange += [] if is_known or is_open else [word]
    assert strange == []
