"""usage: sota-exp evaluate run=DIR|weights=FILE [OVERRIDE …]

Evaluates saved weights on val and test: those of a run, a .safetensors file with its model.json beside it, or any file
of weights (.safetensors, .pth) with the network given by model/arch. Only evaluation/fine_tune trains, and only the
last layers. Data, view and predictor are those of the run or of model.json, unless overrides change them. The data
must have the model's classes.

  sota-exp evaluate run=outputs/a_run                                    the run's metrics again
  sota-exp evaluate run=outputs/a_run evaluation/resolution=search       the best image size
  sota-exp evaluate run=outputs/a_run evaluation/fine_tune=classifier_and_norm   with fine-tuned last layers
  sota-exp evaluate run=outputs/a_run evaluation/tta=flip                averaged with the mirror image
  sota-exp evaluate run=outputs/a_run data=image_folder data.root=DIR    on other images of the same classes
  sota-exp evaluate run=outputs/a_run -m evaluation/tta=none,flip        several evaluations in turn
  sota-exp evaluate weights=model.safetensors data=digits_on_photos      a file, with its data set
  sota-exp evaluate weights=net.pth model/arch=timm model.arch.name=resnet18 data=imagenet   from another program

hydra.run.dir sets the directory for result.json and the model with its view. The same command in the same directory
runs only once.
"""

import os
from functools import partial

from omegaconf import DictConfig

from sota_exp.cli.saved_model_argument import Found, subject
from sota_exp.cli.train import remove_empty
from sota_exp.config import compose
from sota_exp.config.hashing import digest
from sota_exp.config.overrides import overrides_of
from sota_exp.config.rules import check
from sota_exp.config.values import group_of
from sota_exp.config.values import shown as quoted
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import console, shown

#: Keys that the saved view sets, unless an override does.
OF_THE_VIEW = ("evaluation.resolution.size=", "evaluation.resolution.crop_ratio=")


def main(arguments: list[str]) -> None:
    """Evaluate the weights of `run=` or `weights=` with the run's configuration and the other overrides."""
    found, changes = subject("evaluate", arguments)
    overrides, places = compose.overrides_in(changes), compose.search_path(changes)
    base = overrides_of(found.configuration, overrides, places) if found.configuration else []
    base = [word for word in base if not word.startswith(OF_THE_VIEW)]
    if found.description is None:
        base = ["model/weights=checkpoint", f"model.weights.path={quoted(str(found.weights))}"]
    place = f"outputs/evaluate-{found.name}-{digest([str(found.weights.resolve()), sorted(overrides)], length=8)}"
    changed = {group_of(override).replace("/", ".") for override in overrides}
    compose.launch(partial(evaluate, found, changed), [*base, f"hydra.run.dir={quoted(place)}", *changes], "evaluate")


def evaluate(found: Found, changed: set[str], config: DictConfig) -> float:
    """Evaluate once in Hydra's output directory and return the validation accuracy in [0, 1]."""
    directory = compose.output_directory()
    try:
        configuration = compose.configuration_of(config)
        check(configuration)
        from sota_exp.tracking.console import evaluation_summary
        from sota_exp.training.evaluate_saved import Rescoring, Subject, rescore

        subject = Subject(
            weights=found.weights,
            description=found.description,
            training_fingerprint=found.result.get("training_fingerprint", ""),
        )
        rescoring = Rescoring(
            subject=subject,
            configuration=configuration,
            asked=frozenset(changed),
        )
        result = rescore(rescoring, shown(directory))
        if os.environ.get("RANK", "0") == "0":
            from sota_exp.report.run.figures import draw_resolution

            draw_resolution(result, directory)
    except ConfigError:
        remove_empty(directory)
        raise
    console().print(evaluation_summary(result, str(shown(directory))))
    return float(result["metrics"]["val/accuracy"])
