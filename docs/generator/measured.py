"""What the published studies say of each technique, as a table for its page. Every number comes from a file of docs/results."""

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify

from sota_exp.statistics.units import SHARE_FORMAT

DOCS = Path(__file__).resolve().parents[1]
FOLDER = DOCS / "results"

#: Short name of a study → the heading of its section on the page of results.
HEADINGS = {
    "first study": "The first study",
    "short ladder": "A ladder where it does not fit",
    "twelve at once": "Twelve regularizing techniques, all at once, in a short training",
    "three lengths": "When does a technique begin to pay?",
    "240 photographs": "What matters with 240 photographs?",
    "1,000 photographs": "And with 1,000?",
    "170 labels": "170 labels of 720",
    "a small student": "A small network taught by the large one",
}

#: File of a study → its short name, and what a technique was compared beside.
STUDIES = {
    "first_study/study": ("first study", "alone, 4 epochs"),
    "short_ladder/study": ("short ladder", "after the steps before it, 6 epochs, 15 from long training on"),
    "regularizers/leave_one_out": ("twelve at once", "beside the eleven others, 12 epochs"),
    "when_techniques_pay/4_epochs": ("three lengths", "half of eleven others, 4 epochs"),
    "when_techniques_pay/12_epochs": ("three lengths", "half of eleven others, 12 epochs"),
    "when_techniques_pay/36_epochs": ("three lengths", "half of eleven others, 36 epochs"),
    "few_images/240": ("240 photographs", "fine-tuned for 10 epochs"),
    "few_images/1000": ("1,000 photographs", "fine-tuned for 5 epochs"),
    "few_images/label_propagation": ("170 labels", "fine-tuned for 5 epochs"),
    "few_images/distillation": ("a small student", "50 epochs"),
}

#: Names in the studies, and the techniques that they belong to; the others are names of techniques.
TECHNIQUES = {
    "classic": "data_augmentation",
    "distillation": "knowledge_distillation",
    "fixres": "fixres_mitigations",
    "ghost_batch": "ghost_batch_norm",
    "inference_resize": "inference_resize_tuning",
    "transfer": "transfer_learning",
    "weight_decay": "weight_decay_tuning",
}

#: Study and technique → what its rows add.
REMARKS = {
    ("twelve at once", "mixup"): "; it halves CutMix",
    ("three lengths", "mixup"): "; it halves CutMix where that is on",
    ("twelve at once", "cutmix"): "; it halves mixup",
    ("three lengths", "cutmix"): "; it halves mixup where that is on",
    ("short ladder", "cutmix"): "; it halves mixup",
    ("240 photographs", "transfer_learning"): "; without it, runs stayed at chance level: no typical size",
    ("1,000 photographs", "transfer_learning"): "; without it, a run stayed at chance level",
    **{
        (study, "weight_decay_tuning"): "; against no decay"
        for study in ("twelve at once", "three lengths", "240 photographs")
    },
}

#: Verdict on leaving a technique out → on having it.
TURNED = {"helps": "hurts", "hurts": "helps", "helps here": "hurts here", "hurts here": "helps here"}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What turning a technique on changes, in shares. interval: for new training runs on new images; None without one."""

    estimate: float
    interval: tuple[float, float] | None
    verdict: str

    def format(self) -> str:
        """Points, interval and verdict, the cells of a row."""
        span = SHARE_FORMAT.span(*self.interval, " … ") if self.interval else ""
        return f"{SHARE_FORMAT.difference(self.estimate)} | {span} | {self.verdict}"


def read_effects(file: str) -> dict[str, Effect]:
    """Name of a technique → its effect in a study."""
    study = json.loads((FOLDER / f"{file}.json").read_text())
    return dict(list_mean_effects(study["effects"]) if study["effects"] else list_differences(study["arms"]))


def list_mean_effects(effects: list[dict[str, Any]]) -> Iterator[tuple[str, Effect]]:
    """Of a screening: the means over the settings of the others."""
    for each in effects:
        low, high = each["new_images"]["interval"]
        yield (
            name_technique(each["factor"]),
            Effect(estimate=each["estimate"], interval=(low, high), verdict=each["verdict"]),
        )


def list_differences(arms: list[dict[str, Any]]) -> Iterator[tuple[str, Effect]]:
    """Of arms with or without one technique, from what they are compared with."""
    for arm in (each for each in arms if each["reference"]):
        name, sign = arm["name"].removeprefix("without_").removeprefix("with_"), 1
        interval, verdict = arm["new_images"] and tuple(arm["new_images"]["interval"]), arm["verdict"]
        if arm["name"].startswith("without_"):
            sign, verdict = -1, TURNED.get(verdict, verdict)
            interval = interval and (-interval[1], -interval[0])
        yield name_technique(name), Effect(estimate=sign * arm["difference"], interval=interval, verdict=verdict)


def name_technique(name: str) -> str:
    return TECHNIQUES.get(name, name)


def read_published() -> dict[str, str]:
    """Name of a technique → the gain of its step in torchvision's ladder, as docs/recipe.md has it."""
    rows = re.findall(r"^\| `ladder_\d+_(\w+)` .*\| (\+[\d.]+) \|$", (DOCS / "recipe.md").read_text(), flags=re.M)
    return {name_technique(name): f"{float(gain):+.2f}" for name, gain in rows}


@functools.cache
def list_rows() -> dict[str, list[str]]:
    """Name of a technique → the rows of its table, torchvision's ladder first."""
    found: dict[str, list[str]] = {}
    for name, gain in read_published().items():
        found[name] = [
            f"| [torchvision's ladder](../recipe.md) | ResNet-50 on ImageNet, best of three runs | {gain} | | |"
        ]
    for file, (study, setting) in STUDIES.items():
        anchor = slugify(HEADINGS[study], "-")
        for name, effect in read_effects(file).items():
            row = f"| [{study}](../results/index.md#{anchor}) | {setting}{REMARKS.get((study, name), '')} | {effect.format()} |"
            found.setdefault(name, []).append(row)
    return found


def describe_technique(slug: str) -> str:
    """What was measured of a technique, by the name of its page, as Markdown; "" where nothing was."""
    if not (rows := list_rows().get(slug.replace("-", "_"))):
        return ""
    head = "| study | beside what | points | 95 % interval | verdict |\n|---|---|---|---|---|"
    words = (
        "**Measured.** What turning it on changes, in points of test accuracy. Intervals are for new training runs on new images; a verdict allows for "
        "all comparisons of its study."
    )
    return "\n".join([f"{words}\n", head, *rows])
