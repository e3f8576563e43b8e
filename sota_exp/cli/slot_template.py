"""The touches of a new slot, begun: its line wherever a slot of the same kind has one, and its option `none`.

A slot is a field of the experiment, a line in each preset of its group, and a call. The call depends on the kind of
stage, so only kinds with several slots can get another one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from sota_exp.config.catalog import CatalogOption
from sota_exp.config.values import format_suggestion
from sota_exp.errors import ConfigError

#: Where the slots of a kind are called, and what a line that calls one contains.
STAGE_CALLS = {
    "BatchTransform": ("sota_exp/training/batch_pipeline.py", '("{group}/{name}", '),
    "GradientTransform": ("sota_exp/training/loop.py", ".{group}.{name}("),
    "ModelTransform": ("sota_exp/models/model_json.py", '    "{name}",'),
}

#: The slot that a new one of a group resembles where the command names none.
TEMPLATE_SLOTS = {"augmentation": "augmentation/erase", "regularization": "regularization/clip"}

EXPERIMENT_FILE = "sota_exp/config/experiment.py"


@dataclass(frozen=True, kw_only=True)
class NewSlot:
    """A slot to be made, the slot of the same kind that it stands behind everywhere, and their kind of stage."""

    slot: str
    like: str
    kind: str

    def rename_line(self, line: str) -> str:
        """A line about the other slot, written for the new one."""
        return re.sub(rf"\b{self.like.rpartition('/')[2]}\b", self.slot.rpartition("/")[2], line)


def parse_new_slot(root: Path, slot: str, like: str, there: list[CatalogOption]) -> NewSlot:
    """What a command that names an unknown slot asks for.

    Raises:
        ConfigError: a misspelled slot, an illegal name, no group of slots, or a kind that has one slot only.
    """
    slots = sorted({option.group for option in there if "/" in option.group})
    group, _, name = slot.rpartition("/")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"{slot}: {name} is no name of a slot; legal: small letters, digits and _")
    near = format_suggestion(name, [each.rpartition("/")[2] for each in slots if each.startswith(f"{group}/")])
    like = like or TEMPLATE_SLOTS.get(group, "")
    if not like or (near and like == TEMPLATE_SLOTS.get(group)):
        hint = f"; a new slot of {group}/ needs --like SLOT, a slot of the same kind" if group in TEMPLATE_SLOTS else ""
        legal = sorted({option.group for option in there})
        raise ConfigError(f"no slot {slot}; legal: {', '.join(legal)}{hint}.{format_suggestion(slot, legal)}")
    kinds = {each: find_stage_class(root, each) for each in slots if each.startswith(f"{group}/")}
    legal = [each for each, kind in kinds.items() if kind in STAGE_CALLS]
    if like not in legal:
        raise ConfigError(
            f"--like {like}: no slot of {group}/ that can have another beside it; legal: {', '.join(legal)}"
        )
    return NewSlot(slot=slot, like=like, kind=kinds[like])


def find_stage_class(root: Path, slot: str) -> str:
    """The kind of stage that a slot holds, read from the annotation of its field; empty if it has no field."""
    found = re.search(rf"^    {slot.rpartition('/')[2]}: (\w+)$", (root / EXPERIMENT_FILE).read_text(), re.M)
    return found[1] if found else ""


def format_slot_files(root: Path, made: NewSlot, neutral: CatalogOption) -> dict[Path, str]:
    """The content of every file that a new slot touches; neutral: the option of the other slot that does nothing."""
    group, _, name = made.like.rpartition("/")
    call, marker = STAGE_CALLS[made.kind]
    presets = [
        path for path in (root / "conf" / group).glob("*.yaml") if "defaults" in yaml.safe_load(path.read_text())
    ]
    lines = {root / EXPERIMENT_FILE: f"    {name}: ", root / call: marker.format(group=group, name=name)}
    files = {path: double_line(path, marker, made.rename_line) for path, marker in lines.items()}
    files |= {
        path: double_line(path, f"  - {name}: ", lambda line: re.sub(": .*", ": none", made.rename_line(line)))
        for path in presets
    }
    table = root / "docs" / "techniques.md"
    row = f"| `{made.slot}` | `none` | Does nothing |  |  |\n"
    return files | {
        root / "conf" / made.slot / "none.yaml": f"# Does nothing.\n_target_: {neutral.target}\n",
        root / "sota_exp" / "techniques" / made.slot / "__init__.py": "",
        table: add_table_row(table.read_text(), made.like, row),
    }


def double_line(path: Path, marker: str, rename: Callable[[str], str]) -> str:
    """A file's text in which the last line that contains `marker` is followed by itself, renamed."""
    lines = path.read_text().splitlines(keepends=True)
    (*_, place) = [number for number, line in enumerate(lines) if marker in line]
    return "".join([*lines[: place + 1], rename(lines[place]), *lines[place + 1 :]])


def add_table_row(text: str, slot: str, row: str) -> str:
    """docs/techniques.md with a row after the last one of a slot.

    Raises:
        ConfigError: the slot has no row to put it after.
    """
    lines = text.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith(f"| `{slot}` |")]
    if not places:
        raise ConfigError(f"docs/techniques.md has no row of {slot} to put the new one after")
    return "".join([*lines[: places[-1] + 1], row, *lines[places[-1] + 1 :]])
