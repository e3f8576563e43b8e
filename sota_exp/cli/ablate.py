"""usage: sota-exp ablate study=KIND [OVERRIDE …] [--plan] [--no-measure]

Measures which techniques help on this data: differences with intervals, verdicts and costs. Trains every arm with the
same seeds and compares it with its reference seed by seed. Works with any recipe, data and launcher. The same command
resumes an interrupted study.

  sota-exp ablate study=ladder data=cifar10                   the published ladder, step by step
  sota-exp ablate study=leave_one_out recipe=small_images     the recipe without each of its techniques
  sota-exp ablate study=few_images data=image_folder data.root=DIR   one change each: pretrained weights, mixing …
  sota-exp ablate study=add_one_in                            each technique alone
  sota-exp ablate study=pairs study.only=[mixup,ema]          alone and together: their interaction
  sota-exp ablate study=one_slot study.slot=augmentation/mix  every option of a slot
  sota-exp ablate study=screening study.seeds=1               the main effects of twelve techniques in 24 arms
  sota-exp ablate study=auto                                  such a screening, then leave-one-out of what it shows
  sota-exp ablate study=null                                  equal arms: the differences that noise alone makes
  sota-exp ablate study=ladder --plan                         arms, time, and the smallest detectable effect
  sota-exp ablate study=leave_one_out study.time=2h --plan    what two hours can show: designs, seeds, lengths, folds

study.seeds=16 or study.seeds=[0,1,2]: more seeds later extend the study. study.only=[…]: these techniques, in this
order. study.looks=[8,12,16]: more seeds only while the verdict is open. study.looks=anytime: verdicts that hold
whenever you stop: repeat the command with more seeds until it is decided. study.time=2h (90m, 200runs, 5e6images):
as many seeds as that buys, at the longest training and on the images that can decide something, as the plan recommends;
kept in study_plan.json, so that the same command goes on with it. study.budget=epochs|steps|flops|seconds:
equal for all arms. hydra.sweep.dir sets the directory; hydra/launcher=joblib trains several runs at once. The result
is study.json; it ends with what would decide its open questions.
"""

from collections.abc import Callable

from omegaconf import DictConfig

from sota_exp import CONF
from sota_exp.cli.sweep import require_one_process
from sota_exp.config import compose
from sota_exp.config.hashing import compute_digest
from sota_exp.config.search_path import asks_to_print
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError

#: Hydra runs the study's sweeper, and does not log its jobs.
STUDY_OVERRIDES = ("hydra/sweeper=study", "hydra/hydra_logging=sota_exp")

#: The option for study=null, because Hydra reads `null` as no option.
NULL_OPTION = "equal_arms"


def main(arguments: list[str]) -> None:
    """Run the study that `study=` names, or resume it."""
    words = build_words(arguments)
    compose.run_hydra(load_job(), words, "ablate")


def load_job() -> Callable[[DictConfig], float]:
    """The job that trains one run of a study; Hydra knows the sweeper of studies afterwards."""
    from hydra.core.plugins import Plugins

    from sota_exp.cli.ablate_run import ReportingStudySweeper, train_arm_run

    Plugins.instance().register(ReportingStudySweeper)
    return train_arm_run


def build_words(arguments: list[str]) -> list[str]:
    """The arguments as Hydra takes them: a multirun with the sweeper of studies, in the directory of the study.

    Raises:
        ConfigError: no study is named, or an unknown one; torchrun started the command.
    """
    require_one_process("ablate")
    overrides = [argument for argument in arguments if argument not in ("--plan", "--no-measure", "-m", "--multirun")]
    kinds_given = [item.partition("=")[2] for item in overrides if item.startswith(("study=", "+study="))]
    kinds = sorted(path.stem.replace(NULL_OPTION, "null") for path in (CONF / "study").glob("*.yaml"))
    has_own = any(item.startswith(("--config-dir", "-cd", "hydra.searchpath=")) for item in overrides)  # Hydra tells.
    if len(kinds_given) != 1 or not (kinds_given[0] in (*kinds, NULL_OPTION) or has_own):
        named = f"study={kinds_given[0]}: no such study" if kinds_given else "ablate needs study=KIND"
        raise ConfigError(f"{named}; {format_legal(''.join(kinds_given), kinds)}")
    others = [item for item in overrides if not item.startswith(("study=", "+study="))]
    name = "null" if kinds_given[0] == NULL_OPTION else kinds_given[0]
    option = NULL_OPTION if name == "null" else name
    plan, measure = str("--plan" in arguments).lower(), str("--no-measure" not in arguments).lower()
    sweeper = [f"+study={option}", f"hydra.sweeper.plan_only={plan}", f"hydra.sweeper.measure={measure}"]
    place = build_directory_override(name, others)
    flags = () if asks_to_print(others) else ("-m",)
    return [*flags, *STUDY_OVERRIDES, *sweeper, place, *others]


def build_directory_override(study: str, overrides: list[str]) -> str:
    """The override of the study's directory, which by default is the same for other seeds, looks and `study.only`."""
    given = [item for item in overrides if item.startswith("hydra.sweep.dir=")]
    if given:
        return given[-1]
    values = dict(item.partition("=")[::2] for item in overrides)
    ignored = (
        "hydra",
        "study.seeds",
        "study.looks",
        "study.smallest_effect",
        "study.only",
        "study.time",
        "runtime",
        "tracking",
    )
    hashed = sorted(item for item in overrides if "=" in item and not item.lstrip("+").startswith(ignored))
    words = [study, values.get("recipe", ""), values.get("data", ""), compute_digest(hashed, length=8)]
    return f"hydra.sweep.dir=multirun/{'-'.join(word for word in words if word)}"
