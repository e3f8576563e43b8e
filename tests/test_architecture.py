"""The shape of the code: imports point one way, the step names no technique, functions are short, there are no drawers."""

import ast
import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.options import ROOT, folder_of, imports, options, tree_of
from tests.rooms import MODULES, PACKAGE, faults_of_layout, place, rooms, table

TECHNIQUES = [option for option in options() if not option.is_neutral]

#: Groups that are no technique: data sources and trackers have machinery of their own.
OTHER_GROUPS = ("data/", "tracking/")

#: Who may know Hydra and OmegaConf: the configuration, the command line, and the two sweepers.
OF_HYDRA = ("config/", "cli/", "study/hydra_sweeper.py", "sweep/")

#: Modules that stay light, so that mistakes end quickly and reports need no trainer; and what they must not import.
LIGHT = {
    **dict.fromkeys(("cli/train.py", "cli/evaluate.py", "cli/explain.py"), ("torch", "torchvision", "timm", "mlflow")),
    **dict.fromkeys(("config/compose.py", "config/fingerprint.py"), ("torch", "torchvision", "timm", "mlflow")),
    **dict.fromkeys(("cli/main.py", "errors.py", "config/formats.py"), ("torch", "hydra", "omegaconf", "mlflow")),
    "config/rules/__init__.py": ("torch", "hydra", "mlflow"),
    "study/plan.py": ("torch", "hydra", "omegaconf", "mlflow"),
}

#: Rooms of which all modules are light.
LIGHT_ROOMS = {
    "statistics": ("torch", "hydra", "omegaconf", "mlflow"),
    "report": ("torch", "torchvision", "timm", "mlflow", "hydra"),
}

MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 50

DRAWERS = re.compile(r"^(utils?|helpers?|common|misc|tools|base|core|lib)$")


