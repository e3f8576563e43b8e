"""What `import sota_exp` has, and that it imports nothing slow."""

import ast
import inspect
import json
import subprocess
import sys

import pytest

import sota_exp
from tests.options import ROOT

COUNT = "import sys; before = set(sys.modules); import {}; import json; print(json.dumps([*set(sys.modules) - before]))"


def modules_of(name: str) -> set[str]:
    """The modules that a fresh interpreter imports with one."""
    made = subprocess.run(
        [sys.executable, "-c", COUNT.format(name)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(json.loads(made.stdout))


def test_the_import_is_as_quick_as_that_of_json():
    """By the number of modules, as times depend on what else runs."""
    found = modules_of("sota_exp")
    assert {name.split(".")[0] for name in found} & {
        "torch",
        "hydra",
        "omegaconf",
        "pandas",
        "numpy",
        "mlflow",
        "rich",
    } == set()
    assert {name for name in found if name.startswith("sota_exp")} == {"sota_exp"}
    assert len(found) <= 2 * len(modules_of("json"))


def test_a_type_checker_and_a_program_see_the_same_names():
    (block,) = [
        node for node in ast.parse((ROOT / "sota_exp/__init__.py").read_text()).body if isinstance(node, ast.If)
    ]
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(typed) == sorted(sota_exp.__all__)
    for name, module in typed.items():
        if name != "sweep":
            assert inspect.getmodule(getattr(sota_exp, name)).__name__ == module
    assert dir(sota_exp) == sorted(sota_exp.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        sota_exp.trian  # noqa: B018


def test_sweep_is_a_room_and_a_function():
    import sota_exp.sweep.space
    from sota_exp.cli.python.commands import sweep

    assert sota_exp.sweep.space.__name__ == "sota_exp.sweep.space"
    assert callable(sota_exp.sweep)
    assert inspect.signature(sota_exp.sweep) == inspect.signature(sweep).replace(return_annotation="SweepResult")


@pytest.mark.parametrize("error", [sota_exp.ConfigError("no such key"), sota_exp.RunFailed("no such key")])
def test_a_notebook_shows_an_error_in_a_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPython asks for it."""
    assert error._render_traceback_() == [f"{type(error).__name__}: no such key"]
    monkeypatch.setenv("SOTA_EXP_TRACEBACK", "1")
    assert len(error._render_traceback_()) >= 1 and "sota_exp.errors" in error._render_traceback_()[-1]
