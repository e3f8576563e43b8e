"""The documentation as a site: it builds strictly and alone, techniques have pages, keys are told, notebooks run."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import keys
import measured
import nbformat
import notebooks
import numpy as np
import pages
import publish
import pytest

from sota_exp import CONF
from sota_exp.config.catalog import load_catalog
from sota_exp.config.hydra_compose import compose_with_hydra
from sota_exp.stages.stage import Count, Legal
from sota_exp.statistics.units import SHARE_FORMAT
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
        "half of eleven others, 4 epochs; it halves mixup where that is on | −3.44 | −4.07 … −2.81 | hurts |",
        "| `augmentation.mix.alpha` | `cutmix` | `1.0` |",
    ):
        assert text in page, text


#: Names in studies of what isn't one of the twenty-six.
OTHERS = {"head_first", "head_alone"}


@each_row("file", measured.STUDIES)
def test_pages_of_techniques_say_what_each_study_found(file: str) -> None:
    """Differences of arms from the accuracies of their runs, signs turned where a technique was left out."""
    study = json.loads((measured.FOLDER / f"{file}.json").read_text())
    heading = measured.HEADINGS[measured.STUDIES[file][0]]
    assert f"# {heading}\n" in (measured.FOLDER / "index.md").read_text()
    slugs = {each.slug.replace("-", "_") for each in pages.read_techniques()}
    effects = measured.read_effects(file)
    assert set(effects) - OTHERS <= slugs
    values = {arm["name"]: arm["values"] for arm in study["arms"]}
    found = []
    for arm in (arm for arm in study["arms"] if arm["reference"] and not study["effects"]):
        without = arm["name"].startswith("without_")
        pair = (arm["reference"], arm["name"]) if without else (arm["name"], arm["reference"])
        gain = np.mean([values[pair[0]][seed] - values[pair[1]][seed] for seed in arm["values"]])
        turned = {"helps": "hurts", "hurts": "helps"} if without else {}
        verdict = " ".join(turned.get(word, word) for word in arm["verdict"].split())
        found.append(f"| {SHARE_FORMAT.difference(gain)} | {span(arm, without)} | {verdict} |")
    found += [
        f"| {SHARE_FORMAT.difference(each['estimate'])} | {span(each)} | {each['verdict']} |"
        for each in study["effects"]
    ]
    rows = [f"| {effect.format()} |" for effect in effects.values()]
    assert rows == found
    for name in set(effects) - OTHERS:
        assert rows[list(effects).index(name)] in measured.describe_technique(name.replace("_", "-"))


def span(found: dict[str, Any], is_turned: bool = False) -> str:
    """The cell of an interval, "" without one."""
    if not found["new_images"]:
        return ""
    low, high = found["new_images"]["interval"]
    return SHARE_FORMAT.span(-high, -low, " … ") if is_turned else SHARE_FORMAT.span(low, high, " … ")


def test_what_else_was_measured_is_in_the_diary() -> None:
    diary, found = (ROOT / "docs/log.md").read_text().splitlines(), 0
    for note in pages.read_notes().values():
        for points, interval in re.findall(r"(\+\d+\.\d)(?: points)? \((\d+\.\d to \d+\.\d)\)", note):
            assert any(points.lstrip("+") in line and interval in line for line in diary), points
            found += 1
    assert found == 4


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


@each_row("path", [*(ROOT / "docs/results").glob("*/*.json")])
def test_each_published_study_has_its_page_without_runs_photographs_or_paths(path: Path) -> None:
    tree, page = json.loads(path.read_text()), path.with_suffix(".html")
    if not isinstance(tree, dict) or "command" not in tree:
        assert not page.exists()
        return
    text = page.read_text()
    assert f'src="../{publish.SCRIPT}"' in text and len(text) < 500_000
    assert not publish.MACHINE.search(text + path.read_text())
    assert 'href="runs/' not in text and f'href="{path.name}"' in text
    assert path.parent.name == "first_study" or "data:image" not in text  # its animals come with packages


def test_paths_become_words_however_they_are_written() -> None:
    words = [["DIR", "/home/me/photos"], ["", "/home/me/"]]
    text = "a '/home/me/photos' /home/<wbr>me/<wbr>photos %2Fhome%2Fme%2Fphotos /home/me/multirun/x"
    assert publish.hide(text, words) == "a DIR DIR DIR multirun/x"
    with pytest.raises(SystemExit, match="/home/me/photos"):
        publish.hide(text, [])
