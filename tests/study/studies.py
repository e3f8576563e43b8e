"""Studies of simulated runs: arms that are not trained, results and predictions from simulated correctness."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sota_exp.config.configuration import Configuration
from sota_exp.study.arms import ComposedArm, ComposedArms
from sota_exp.study.files import StudyFiles
from sota_exp.study.plan import PlannedArm, StudyDesign
from sota_exp.study.results import JsonObject, PlannedStudy
from sota_exp.study.settings import StudySettings

STANDARD: dict[str, Any] = {
    "kind": "ladder",
    "title": "Simulated",
    "recipe": None,
    "seeds": 4,
    "budget": "epochs",
    "metric": "test/accuracy",
    "direction": None,
    "level": 0.95,
    "looks": None,
    "smallest_effect": None,
    "time": None,
    "only": None,
    "every_slot": False,
    "slot": None,
    "reference": None,
    "num_arms": 2,
    "interactions": False,
    "forbidden": "refuse",
    "beside_leave_one_out": False,
    "techniques": {},
}

CLASSES = ("cat", "dog")


def make_values() -> dict[str, Any]:
    """What a study reads of the configuration of an arm."""
    return {
        "tracking": {},
        "recipe": {"epochs": 30, "long_epochs": 100},
        "schedule": {"length": {"epochs": 4}},
        "data": {"image_size": 128},
    }


def arm(
    name: str, reference: str | None = None, training: str = "", offset: int = 0, is_cell: bool = False
) -> ComposedArm:
    """An arm; those with the same `training` share one."""
    plain = PlannedArm(
        name=name,
        label=name.capitalize(),
        reference=reference,
        changes=(f"change={name}",),
        overrides=(f"change={name}",),
        seed_offset=offset,
        is_cell=is_cell,
    )
    return ComposedArm(
        arm=plain,
        overrides=(f"change={name}",),
        configuration=Configuration(choices={"slot": name, "schedule/length": "standard"}, values=make_values()),
        differences={} if reference is None else {"change": [reference, name]},
        warnings=(),
        training=training or f"training-{name}",
        whole=f"{name:_<12}whole",
    )


def chain(*names: str) -> list[ComposedArm]:
    """A ladder."""
    return [arm(name, names[index - 1] if index else None) for index, name in enumerate(names)]


def study(arms: Sequence[ComposedArm], blueprint: StudyDesign | None = None, **changes: Any) -> PlannedStudy:
    settings = StudySettings(**(STANDARD | changes))
    return PlannedStudy(
        settings=settings,
        name="simulated",
        blueprint=blueprint or StudyDesign(arms=tuple(each.arm for each in arms)),
        arms=ComposedArms(ready=tuple(arms), refused=(("impossible", "a rule forbids it"),)),
        seeds=tuple(settings.list_seeds(0)),
        recipe="torchvision",
        data="fake",
        command="sota-exp ablate study=ladder",
    )


def result(correct: np.ndarray, labels: np.ndarray, **changes: Any) -> JsonObject:
    """The fields of a finished run's result.json that a study reads."""
    per_class = {name: float(correct[labels == index].mean()) for index, name in enumerate(CLASSES)}
    accuracy = float(correct.mean())
    return {
        "status": "finished",
        "reason": None,
        "metrics": {"test/accuracy": accuracy, "test/loss": 1 - accuracy, "test/ece": 0.1 * (1 - accuracy)},
        "per_class_accuracy": per_class,
        "evaluated_images": {"val": 10, "test": len(labels)},
        "seconds": {"train": 10.0 + accuracy},
        "images_seen": 1000,
        "flops_per_image": 500,
        "train_flops_per_image": 125,
        "parameters": 77,
        "peak_memory_bytes": 4096,
        "device": "cpu: test, 1 thread",
        "versions": {"python": "3.11", "numpy": "2"},
        "commit": "abc",
    } | changes


def write_run(directory: Path, correct: np.ndarray, labels: np.ndarray, **changes: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {"test_correct": np.packbits(correct), "test_labels": labels}
    np.savez(directory / "predictions.npz", allow_pickle=False, **arrays)
    (directory / "result.json").write_text(json.dumps(result(correct, labels, **changes)))


def simulated(
    name: str, seed: int, num_images: int = 400, gains: Mapping[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Correctness and labels of a run, from arm and seed; an image is equally hard for all arms."""
    labels = np.arange(num_images) % len(CLASSES)
    ease = np.random.default_rng(1).normal(0.5, 2.0, num_images)
    rng = np.random.default_rng([seed, *name.encode()])
    chance = 1 / (1 + np.exp(-(ease + rng.normal(0, 0.05) + (gains or {}).get(name, 0.0))))
    return rng.random(num_images) < chance, labels


def write_all(made: PlannedStudy, files: StudyFiles, gains: Mapping[str, float] | None = None) -> None:
    """Write every run of a study."""
    for each in made.arms.ready:
        for seed in made.seeds:
            correct, labels = simulated(each.name, seed, gains=gains)
            write_run(files.directory / files.place(each, seed), correct, labels)
