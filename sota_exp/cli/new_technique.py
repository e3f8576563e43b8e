"""usage: sota-exp new-technique SLOT/NAME ["What it does."] [like=OPTION|SLOT]

Begins a technique in a checkout of sota_exp: its module, its YAML, its test and its row in docs/techniques.md. It
starts as a copy of the slot's option that does nothing, or of the option that like= names.

  sota-exp new-technique augmentation/erase/grid_mask "Erases a grid of squares"
  sota-exp new-technique optimizer/adan "Adaptive Nesterov momentum" like=adamw

A slot that does not exist is begun too: its field, its line in each preset, its call, and its option none. like= then
names a slot of the same kind, after which the new one acts; by default augmentation/erase or regularization/clip.

  sota-exp new-technique regularization/centralization/gradient "Subtracts the mean of each filter's gradient"
  sota-exp new-technique augmentation/color/jitter "Changes brightness and contrast" like=augmentation/policy

It can be chosen at once. Its test fails until it is written, and the contract of all options until it has an effect.
"""

from sota_exp import PACKAGE
from sota_exp.cli.saved_model_argument import parse_values
from sota_exp.cli.technique_template import parse_technique, write_technique
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import make_console


def main(arguments: list[str]) -> None:
    """Write the files of the technique, and of its slot if there is none, that the first argument names.

    Raises:
        ConfigError: a wrong number of arguments, no checkout, or a technique that cannot be begun.
    """
    named = [argument for argument in arguments if "=" not in argument]
    if not 1 <= len(named) <= 2:
        raise ConfigError("new-technique needs SLOT/NAME; sota-exp new-technique --help says more")
    like = parse_values("new-technique", [argument for argument in arguments if "=" in argument], {"like": " "})["like"]
    root = PACKAGE.parent
    if not all((root / name).is_dir() for name in ("conf", "tests", "docs")):
        raise ConfigError(
            "new-technique works in a checkout: git clone the project, then pip install -e . there. To add options "
            "without one, --config-dir adds YAML files whose _target_ is a class of yours"
        )
    summary = named[1] if len(named) == 2 else "What it does, in one sentence"
    made = parse_technique(root, named[0], summary, like.strip())
    files = write_technique(root, made)
    out = make_console()
    for path in files:
        out.print(f"  {path.relative_to(root)}", style="cyan")
    out.print(f"\nThe technique is a copy of {made.like.group}={made.like.name}.")
    if made.new_slot is not None:
        out.print(f"{made.slot} is a slot of the kind {made.new_slot.kind}, and acts right after {made.new_slot.like}.")
    out.print(f"\nchoose it     sota-exp train scale=smoke {made.slot}={made.name}", soft_wrap=True)
    out.print(
        f"when it works make check, and pytest tests/test_contract.py -k '{made.slot}={made.name}'", soft_wrap=True
    )
