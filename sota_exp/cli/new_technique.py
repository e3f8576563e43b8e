"""usage: sota-exp new-technique SLOT/NAME ["What it does."] [like=OPTION]

Begins a technique in a checkout of sota_exp: its module, its YAML, its test and its row in docs/techniques.md, as a copy of the slot's
option that does nothing, or of another one of the slot.

  sota-exp new-technique augmentation/erase/grid_mask "Erases a grid of squares"
  sota-exp new-technique optimizer/adan "Adaptive Nesterov momentum" like=adamw

It can be chosen at once. Its test fails until it is written, and the contract of all options until it changes something.
"""

from pathlib import Path

from sota_exp import PACKAGE
from sota_exp.cli.saved_model_argument import values
from sota_exp.cli.technique_template import scaffold, technique
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import console


def main(arguments: list[str]) -> None:
    """Write the four files of the technique that the first argument names."""
    named = [argument for argument in arguments if "=" not in argument]
    if not 1 <= len(named) <= 2:
        raise ConfigError("new-technique needs SLOT/NAME; sota-exp new-technique --help says more")
    like = values("new-technique", [argument for argument in arguments if "=" in argument], {"like": " "})["like"]
    root = checkout()
    summary = named[1] if len(named) == 2 else "What it does, in one sentence"
    made = technique(root, named[0], summary, like.strip())
    files = scaffold(root, made)
    out = console()
    start = f"a copy of {made.slot}={made.like.name}"
    for path, what in zip(
        files, (f"the technique, {start}", "its defaults", "its test, which fails", "its row"), strict=True
    ):
        out.print(f"  {path.relative_to(root)}", style="cyan", end="  ")
        out.print(what)
    out.print(f"\nchoose it     sota-exp train scale=smoke {made.slot}={made.name}", soft_wrap=True)
    out.print(
        f"when it works make check, and pytest tests/test_contract.py -k '{made.slot}={made.name}'", soft_wrap=True
    )


def checkout() -> Path:
    """The root of the checkout that this package lies in.

    Raises:
        ConfigError: it is installed without its tests and documents.
    """
    root = PACKAGE.parent
    if not all((root / name).is_dir() for name in ("conf", "tests", "docs")):
        raise ConfigError(
            "new-technique works in a checkout: git clone the project, then pip install -e . there. To add options without one, "
            "--config-dir adds YAML files whose _target_ is a class of yours"
        )
    return root
