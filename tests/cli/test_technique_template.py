"""`sota-exp new-technique`: in a copy of the tree, the four touches are there, the option builds, and what is unfinished fails."""

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sota_exp.cli import new_technique
from sota_exp.cli.technique_template import UNSUPPORTED_GROUPS, NewTechnique, parse_technique, write_technique
from sota_exp.config.catalog import load_catalog
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import Stage
from tests.forked import Program
from tests.options import ROOT, missing_touches
from tests.rows import each_row

SLOTS = sorted({option.group for option in load_catalog(ROOT / "conf", ROOT / "sota_exp")} - set(UNSUPPORTED_GROUPS))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that every test adds to, and none to the same slot and name."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("conf", "docs", "sota_exp", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture(scope="module")
def brand_new(tree: Path) -> tuple[dict[str, tuple[NewTechnique, list[Path]]], set[str]]:
    """A new option of every slot, by slot: what was asked for and its files; and the files that a person has to finish."""
    found = {}
    for slot in SLOTS:
        members = [option for option in load_catalog(ROOT / "conf", ROOT / "sota_exp") if option.group == slot]
        like = "" if any(option.is_neutral for option in members) else members[0].name
        made = parse_technique(tree, f"{slot}/brand_new", "Does something new.", like)
        found[slot] = made, write_technique(tree, made)
    return found, {line.partition(":")[0] for line in missing_touches(tree)}


