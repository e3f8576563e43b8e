"""usage: sota-exp look [step=N] [OVERRIDE …]

Draws pictures of the data and the augmentation of a configuration, without training:

  batch.png            the augmented batch of training step N (default 0), as the network sees it, with soft labels
  effects.png          the effect of each technique alone on the same images
  class_balance.png    images per class in train, val and test
  image_sizes.png      height, width and aspect ratio, with the sizes of training and evaluation
  near_duplicates.png  the closest images across splits: copies in train inflate the scores of val and test
  object_scale.png     how much larger objects appear in training than in evaluation, which FixRes corrects

The arguments are those of train, and the random numbers are those of training:

  sota-exp look                                                       the default configuration
  sota-exp look recipe=torchvision step=500                           a later step of another recipe
  sota-exp look data=image_folder data.root=photos                    your own images
  sota-exp look augmentation/policy=augmix augmentation/mix=none      the effect of one technique

hydra.run.dir sets the directory of the pictures and of look.json with the numbers. The same command writes the same
bytes.
"""

from functools import partial

from omegaconf import DictConfig
from rich.markup import escape

from sota_exp.cli.train import log, remove_empty
from sota_exp.config import compose
from sota_exp.config.rules import check
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import console, shown

#: The default directory, named like that of a run.
PLACE = "outputs/look-${hydra:runtime.choices.recipe}-${hydra:runtime.choices.data}-seed${seed}"


def main(arguments: list[str]) -> None:
    """Draw the pictures of the configuration that the overrides compose, at step `step=`."""
    steps = [argument for argument in arguments if argument.startswith("step=")]
    step = step_number(steps[-1]) if steps else 0
    overrides = [argument for argument in arguments if argument not in steps]
    place = f"hydra.run.dir='{PLACE}-step{step}-${{digest:${{hydra:overrides.task}}}}'"
    compose.launch(partial(look, step), [place, *overrides], "look")


def step_number(argument: str) -> int:
    """Parse `step=N`.

    Raises:
        ConfigError: N is not a whole number from 0 on.
    """
    value = argument.partition("=")[2]
    if not value.isdecimal():
        raise ConfigError(f"{argument}: expected the number of a training step, 0 for the first")
    return int(value)


def look(step: int, config: DictConfig) -> None:
    """Write pictures and look.json to Hydra's output directory."""
    directory = compose.output_directory()
    try:
        configuration = compose.configuration_of(config)
        for warning in check(configuration):
            log.warning(warning)
        experiment = configuration.experiment
        from sota_exp.preview.look import findings
        from sota_exp.preview.look.show import words, write
        from sota_exp.training.failures import foreseen
        from sota_exp.training.run import ready

        session, _ = ready(experiment)
        with foreseen():
            found = findings.look(session, configuration.choices, step)
            write(found, directory)
    except ConfigError:
        remove_empty(directory)
        raise
    out, place = console(), shown(directory)
    sizes = ", ".join(f"{len(vars(session.data)[split]):,} {split}" for split in ("train", "val", "test"))
    out.print(
        f"[bold]{experiment.recipe.name}[/] on [bold]{escape(experiment.data.name)}[/]: {sizes} images; no training"
    )
    out.print(words(found))
    out.print(f"pictures and look.json in {escape(str(place))}", style="dim")
