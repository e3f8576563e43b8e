"""usage: sota-exp evaluate run=DIR|weights=FILE [OVERRIDE …]

Scores finished weights on val and test: those of a run, or a .safetensors file with its model.json beside it. Nothing is
trained, but the last layers where evaluation/fine_tune is asked for. Data, view and predictor are those of the run or saved
with the weights, unless overrides say otherwise. The data must have the model's classes.

  sota-exp evaluate run=outputs/a_run                                    the run's numbers once more
  sota-exp evaluate run=outputs/a_run evaluation/resolution=search       at which size is it best?
  sota-exp evaluate run=outputs/a_run evaluation/fine_tune=classifier_and_norm   the last layers tuned to the size first
  sota-exp evaluate run=outputs/a_run evaluation/tta=flip                with the mirror image
  sota-exp evaluate run=outputs/a_run data=image_folder data.root=DIR    on other images of the same classes
  sota-exp evaluate run=outputs/a_run -m evaluation/tta=none,flip        several, one after the other
  sota-exp evaluate weights=model.safetensors data=digits_on_photos      a file, on data that it needs named

hydra.run.dir chooses where result.json goes, and the model with the view it was scored in; the same command with the same
place is done once.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from sota_exp import composing
from sota_exp.commands.train import remove_empty, shown
from sota_exp.config import build, digest, resolve
from sota_exp.errors import ConfigError
from sota_exp.recompose import group_of, overrides_of
from sota_exp.recompose import shown as quoted
from sota_exp.rules import check

#: Statuses of a run whose weights are final.
COMPLETE = ("finished", "stopped_early")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the command line names: the weights, what describes them, and the run they belong to, where it is known."""

    weights: Path
    description: Path
    result: dict[str, Any]
    tree: dict[str, Any]


def main(arguments: list[str]) -> None:
    """Evaluate what `run=` or `weights=` names, composed as its run was, with the other arguments as overrides."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    named = [argument for argument in arguments if argument.startswith(("run=", "weights="))]
    changes = [argument for argument in arguments if argument not in named]
    if len(named) != 1:
        raise ConfigError(
            "evaluate needs one of run=DIR and weights=FILE.safetensors; sota-exp evaluate --help says more"
        )
    kind, _, value = named[0].partition("=")
    path = Path(value.strip("'\"")).expanduser()
    found = of_run(path) if kind == "run" else of_file(path)
    overrides = [change for change in changes if not change.startswith("-")]
    base = overrides_of(found.result["choices"], found.tree, overrides) if found.tree else []
    name = path.name if kind == "run" else path.stem
    place = f"outputs/evaluate-{name}-{digest([str(found.weights.resolve()), sorted(overrides)], length=8)}"
    asked = {group_of(override).replace("/", ".") for override in overrides}
    composing.launch(partial(evaluate, found, asked), [*base, f"hydra.run.dir={quoted(place)}", *changes], "evaluate")


def of_run(directory: Path) -> Found:
    """The weights that a finished run ships.

    Raises:
        ConfigError: no such directory, or not that of a finished run.
    """
    if not directory.is_dir():
        raise ConfigError(f"run={directory}: no such directory")
    result = read_json(directory / "result.json")
    if result is None or "weights" in result:
        raise ConfigError(f"run={directory} is not the directory of a finished run: it has no result of a training")
    if result["status"] not in COMPLETE:
        raise ConfigError(f"run={directory} is {result['status']}, not finished; repeat its command to go on")
    tree = yaml.safe_load((directory / "config.yaml").read_text())
    return Found(
        weights=directory / "model.safetensors", description=directory / "model.json", result=result, tree=tree
    )


def of_file(path: Path) -> Found:
    """Weights in a file, and the run in whose directory they lie, if they do.

    Raises:
        ConfigError: no such file, not safetensors, or nothing beside it that describes the model.
    """
    if not path.is_file() or path.suffix != ".safetensors":
        raise ConfigError(f"weights={path}: legal: a .safetensors file that exists")
    beside = [path.with_suffix(".json"), path.with_name("model.json"), path.parent.parent / "model.json"]
    description = next((file for file in beside if file.is_file()), None)
    if description is None:
        raise ConfigError(
            f"weights={path}: no {beside[1].name} beside it, which says how to build and feed the network"
        )
    config = description.with_name("config.yaml")
    result = read_json(description.with_name("result.json")) or {}
    tree = yaml.safe_load(config.read_text()) if config.is_file() and "choices" in result else {}
    return Found(weights=path, description=description, result=result, tree=tree)


def read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def evaluate(found: Found, asked: set[str], config: DictConfig) -> float:
    """One evaluation in Hydra's output directory; the validation accuracy."""
    directory = composing.output_directory()
    try:
        tree = resolve(config)
        check(composing.choices(), tree)
        from sota_exp.experiment import Experiment

        experiment = build(Experiment, tree)
        from sota_exp.rescore import Rescoring, Subject, rescore
        from sota_exp.terminal import console
        from sota_exp.tracking.console import evaluation_summary

        subject = Subject(
            weights=found.weights,
            description=found.description,
            training_fingerprint=found.result.get("training_fingerprint", ""),
        )
        rescoring = Rescoring(
            subject=subject,
            experiment=experiment,
            tree=tree,
            choices=composing.choices(),
            asks_for_view=is_asked(asked, "evaluation.resolution"),
            asks_for_predictor=is_asked(asked, "evaluation.tta"),
            asks_for_tuning=is_asked(asked, "evaluation.fine_tune"),
        )
        result = rescore(rescoring, shown(directory))
    except ConfigError:
        remove_empty(directory)
        raise
    console().print(evaluation_summary(result, str(shown(directory))))
    return float(result["metrics"]["val/accuracy"])


def is_asked(asked: set[str], node: str) -> bool:
    """Whether an override is about `node` or a key below it."""
    return any(f"{key}.".startswith(f"{node}.") for key in asked)
