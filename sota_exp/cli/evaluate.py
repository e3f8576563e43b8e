"""usage: sota-exp evaluate run=DIR|weights=FILE [OVERRIDE …]

Scores finished weights on val and test: those of a run, a .safetensors file with its model.json beside it, or any file of
weights (.safetensors, .pth), whose network model/arch names. Nothing is trained, but the last layers where
evaluation/fine_tune is asked for. Data, view and predictor are those of the run or saved
with the weights, unless overrides say otherwise. The data must have the model's classes.

  sota-exp evaluate run=outputs/a_run                                    the run's numbers once more
  sota-exp evaluate run=outputs/a_run evaluation/resolution=search       at which size is it best?
  sota-exp evaluate run=outputs/a_run evaluation/fine_tune=classifier_and_norm   the last layers tuned to the size first
  sota-exp evaluate run=outputs/a_run evaluation/tta=flip                with the mirror image
  sota-exp evaluate run=outputs/a_run data=image_folder data.root=DIR    on other images of the same classes
  sota-exp evaluate run=outputs/a_run -m evaluation/tta=none,flip        several, one after the other
  sota-exp evaluate weights=model.safetensors data=digits_on_photos      a file, on data that it needs named
  sota-exp evaluate weights=net.pth model/arch=timm model.arch.name=resnet18 data=imagenet data.root=DIR    another program's

hydra.run.dir chooses where result.json goes, and the model with the view it was scored in; the same command with the same
place is done once.
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

#: What the saved view says, unless the command does.
OF_THE_VIEW = ("evaluation.resolution.size=", "evaluation.resolution.crop_ratio=")


def main(arguments: list[str]) -> None:
    """Evaluate what `run=` or `weights=` names, composed as its run was, with the other arguments as overrides."""
    found, changes = subject("evaluate", arguments)
    overrides, places = compose.overrides_in(changes), compose.search_path(changes)
    base = overrides_of(found.configuration, overrides, places) if found.configuration else []
    base = [word for word in base if not word.startswith(OF_THE_VIEW)]
    if found.description is None:
        base = ["model/weights=checkpoint", f"model.weights.path={quoted(str(found.weights))}"]
    place = f"outputs/evaluate-{found.name}-{digest([str(found.weights.resolve()), sorted(overrides)], length=8)}"
    asked = {group_of(override).replace("/", ".") for override in overrides}
    compose.launch(partial(evaluate, found, asked), [*base, f"hydra.run.dir={quoted(place)}", *changes], "evaluate")


def evaluate(found: Found, asked: set[str], config: DictConfig) -> float:
    """One evaluation in Hydra's output directory; the validation accuracy."""
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
            asked=frozenset(asked),
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
