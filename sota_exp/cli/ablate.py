"""usage: sota-exp ablate study=KIND [OVERRIDE …] [--plan] [--no-measure]

Which techniques help here, how much, at what cost, how sure? Trains every arm with the same seeds and compares each with its
reference, seed by seed. Any recipe, any data, any launcher; the same command goes on where it was interrupted.

  sota-exp ablate study=ladder data=cifar10                   the published ladder, step by step
  sota-exp ablate study=leave_one_out recipe=small_images     the recipe without each of its techniques
  sota-exp ablate study=add_one_in                            each technique alone
  sota-exp ablate study=pairs study.only=[mixup,ema]          alone and together: do they need each other?
  sota-exp ablate study=one_slot study.slot=augmentation/mix  every option of a slot
  sota-exp ablate study=screening study.seeds=1               the main effects of twelve techniques in 24 cells
  sota-exp ablate study=null                                  equal arms: what noise alone looks like
  sota-exp ablate study=ladder --plan                         arms, time, and the smallest effect these seeds can show

study.seeds=16 or study.seeds=[0,1,2] (more seeds later extend the study), study.only=[…] (these techniques, in this order),
study.looks=[8,12,16] (more seeds only where the verdict is open), study.budget=epochs|steps|flops|seconds (what arms have equally).
hydra.sweep.dir chooses the place, hydra/launcher=joblib trains several runs at once. What comes out: study.json.
"""

from sota_exp.config import compose, hydra_compose
from sota_exp.config.hashing import digest
from sota_exp.config.values import suggestion
from sota_exp.errors import ConfigError

#: What makes Hydra call our sweeper, and keep its own lines about jobs for itself.
OURS = ("-m", "hydra/sweeper=study", "hydra/hydra_logging=quiet")

#: Hydra reads the word null as no option at all.
NULL = "equal_arms"


def main(arguments: list[str]) -> None:
    """Make the study that `study=` names, as far as it is not made yet."""
    overrides = [argument for argument in arguments if argument not in ("--plan", "--no-measure", "-m", "--multirun")]
    asked = [item.partition("=")[2] for item in overrides if item.startswith(("study=", "+study="))]
    kinds = studies()
    if len(asked) != 1 or asked[0] not in (*kinds, NULL):
        named = f"study={asked[0]}: no such study" if asked else "ablate needs a study"
        raise ConfigError(f"{named}; legal: study={', study='.join(kinds)}.{suggestion((asked or [''])[0], kinds)}")
    from hydra.core.plugins import Plugins

    from sota_exp.cli.ablate_run import ShownStudySweeper, train

    Plugins.instance().register(ShownStudySweeper)
    others = [item for item in overrides if not item.startswith(("study=", "+study="))]
    name = "null" if asked[0] == NULL else asked[0]
    option = NULL if name == "null" else name
    flags = [
        f"hydra.sweeper.plan_only={'--plan' in arguments}",
        f"hydra.sweeper.measure={'--no-measure' not in arguments}",
    ]
    compose.launch(train, [*OURS, f"+study={option}", *map(str.lower, flags), place(name, others), *others], "ablate")


def studies() -> list[str]:
    """The options of the group `study`, as they are named on the command line."""
    names = sorted(path.stem for path in (hydra_compose.conf_directory() / "study").glob("*.yaml"))
    return ["null" if name == NULL else name for name in names]


def place(study: str, overrides: list[str]) -> str:
    """The study's directory where none is named: the same for the same command but for its seeds, looks and arms."""
    named = [item for item in overrides if item.startswith("hydra.sweep.dir=")]
    if named:
        return named[-1]
    values = dict(item.partition("=")[::2] for item in overrides)
    free = ("hydra", "study.seeds", "study.looks", "study.only", "runtime", "tracking")
    meant = sorted(item for item in overrides if "=" in item and not item.lstrip("+").startswith(free))
    words = [study, values.get("recipe", ""), values.get("data", ""), digest(meant, length=8)]
    return f"hydra.sweep.dir=multirun/{'-'.join(word for word in words if word)}"