@each_row("slot", SLOTS)
def test_every_slot_takes_a_new_option(
    tree: Path, brand_new: tuple[dict[str, tuple[NewTechnique, list[Path]]], set[str]], slot: str
) -> None:
    """Its class builds from its YAML, and nothing is left but what a person writes: docstring, test and row."""
    (made, files), left = brand_new[0][slot], brand_new[1]
    own = {str(files[place].relative_to(tree)) for place in (0, 2, 3)}
    assert {name for name in left if f"/{slot}/" in name or name.startswith("docs/")} == own
    source = files[0].read_text()
    text = ast.get_docstring(ast.parse(source)) or ""
    assert text.startswith("Brand new: Does something new.\n")
    assert re.search(r"^Paper: .+", text, re.M) and re.search(r"^Setting: .+", text, re.M)
    node = yaml.safe_load(files[1].read_text())
    assert node["_target_"] == f"sota_exp.techniques.{slot.replace('/', '.')}.brand_new.BrandNew"
    spec = importlib.util.spec_from_file_location(made.module, files[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[made.module] = module
    try:
        spec.loader.exec_module(module)
        assert issubclass(module.BrandNew, Stage) and not module.BrandNew.__abstractmethods__
        assert {field.name for field in dataclasses.fields(module.BrandNew)} == set(node) - {"_target_"}
    finally:
        del sys.modules[made.module]
    assert f"| `{slot}` | `brand_new` | Does something new |" in files[3].read_text()


def test_what_is_written_passes_the_linter_and_its_test_fails(tree: Path) -> None:
    files = write_technique(tree, parse_technique(tree, "augmentation/erase/grid_mask", "Erases a grid of squares", ""))
    files += write_technique(tree, parse_technique(tree, "optimizer/adan", "Adaptive Nesterov momentum", "adamw"))
    python = [str(path) for path in files if path.suffix == ".py"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *python], cwd=tree, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    flags = ["-q", "-p", "no:cacheprovider", "--noconftest", "--rootdir", str(tree)]
    command = [sys.executable, "-m", "pytest", *flags, str(files[2])]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "show that GridMask does what its docstring says" in done.stdout


@pytest.mark.parametrize(
    ("path", "like", "message"),
    [
        ("grid_mask", "", "grid_mask: no slot|no slot grid_mask; legal: augmentation/crop"),
        ("augmentation/erase/GridMask", "", "GridMask is no name; legal: small letters"),
        ("augmentation/erase/cutout", "", "augmentation/erase=cutout exists already"),
        ("optimizer/adan", "", r"optimizer has no option that does nothing; say --like OPTION; legal: adam, adamw"),
        ("optimizer/adan", "adamm", r"--like adamm: no such option; .* Did you mean adam?"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(path: str, like: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_technique(ROOT, path, "Does something", like)


def test_a_file_that_is_there_is_not_written_over(tree: Path) -> None:
    wanted = parse_technique(tree, "augmentation/erase/hide_and_seek", "Erases", "")
    (tree / "tests/techniques/augmentation/erase/test_hide_and_seek.py").write_text("mine")
    with pytest.raises(ConfigError, match="test_hide_and_seek.py exists already"):
        write_technique(tree, wanted)
    assert not (tree / "conf/augmentation/erase/hide_and_seek.yaml").exists()


def test_outside_a_checkout_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_technique, "PACKAGE", tmp_path / "site-packages/sota_exp")
    with pytest.raises(ConfigError, match="works in a checkout"):
        new_technique.main(["augmentation/erase/grid_mask"])


NEW_SLOTS = {
    "regularization/gradient_noise/gaussian": ("", "GradientTransform", "sota_exp/training/loop.py"),
    "regularization/shake/branch": (
        "regularization/stochastic_depth",
        "ModelTransform",
        "sota_exp/models/model_json.py",
    ),
    "augmentation/color/jitter": ("augmentation/policy", "BatchTransform", "sota_exp/training/batch_pipeline.py"),
}

#: Trains twice in one process, without and with the options of all new slots.
TRAIN_TWICE = """
import sys
from sota_exp.cli.main import run_command_line
from tests.experiments import TINY
values = [*TINY, "data.cache=cache", "schedule.length.epochs=1"]
slots = [path.rpartition("/")[::2] for path in sys.argv[1:]]
for place in ("without", "with"):
    chosen = [f"{slot}={'none' if place == 'without' else option}" for slot, option in slots]
    assert run_command_line(["train", *values, *chosen, f"hydra.run.dir={place}"]) == 0
"""


def test_new_slots_are_begun_whole(tmp_path: Path) -> None:
    """In a copy of the tree they compose, their options build, training calls them; what is left is for a person to write."""
    for name in ("conf", "docs", "sota_exp", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    own = set()
    for path, (like, kind, call) in NEW_SLOTS.items():
        made = parse_technique(tmp_path, path, "Does something new.", like)
        assert made.new_slot is not None and made.new_slot.kind == kind
        files = write_technique(tmp_path, made)
        assert tmp_path / call in files
        own |= {str(file.relative_to(tmp_path)) for file in (files[0], files[2], files[3])}
        assert {line.partition(":")[0] for line in missing_touches(tmp_path)} == own
    (tmp_path / "script.py").write_text(TRAIN_TWICE)
    said = tmp_path / "said.txt"
    program = Program(*NEW_SLOTS, path=tmp_path / "script.py", cwd=tmp_path, output=said, is_bare=True)
    assert program.wait() == 0, said.read_text()
    without, with_all = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("without", "with"))
    for path in NEW_SLOTS:
        slot, _, option = path.rpartition("/")
        assert (without["choices"][slot], with_all["choices"][slot]) == ("none", option)
    assert without["metrics"] == with_all["metrics"]  # the copies of options that do nothing do nothing yet


@pytest.mark.parametrize(
    ("path", "like", "message"),
    [
        ("augmentation/erasing/grid_mask", "", "no slot augmentation/erasing; .* Did you mean augmentation/erase?"),
        ("schedule/rhythm/waltz", "", "no slot schedule/rhythm; legal: augmentation/crop"),
        (
            "augmentation/color/jitter",
            "augmentation/crop",
            "--like augmentation/crop: no slot of augmentation/ that can have",
        ),
        (
            "augmentation/color/jitter",
            "regularization/clip",
            "--like regularization/clip: no slot of augmentation/ that can",
        ),
    ],
)
def test_a_slot_that_cannot_be_begun_is_said_in_one_line(path: str, like: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_technique(ROOT, path, "Does something", like)
