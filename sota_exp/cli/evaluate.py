"""`sota-exp evaluate`: scores of saved weights, on other data, at other sizes, from more views."""

from collections.abc import Callable
from functools import partial

from omegaconf import DictConfig

from sota_exp.cli.command_line import Composition
from sota_exp.cli.evaluation_keys import require_normalization, require_usable_keys
from sota_exp.cli.saved_model_argument import SavedWeights, find_file_weights, find_weights
from sota_exp.cli.train import leave_processes, remove_empty_run_directory
from sota_exp.config import compose
from sota_exp.config.data_paths import expand_home
from sota_exp.config.hashing import compute_digest
from sota_exp.config.overrides import configuration_to_overrides
from sota_exp.config.rules import check_rules
from sota_exp.config.search_path import build_search_path_override
from sota_exp.config.values import format_legal, get_override_key
from sota_exp.config.values import format_override_value as quoted
from sota_exp.errors import ConfigError
from sota_exp.report.changing_line import loading_pytorch, shown_in_notebook
from sota_exp.report.terminal import make_console, shorten_path
from sota_exp.runs.scored_images import PARTS
from sota_exp.runs.trust import is_trusted, leave_out_cache, require_trusted_configuration

#: The argument that chooses a part of the data.
PART_KEY = "evaluation.part="

#: Keys that the saved view sets, unless an override does.
VIEW_KEYS = ("evaluation.resolution.size=", "evaluation.resolution.crop_ratio=")

COMMAND = Composition(
    name="evaluate",
    usage="run=RUN | weights=FILE [OVERRIDE …]",
    purpose="Scores saved weights on val and test: those of a run, or of a file (.safetensors with its model.json "
    "beside it; .pth, .pth.tar, .ckpt with the network given by model/arch). Data, view and predictor are those of the "
    "weights, unless overrides change them. The first line says how many of the images were trained on, if any."
    "\n\n"
    "Other data may lack some of the model's classes, and must have no others. A folder of classes without val and "
    "test is scored whole, as test; data.val_fraction=0.2 splits off a val part, on which evaluation/resolution=search "
    "can choose. Keys of training, such as optimizer.lr or seed, are refused: only evaluation/fine_tune trains, and "
    "only the last layers. Weights of another program need the mean and std of their training.",
    examples={
        "evaluate run=small_images evaluation/resolution=search": "the best image size",
        "evaluate run=small_images data=image_folder data.root=photos": "other images",
        "evaluate weights=net.pth model/arch=timm model.arch.name=resnet18 "
        "model.weights.mean=[0.485,0.456,0.406] model.weights.std=[0.229,0.224,0.225]": "from another program",
    },
    groups=(
        *("data", "data/split", "evaluation/fine_tune", "evaluation/resolution", "evaluation/tta"),
        *("evaluation/metrics", "runtime", "tracking", "scale"),
    ),
    keys={
        "run=RUN": "a run's directory, its name or the beginning of it",
        "weights=FILE": "a file of weights",
        "evaluation.part=test": "one part alone: test, val, train, or all",
        "model.weights.mean, .std": "of weights alone: how their images were normalized",
        "hydra.run.dir": "the directory of result.json and the model with its view",
    },
    trusts=True,
)


def main(arguments: list[str]) -> None:
    """Evaluate the weights of `run=` or `weights=` with the run's configuration and the other overrides."""
    compose.run_hydra(*plan_evaluation(arguments), "evaluate")
    leave_processes()


def plan_evaluation(arguments: list[str]) -> tuple[Callable[[DictConfig], float], list[str]]:
    """The job of `arguments`, and the words with which Hydra runs it.

    Raises:
        ConfigError: they name no weights, or keys that an evaluation has not.
    """
    found, changes = parse_weights(arguments)
    part, changes = parse_part(changes)
    overrides = compose.get_overrides(changes)
    require_usable_keys(found, overrides)
    directory, base = found.weights.parent, []
    if found.configuration:
        require_trusted_configuration(directory, found.configuration, overrides)
    places = build_search_path_override(changes, [directory] if is_trusted(directory) else [])
    if found.configuration:
        base = configuration_to_overrides(leave_out_cache(directory, found.configuration), overrides, places)
    base = [*places, *(word for word in base if not word.startswith(VIEW_KEYS))]
    others = [word for word in changes if not word.startswith("hydra.searchpath=")]
    if found.description is None:
        base = [*places, "model/weights=checkpoint", f"model.weights.path={quoted(str(found.weights))}"]
    asked = [*overrides, *([f"{PART_KEY}{part}"] if part else [])]
    digest = compute_digest([str(found.weights.resolve()), sorted(asked)], length=8)
    place = f"outputs/evaluate-{found.name}-{digest}"
    changed = {get_override_key(override).replace("/", ".") for override in overrides}
    job = partial(evaluate, found, part, changed)
    return job, [*base, f"hydra.run.dir={quoted(place)}", *others]


def parse_weights(arguments: list[str]) -> tuple[SavedWeights, list[str]]:
    """The weights of `run=` or `weights=`, and the other arguments.

    Raises:
        ConfigError: not exactly one of them is given, or it names no weights, or those of all folds.
    """
    named = [argument for argument in arguments if argument.startswith(("run=", "weights="))]
    if len(named) != 1:
        raise ConfigError("evaluate needs one of run=RUN and weights=FILE; see sota-exp evaluate --help")
    kind, _, value = named[0].partition("=")
    word = value.strip("'\"")
    found = find_weights(word) if kind == "run" else find_file_weights(expand_home(word))
    if found.folds:
        raise ConfigError(
            f"run={word} has {len(found.folds)} networks; name the run of one: run={found.weights.parent}"
        )
    return found, [argument for argument in arguments if argument not in named]


def parse_part(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The value of `evaluation.part`, None where it is not given, and the other arguments.

    Raises:
        ConfigError: not one of the parts.
    """
    given = [argument for argument in arguments if argument.startswith(PART_KEY)]
    if not given:
        return None, arguments
    part = given[-1].removeprefix(PART_KEY)
    if part not in PARTS:
        raise ConfigError(f"{PART_KEY}{part}: {format_legal(part, PARTS)}")
    return part, [argument for argument in arguments if argument not in given]


def evaluate(found: SavedWeights, part: str | None, changed: set[str], config: DictConfig) -> float:
    """Evaluate once in Hydra's output directory and return the accuracy on the first scored part, in [0, 1]."""
    directory = compose.get_output_directory()
    try:
        configuration = compose.get_job_configuration(config)
        check_rules(configuration, trains=False)
        if found.description is None:
            require_normalization(found.weights, configuration.values["model"]["weights"])
        with loading_pytorch():
            from sota_exp.tracking.console import build_evaluation_panel
            from sota_exp.training.evaluate_saved import SavedEvaluation, evaluate_saved

        evaluation = SavedEvaluation(
            weights=found.weights,
            description=found.description,
            training_fingerprint=found.training_fingerprint,
            configuration=configuration,
            asked=frozenset(changed),
            part=part,
            data_digest=found.data_digest,
            hydra_files=compose.build_hydra_files(config),
        )
        with shown_in_notebook("reading the images and scoring them"):
            result = evaluate_saved(evaluation, shorten_path(directory))
    except ConfigError:
        remove_empty_run_directory(directory)
        raise
    make_console().print(build_evaluation_panel(result, str(shorten_path(directory))))
    return next(float(value) for name, value in result["metrics"].items() if name.endswith("/accuracy"))