def imported_modules(path: Path) -> set[str]:
    """Modules named in a file's import statements, names cut off."""
    names = set()
    for node in ast.walk(tree_of(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "sota_exp":
                names |= {f"sota_exp.{alias.name}" for alias in node.names}
    return names


def at_top(path: Path) -> set[str]:
    """What a file imports when it is imported: outside functions and not for types alone, and what that imports in the package."""
    seen: set[str] = set()
    todo = [path]
    while todo:
        for name in named_at_top(todo.pop().read_text()) - seen:
            seen.add(name)
            target = ROOT / (name.replace(".", "/") + ".py")
            if name.startswith("sota_exp.") and target.is_file():
                todo.append(target)
    return seen


@cache
def named_at_top(text: str) -> frozenset[str]:
    """The modules and names that a module's own text imports there."""
    tree = tree_of(text)
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef)
        or (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(path.read_text())) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def test_a_technique_file_reads_in_order_docstring_functions_class():
    """A sentence `Name: what it does.`, the formula, the paper, a known-good setting; the option's class comes last."""
    for option in TECHNIQUES:
        path = PACKAGE / folder_of(option.slot) / f"{option.name}.py"
        if place(path).startswith(OTHER_GROUPS):
            continue
        tree = tree_of(path.read_text())
        text, last = ast.get_docstring(tree) or "", tree.body[-1]
        parts = (r"\A[A-Za-z][^\n]*: [^\n]+", r"^Paper: .+", r"^Setting: .+")
        assert [part for part in parts if not re.search(part, text, re.M)] == [], place(path)
        assert isinstance(last, ast.ClassDef) and last.name == option.target.rpartition(".")[2], place(path)


def test_hydra_stays_at_the_door():
    knowing = {place(path) for path in MODULES if names_hydra(path)}
    assert [name for name in sorted(knowing) if not name.startswith(OF_HYDRA)] == []
    assert knowing


def names_hydra(path: Path) -> bool:
    return bool({name.split(".")[0] for name in imported_modules(path)} & {"hydra", "omegaconf"})


def test_the_training_loop_imports_no_technique():
    ours = {name for name in imported_modules(PACKAGE / "training/loop.py") if name.startswith("sota_exp.")}
    groups = {name.split(".")[1] for name in ours}
    assert "techniques" not in groups


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy(name):
    assert {found.split(".")[0] for found in at_top(PACKAGE / name)} & set(LIGHT[name]) == set()


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_modules_of_light_rooms_import_nothing_heavy(room):
    heavy, paths = set(LIGHT_ROOMS[room]), rooms(PACKAGE)[room]
    named = {place(path): {found.split(".")[0] for found in at_top(path) | imported_modules(path)} for path in paths}
    assert {name: found & heavy for name, found in named.items() if found & heavy} == {}
    assert named


def test_the_layout_is_what_the_rooms_say():
    assert faults_of_layout(PACKAGE) == []


BROKEN = {
    "a loose file": ("extra.py", "", "lies loose"),
    "a fifteenth room": ("extra/__init__.py", '"""A room.\n\nImports no other room.\n"""\n', "15 rooms"),
    "an undeclared import": (
        "statistics/extra.py",
        "from sota_exp.runs.status import COMPLETE\n",
        "statistics imports runs",
    ),
    "one inside a function": (
        "data/extra.py",
        "def load():\n    from sota_exp.cli.main import main\n    return main\n",
        "data imports cli",
    ),
    "one for types alone": (
        "stages/extra.py",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from sota_exp.runs import files\n",
        "stages imports runs",
    ),
    "an import that is not there": (
        "stages/__init__.py",
        '"""Stages.\n\nImports statistics.\n"""\n',
        "says statistics, which stages does not import",
    ),
    "a circle of files": (
        "statistics/extra.py",
        "from sota_exp.statistics import extra\n",
        "circle of files: sota_exp.statistics.extra",
    ),
    "a technique by its module": (
        "cli/extra.py",
        "from sota_exp.techniques.augmentation.mix.mixup import Mixup\n",
        "cli imports techniques, which are chosen by name",
    ),
    "a technique of another group": (
        "techniques/augmentation/policy/ops.py",
        "from sota_exp.techniques.regularization.clip import norm\n",
        "policy/ops.py imports sota_exp.techniques.regularization.clip",
    ),
    "a room without a sentence": ("extra/one.py", "", "extra has no __init__.py"),
    "a file that is no module": ("notes.txt", "", "lies loose"),
    "a circle of rooms": ("stages/extra.py", "from sota_exp.cli.main import main\n", "circle of rooms: "),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package, which every test leaves as it found it."""
    place = tmp_path_factory.mktemp("package") / "sota_exp"
    return shutil.copytree(PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize(("name", "text", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_of_the_layout_is_found(name, text, fault, package):
    path = package / name
    before, is_room = path.read_bytes() if path.exists() else None, path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    try:
        assert [line for line in faults_of_layout(package) if fault in line]
    finally:
        path.unlink() if before is None else path.write_bytes(before)
        if not is_room:
            path.parent.rmdir()


def test_the_architecture_page_shows_the_rooms_as_they_are():
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert table() in page, "docs/architecture.md: put the output of `python -m tests.rooms` there"


#: Folders of tests that are of no room.
OTHER_TESTS = {"benchmarks", "run_of_format_1", "torture"}


def test_every_folder_of_tests_is_that_of_a_room():
    tests = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")}
    there = [folder for folder in tests if (PACKAGE / folder).is_dir() or str(folder) in OTHER_TESTS]
    assert set(there) == tests


#: Files that a program writes.
WRITTEN = {"multirun.yaml", "report.md"}


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/decisions.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page):
    named = set(re.findall(r"`([\w/]*\w+\.(?:py|yaml|md)|[a-z_]+/)`", (ROOT / page).read_text())) - WRITTEN
    there = {
        f"/{path.relative_to(ROOT)}{'/' * path.is_dir()}"
        for folder in ("sota_exp", "conf", "docs", "tests")
        for path in [ROOT / folder, *(ROOT / folder).rglob("*")]
    }
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in there)} == set()


def test_train_step_fits_in_thirty_lines_and_names_no_technique():
    (step,) = [function for function in functions(PACKAGE / "training/loop.py") if function.name == "train_step"]
    assert length(step) <= 30
    words = set(re.findall(r"[a-z_]+", ast.unparse(step).lower()))
    # Names of options that are also words of any training step: parameter groups, logits, values.
    names = {option.name for option in options()} - {
        "none",
        "group",
        "logits",
        "value",
        "step",
        "batch",
        "norm",
        "full",
    }
    assert words & names == set()
    assert not any(isinstance(node, ast.If | ast.Try) for node in ast.walk(step))


def test_the_pipeline_has_no_branches():
    (build,) = [
        function
        for function in functions(PACKAGE / "training/batch_pipeline.py")
        if function.name == "build_batch_pipeline"
    ]
    assert not any(isinstance(node, ast.If | ast.IfExp) for node in ast.walk(build))


def test_modules_and_functions_are_short():
    lines = {place(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_MODULE_LINES} == {}
    lengths = {f"{place(path)}: {each.name}": length(each) for path in MODULES for each in functions(path)}
    assert {name: count for name, count in lengths.items() if count > MAX_FUNCTION_LINES} == {}


def test_lines_are_short_prose_too():
    lines = [
        (place(path), number, len(line))
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]
    assert [each for each in lines if each[2] > 120] == []


def test_the_median_function_is_near_ten_lines():
    lengths = sorted(length(each) for path in MODULES for each in functions(path))
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 40


def test_there_are_no_drawers():
    names = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert {name for name in names if DRAWERS.match(name)} == set()


def test_nothing_is_left_to_do_and_nothing_is_probed():
    texts = {place(path): path.read_text() for path in MODULES}
    assert [name for name, text in texts.items() if re.search(r"\b(TODO|FIXME|XXX)\b", text)] == []
    assert [name for name, text in texts.items() if any(map(is_probe, ast.walk(tree_of(text))))] == []


def is_probe(node: ast.AST) -> bool:
    """`hasattr`, or `getattr` with a default."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    return node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)


def test_every_module_says_what_it_is():
    silent = [path for path in MODULES if not ast.get_docstring(tree_of(path.read_text()))]
    assert [place(path) for path in silent if not is_folder_of_techniques(path)] == []


def is_folder_of_techniques(path: Path) -> bool:
    return path.name == "__init__.py" and path.parent.parent != PACKAGE and not path.read_text().strip()


def test_no_step_waits_for_the_device():
    """`.item()`, `.tolist()` and `.cpu()` in what runs every step would stop the queue of an accelerator."""
    (step,) = [function for function in functions(PACKAGE / "training/loop.py") if function.name == "train_step"]
    waiting = {"item", "tolist", "cpu", "numpy"}
    assert not any(isinstance(node, ast.Attribute) and node.attr in waiting for node in ast.walk(step))


def test_the_reader_of_imports_reads():
    """What the tests above rest on."""
    assert "sota_exp.training.loop.fit" in imports(PACKAGE / "training/trainer.py")
    assert "torch" in at_top(PACKAGE / "training/loop.py")
    assert "sota_exp.stages.random" in at_top(PACKAGE / "training/run.py")
