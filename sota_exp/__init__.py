"""Which image-classification techniques help on your data and model, how much, at what cost, and how surely.

The commands of the shell as functions, and what they leave as objects (docs/python.md). They are imported when they are
used, so that `import sota_exp` is quick.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sota_exp.cli.python.commands import ablate, compose, evaluate, look, plan, predict, sweep, train
    from sota_exp.cli.python.predict import Predictions
    from sota_exp.cli.python.previews import Look, Plan
    from sota_exp.cli.python.results import CrossValidation, Run, load_model, load_run
    from sota_exp.cli.python.studies import Study, SweepResult, load_study, load_sweep
    from sota_exp.errors import ConfigError, Interrupted, RunFailed

#: The folder of this package.
PACKAGE = Path(__file__).resolve().parent

#: The configuration groups: inside the package in an installed wheel, beside it in a checkout.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"

# cuBLAS and PyTorch read it once, when a process first multiplies: too early for the run that asks for
# `runtime.deterministic`, if another one came before. PyTorch names this value in the error that it raises without it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

#: Name → the module that has it.
_PLACES = {
    **dict.fromkeys(("ablate", "compose", "evaluate", "look"), "cli.python.commands"),
    **dict.fromkeys(("plan", "predict", "sweep", "train"), "cli.python.commands"),
    **dict.fromkeys(("Look", "Plan"), "cli.python.previews"),
    "Predictions": "cli.python.predict",
    **dict.fromkeys(("CrossValidation", "Run", "load_model", "load_run"), "cli.python.results"),
    **dict.fromkeys(("Study", "SweepResult", "load_study", "load_sweep"), "cli.python.studies"),
    **dict.fromkeys(("ConfigError", "Interrupted", "RunFailed"), "errors"),
}

__all__ = [  # noqa: RUF022
    "compose", "look", "train", "sweep", "plan", "ablate", "evaluate", "predict", "load_run", "load_study",
    "load_sweep", "load_model", "Run", "CrossValidation", "Study", "SweepResult", "Look", "Plan", "Predictions",
    "ConfigError", "RunFailed", "Interrupted",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'sota_exp' has no attribute '{name}'")
    if name == "sweep":  # also a room of the package: see `_Package`
        return importlib.import_module("sota_exp.sweep")
    from sota_exp.config.signals import postponed_interrupt

    with postponed_interrupt():
        return vars(importlib.import_module(f"sota_exp.{_PLACES[name]}"))[name]


def __dir__() -> list[str]:
    return sorted(__all__)


class _CallableRoom(ModuleType):
    """The room `sweep`, which is also the function of this name."""

    def __call__(self, *overrides: str, model: None = None, data: None = None, quiet: bool = False) -> "SweepResult":
        from sota_exp.cli.python.commands import sweep

        return sweep(*overrides, model=model, data=data, quiet=quiet)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        if name == "sweep" and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
