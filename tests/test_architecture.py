"""The shape of the code: imports point one way, the step names no technique, functions are short, there are no drawers."""

import ast
import re
from pathlib import Path

import pytest

from tests.options import ROOT, folder_of, imports, options

PACKAGE = ROOT / "sota_exp"
MODULES = sorted(PACKAGE.rglob("*.py"))
TECHNIQUES = [PACKAGE / folder_of(option.slot) / f"{option.name}.py" for option in options() if not option.is_neutral]

#: What a technique may import of ours, beside files of its own folder.
OF_TECHNIQUES = (
    "sota_exp.data.resize",
    *(f"sota_exp.models.{name}" for name in ("load_state", "parts", "saved", "small_nets", "weight_files", "zoo")),
)

#: Groups that are no technique: data sources and trackers have machinery of their own.
OTHER_GROUPS = ("data/", "tracking/")

#: The modules that may know Hydra and OmegaConf: the typed configuration, the command line, the sweeper.
OF_HYDRA = (
    "config/build.py",
    "config/compose.py",
    "config/hydra_compose.py",
    "config/hydra_errors.py",
    "config/overrides.py",
    "config/recipe_values.py",
    "cli/",
    "study/hydra_sweeper.py",
    "sweep/checks.py",
    "sweep/job.py",
    "sweep/loop.py",
    "sweep/plugin.py",
    "sweep/sampler.py",
    "sweep/settings.py",
    "sweep/start_points.py",
)

#: Modules that stay light, so that mistakes end quickly and reports need no trainer; and what they must not import.
LIGHT = {
    "cli/train.py": ("torch", "torchvision", "timm", "mlflow"),
    "cli/evaluate.py": ("torch", "torchvision", "timm", "mlflow"),
    "cli/explain.py": ("torch", "torchvision", "timm", "mlflow"),
    "cli/main.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "config/compose.py": ("torch", "torchvision", "timm", "mlflow"),
    "config/rules/__init__.py": ("torch", "hydra", "mlflow"),
    "errors.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "study/plan.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "statistics/paired.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/study/read.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/study/page.py": ("torch", "hydra", "omegaconf", "mlflow"),
    "report/sweep/page.py": ("torch", "hydra", "omegaconf", "mlflow"),
}

#: What each room may import, beside itself and `errors`.
ROOMS = {
    "statistics": (),
    "stages": (),
    "config": ("stages",),
    "runs": ("config", "stages"),
    "data": ("config", "runs", "stages"),
    "report": ("config", "runs", "statistics"),
    "models": ("config", "data", "runs", "stages"),
    "techniques": ("data", "models", "stages"),
    "training": ("config", "data", "models", "runs", "stages"),
    "tracking": ("models", "report", "runs", "stages", "statistics", "training"),
    "preview": ("config", "data", "models", "report", "runs", "stages", "tracking", "training"),
    "study": ("config", "models", "preview", "report", "runs", "stages", "statistics", "training"),
    "sweep": ("config", "report", "runs", "stages", "statistics", "tracking", "training"),
    "cli": ("config", "runs", "report", "models", "training", "tracking", "preview", "study", "sweep"),
}

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
    if place(path).startswith(OTHER_GROUPS):
        return
    own = ".".join(["sota_exp", *path.parent.relative_to(PACKAGE).parts])
    ours = {name for name in imported_modules(path) if name.startswith("sota_exp")}
    group = ".".join(own.split(".")[:3])
    allowed = {
        name for name in ours if name in OF_TECHNIQUES or name.startswith(("sota_exp.stages.", f"{own}.", f"{group}."))
    }
    assert ours - allowed == set()
    assert not any(name.split(".")[0] in ("hydra", "omegaconf", "mlflow") for name in imported_modules(path))


@pytest.mark.parametrize("path", TECHNIQUES, ids=place)
def test_a_technique_file_reads_in_order_docstring_functions_class(path):
    """A sentence `Name: what it does.`, the formula, the paper, a known-good setting; the option's class comes last."""
    if place(path).startswith(OTHER_GROUPS):
        return
    tree = ast.parse(path.read_text())
    text = ast.get_docstring(tree) or ""
    assert re.match(r"[A-Za-z][^\n]*: [^\n]+", text)
    assert re.search(r"^Paper: .+", text, re.M) and re.search(r"^Setting: .+", text, re.M)
    last = tree.body[-1]
    (option,) = [option for option in options() if f"{folder_of(option.slot)}/{option.name}.py" == place(path)]
    assert isinstance(last, ast.ClassDef) and last.name == option.target.rpartition(".")[2]


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_hydra_stays_at_the_door(path):
    found = {name.split(".")[0] for name in imported_modules(path)} & {"hydra", "omegaconf"}
    assert not found or place(path).startswith(OF_HYDRA)


def test_the_training_loop_imports_no_technique():
    ours = {name for name in imported_modules(PACKAGE / "training/loop.py") if name.startswith("sota_exp.")}
    groups = {name.split(".")[1] for name in ours}
    assert "techniques" not in groups


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy(name):
    path = PACKAGE / name
    assert path.is_file()
    assert {found.split(".")[0] for found in at_top(path)} & set(LIGHT[name]) == set()


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_room_imports_the_rooms_it_may(path):
    own = place(path).split("/")[0]
    if own not in ROOMS:
        return
    found = {room(name) for name in imported_modules(path) if name.startswith("sota_exp.")}
    assert found - {own, "errors", "CONF", "PACKAGE", *ROOMS[own]} == set()


def test_there_is_no_circle_of_rooms_or_files():
    known = {".".join(["sota_exp", *Path(place(path)).with_suffix("").parts]): path for path in MODULES}
    arrows = {name: {other for other in imports(path) if other in known} for name, path in known.items()}
    rooms = {own: set(others) for own, others in ROOMS.items()}
    for graph in (arrows, rooms):
        while free := [name for name, others in graph.items() if not others & graph.keys()]:
            for name in free:
                del graph[name]
        assert not graph


def test_nothing_else_lies_at_the_top():
    there = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert there - set(ROOMS) == {"__init__.py", "__main__.py", "errors.py"}


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
        function for function in functions(PACKAGE / "training/batch_pipeline.py") if function.name == "pipeline"
    ]
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
    (step,) = [function for function in functions(PACKAGE / "training/loop.py") if function.name == "train_step"]
    waiting = {"item", "tolist", "cpu", "numpy"}
    assert not any(isinstance(node, ast.Attribute) and node.attr in waiting for node in ast.walk(step))


def test_the_reader_of_imports_reads():
    """What the tests above rest on."""
    assert "sota_exp.training.loop.fit" in imports(PACKAGE / "training/trainer.py")
    assert "torch" in at_top(PACKAGE / "training/loop.py")
    assert "sota_exp.stages.random" in at_top(PACKAGE / "training/run.py")
