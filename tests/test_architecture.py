"""The shape of the code: imports point one way, the step names no technique, functions are short, there are no drawers."""

import ast
import re
from pathlib import Path

import pytest

from tests.options import ROOT, imports, options

PACKAGE = ROOT / "sota_exp"
MODULES = sorted(PACKAGE.rglob("*.py"))
GROUPS = sorted({option.slot.split("/")[0] for option in options()})
TECHNIQUES = [PACKAGE / option.slot / f"{option.name}.py" for option in options() if not option.is_neutral]

#: What a technique may import of ours, beside files of its own folder.
OF_TECHNIQUES = tuple(
    f"sota_exp.{name}" for name in ("stages", "streams", "resample", "network", "zoo", "saved", "weight_files")
)

#: Groups that are no technique: data sources and trackers have machinery of their own.
OTHER_GROUPS = ("data", "tracking")

#: The modules that may know Hydra and OmegaConf: the typed configuration, the command line, the sweeper.
OF_HYDRA = (
    "config.py",
    "composing.py",
    "recompose.py",
    "recipes.py",
    "rescore.py",
    "commands/",
    "report/closing.py",
    "study/sweeper",
    "study/launch",
)

#: Modules that stay light, so that mistakes end quickly and reports need no trainer; and what they must not import.
LIGHT = {
    "cli.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "composing.py": ("torch", "torchvision", "timm", "mlflow"),
    "rules/__init__.py": ("torch", "hydra", "mlflow"),
    "errors.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "study/plan.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "study/stats.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/study.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/study_page.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/sweep_page.py": ("torch", "hydra", "omegaconf", "mlflow"),
}

#: Lower layers never import higher ones: each line may import those above it.
LAYERS = (
    ("errors", "streams"),
    ("stages",),
    ("config", "network", "resample"),
    ("experiment", "distributed", "interrupts", "fingerprint", "rules", "saved", "result"),
    ("pipeline",),
    ("train", "evaluate"),
    ("session",),
    ("run",),
    ("composing", "commands", "cli"),
)

DRAWERS = re.compile(r"^(utils?|helpers?|common|misc|tools|base|core|lib)$")


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imported_modules(path: Path) -> set[str]:
    """Modules named in a file's import statements, names cut off."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "sota_exp":
                names |= {f"sota_exp.{alias.name}" for alias in node.names}
    return names


def at_top(path: Path) -> set[str]:
    """What a file imports when it is imported: the imports outside functions, and theirs in turn inside the package."""
    seen: set[str] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        tree = ast.parse(current.read_text())
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if id(node) in inside:
                continue
            found = set()
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            for name in found - seen:
                seen.add(name)
                target = ROOT / (name.replace(".", "/") + ".py")
                if name.startswith("sota_exp.") and target.is_file():
                    todo.append(target)
    return seen


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


@pytest.mark.parametrize("path", TECHNIQUES, ids=place)
def test_a_technique_imports_stages_and_its_own_folder_alone(path):
    if place(path).split("/")[0] in OTHER_GROUPS:
        return
    own = ".".join(["sota_exp", *path.parent.relative_to(PACKAGE).parts])
    ours = {name for name in imported_modules(path) if name.startswith("sota_exp")}
    group = ".".join(own.split(".")[:2])
    allowed = {name for name in ours if name in OF_TECHNIQUES or name.startswith((f"{own}.", f"{group}."))}
    assert ours - allowed == set()
    assert not any(name.split(".")[0] in ("hydra", "omegaconf", "mlflow") for name in imported_modules(path))


@pytest.mark.parametrize("path", TECHNIQUES, ids=place)
def test_a_technique_file_reads_in_order_docstring_functions_class(path):
    """A sentence `Name: what it does.`, the formula, the paper, a known-good setting; the option's class comes last."""
    if place(path).split("/")[0] in OTHER_GROUPS:
        return
    tree = ast.parse(path.read_text())
    text = ast.get_docstring(tree) or ""
    assert re.match(r"[A-Za-z][^\n]*: [^\n]+", text)
    assert re.search(r"^Paper: .+", text, re.M) and re.search(r"^Setting: .+", text, re.M)
    last = tree.body[-1]
    (option,) = [option for option in options() if f"{option.slot}/{option.name}.py" == place(path)]
    assert isinstance(last, ast.ClassDef) and last.name == option.target.rpartition(".")[2]


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_hydra_stays_at_the_door(path):
    found = {name.split(".")[0] for name in imported_modules(path)} & {"hydra", "omegaconf"}
    assert not found or place(path).startswith(OF_HYDRA)


def test_the_training_loop_imports_no_technique():
    ours = {name for name in imported_modules(PACKAGE / "train.py") if name.startswith("sota_exp.")}
    groups = {name.split(".")[1] for name in ours}
    assert groups & set(GROUPS) <= {"data"}


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy(name):
    path = PACKAGE / name
    if not path.is_file():
        return
    assert {found.split(".")[0] for found in at_top(path)} & set(LIGHT[name]) == set()


@pytest.mark.parametrize(("level", "names"), list(enumerate(LAYERS)))
def test_imports_point_one_way(level, names):
    higher = {f"sota_exp.{name}" for layer in LAYERS[level + 1 :] for name in layer}
    for name in names:
        paths = (
            [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").is_file() else sorted((PACKAGE / name).rglob("*.py"))
        )
        for path in paths:
            assert {found for found in imported_modules(path) if found in higher} == set(), path


def test_train_step_fits_in_thirty_lines_and_names_no_technique():
    (step,) = [function for function in functions(PACKAGE / "train.py") if function.name == "train_step"]
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
    (build,) = [function for function in functions(PACKAGE / "pipeline.py") if function.name == "pipeline"]
    assert not any(isinstance(node, ast.If | ast.IfExp) for node in ast.walk(build))


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_functions_are_short(path):
    assert [f"{each.name}: {length(each)}" for each in functions(path) if length(each) > 60] == []


def test_the_median_function_is_near_ten_lines():
    lengths = sorted(length(each) for path in MODULES for each in functions(path))
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 40


def test_there_are_no_drawers():
    names = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert {name for name in names if DRAWERS.match(name)} == set()


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_nothing_is_left_to_do_and_nothing_is_probed(path):
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    calls = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert not any(call.func.id == "hasattr" for call in calls)
    assert not any(call.func.id == "getattr" and len(call.args) == 3 for call in calls)


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_every_module_says_what_it_is(path):
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_no_step_waits_for_the_device():
    """`.item()`, `.tolist()` and `.cpu()` in what runs every step would stop the queue of an accelerator."""
    (step,) = [function for function in functions(PACKAGE / "train.py") if function.name == "train_step"]
    waiting = {"item", "tolist", "cpu", "numpy"}
    assert not any(isinstance(node, ast.Attribute) and node.attr in waiting for node in ast.walk(step))


def test_the_reader_of_imports_reads():
    """What the tests above rest on."""
    assert "sota_exp.train.fit" in imports(PACKAGE / "training.py")
    assert "torch" in at_top(PACKAGE / "train.py")
    assert "sota_exp.streams" in at_top(PACKAGE / "run.py")
