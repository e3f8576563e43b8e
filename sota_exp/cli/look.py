"""usage: sota-exp look [step=N] [OVERRIDE …]

Looks at a configuration and its data before anything is trained, and draws what it sees:

  batch.png            the augmented batch of training step N (0 unless named) as the network reads it, with soft labels
  effects.png          what each technique does to the same images, alone
  class_balance.png    images a class in train, val and test
  image_sizes.png      height, width and aspect, against the size of training and of evaluation
  near_duplicates.png  the closest images across splits: copies in train inflate the scores of val and test
  object_scale.png     how much larger objects look in training than in evaluation, which FixRes is about

The arguments are those of train, and the draws are those that training will make:

  sota-exp look                                                       the default configuration
  sota-exp look recipe=torchvision step=500                           later in another recipe
  sota-exp look data=image_folder data.root=photos                    your own images
  sota-exp look augmentation/policy=augmix augmentation/mix=none      what does this do to my images?

hydra.run.dir chooses where the pictures go, with the numbers in look.json. The same command draws the same bytes.
"""

from functools import partial

from omegaconf import DictConfig
from rich.markup import escape

from sota_exp.cli.train import log, remove_empty
from sota_exp.config import compose
from sota_exp.config.rules import check
from sota_exp.errors import ConfigError
from sota_exp.report.terminal import console, shown

#: Named as a run is, by what was asked for.
PLACE = "outputs/look-${hydra:runtime.choices.recipe}-${hydra:runtime.choices.data}-seed${seed}"


def main(arguments: list[str]) -> None:
    """Look at what the overrides compose, at the step that `step=` names."""
    named = [argument for argument in arguments if argument.startswith("step=")]
    step = step_number(named[-1]) if named else 0
    overrides = [argument for argument in arguments if argument not in named]
    place = f"hydra.run.dir='{PLACE}-step{step}-${{digest:${{hydra:overrides.task}}}}'"
    compose.launch(partial(look, step), [place, *overrides], "look")


def step_number(argument: str) -> int:
    """The number in `step=N`.

    Raises:
        ConfigError: it is none.
    """
    value = argument.partition("=")[2]
    if not value.isdecimal():
        raise ConfigError(f"{argument}: expected the number of a training step, 0 for the first")
    return int(value)


def look(step: int, config: DictConfig) -> None:
    """Look once, into Hydra's output directory."""
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
        f"[bold]{experiment.recipe.name}[/] on [bold]{escape(experiment.data.name)}[/]: {sizes} images; nothing is trained"
    )
    out.print(words(found))
    out.print(f"pictures and look.json in {escape(str(place))}", style="dim")
