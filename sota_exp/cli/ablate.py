"""`sota-exp ablate`: which techniques help on this data, by arms that are trained with the same seeds."""

from collections.abc import Callable

from omegaconf import DictConfig

from sota_exp import CONF
from sota_exp.cli.command_line import SHARED_GROUPS, Composition
from sota_exp.cli.sweep import require_one_process
from sota_exp.config import compose
from sota_exp.config.hashing import compute_digest
from sota_exp.config.hints import hint_at_own
from sota_exp.config.search_path import asks_to_print
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError

#: Hydra runs the study's sweeper, and does not log its jobs.
STUDY_OVERRIDES = ("hydra/sweeper=study", "hydra/hydra_logging=sota_exp")

COMMAND = Composition(
    name="ablate",
    usage="study=KIND [OVERRIDE …] [--plan] [--no-measure]",
    purpose="Measures which techniques help on this data: differences with intervals, verdicts and costs. Trains every "
    "arm with the same seeds and compares it with its reference seed by seed. The same command resumes an interrupted "
    "study; with more seeds it extends it. It ends with a page, study.json, and what would decide its open questions.",
    examples={
        "ablate study=one_slot study.slot=augmentation/mix": "every option of a slot",
        "ablate study=leave_one_out study.time=2h --plan": "what two hours can show",
        "ablate study=ladder data=cifar10 study.only=[mixup,ema]": "two techniques in turn",
    },
    listed="study",
    groups=SHARED_GROUPS,
    keys={
        "study.seeds=16": "more seeds; or a list: study.seeds=[0,1,2]",
        "study.only=[mixup,ema]": "these techniques, in this order",
        "study.looks=[8,12,16]": "more seeds only while a verdict is open; or: anytime",
        "study.time=2h": "what it may cost: 90m, 200runs, 5e6images",
        "study.budget=epochs": "equal for all arms: epochs, steps, flops, seconds",
        "hydra/launcher=joblib": "several runs at once; also slurm, ray",
        "hydra.sweep.dir": "the directory (default: multirun/KIND-…)",
        "all keys": "sota-exp ablate --help study",
    },
    flags={
        "--plan": "print arms, time, smallest detectable effect; train nothing",
        "--no-measure": "a plan without the time that a few real steps tell",
    },
)


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
    kinds = sorted(path.stem for path in (CONF / "study").glob("*.yaml"))
    has_own = any(item.startswith(("--config-dir", "-cd", "hydra.searchpath=")) for item in overrides)  # Hydra tells.
    if len(kinds_given) != 1 or not (kinds_given[0] in kinds or has_own):
        named = f"study={kinds_given[0]}: no such study" if kinds_given else "ablate needs study=KIND"
        legal = format_legal("".join(kinds_given), kinds)
        raise ConfigError(f"{named}; {hint_at_own(legal, ()) if kinds_given else legal}")
    others = [item for item in overrides if not item.startswith(("study=", "+study="))]
    plan, measure = str("--plan" in arguments).lower(), str("--no-measure" not in arguments).lower()
    sweeper = [f"+study={kinds_given[0]}", f"hydra.sweeper.plan_only={plan}", f"hydra.sweeper.measure={measure}"]
    place = build_directory_override(kinds_given[0], others)
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
