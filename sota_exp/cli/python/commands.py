"""The commands of the shell as functions: the same words, directories, errors, and resuming."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf.errors import OmegaConfBaseException

from sota_exp.cli import ablate as ablate_command
from sota_exp.cli import evaluate as evaluate_command
from sota_exp.cli import look as look_command
from sota_exp.cli import sweep as sweep_command
from sota_exp.cli import train as train_command
from sota_exp.cli.python.previews import Look, Plan
from sota_exp.cli.python.process import as_command, run_job, run_jobs, take_overrides
from sota_exp.cli.python.results import Run, load_model, load_run, read_any_run
from sota_exp.cli.python.studies import Study, SweepResult
from sota_exp.config import compose as composing
from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.hydra_compose import compose_with_hydra
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.recipe_values import extract_run
from sota_exp.config.rules import check_rules
from sota_exp.config.search_path import build_search_path_override
from sota_exp.errors import ConfigError
from sota_exp.report.changing_line import loading_pytorch

if TYPE_CHECKING:
    from torch import nn

    from sota_exp.cli.python.predict import Predictions
    from sota_exp.models.saved import SavedModel


def compose(*overrides: str) -> Configuration:
    """The configuration that `train` would train: `choices` (slot → option), `values` (nested), `experiment` (typed).

    Raises:
        ConfigError: a key, a value or a combination is not legal.
    """
    from hydra.errors import HydraException

    with as_command(quiet=True):
        words = take_overrides("train", overrides)
        given = [*build_search_path_override(words), *composing.get_overrides(words)]
        try:
            run, choices = extract_run(compose_with_hydra(given))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(format_hydra_error(error, given)) from error
        configuration = resolve_configuration(run, choices, given)
        check_rules(configuration)
        return configuration


def train(*overrides: str, model: "nn.Module | None" = None, data: Any = None, quiet: bool = False) -> Run:
    """Train one configuration, in the directory that `sota-exp train` would take; a finished one is only read.

    model: a network of yours, float [B, 3, H, W] → logits [B, C], of which a copy is trained, with the weights that it
    has. data: a Dataset of PyTorch, or a sequence, of (image, label); or a tuple of two sequences, (images, labels); or
    a mapping of train, and perhaps val and test, to such. Images as for `predict`; labels are names of classes, or
    numbers from 0. No file has their code, so such a run is not reproducible from its files: it records the names of
    their classes, and digests of the initial weights and of the images.
    quiet: no progress is printed. A cross-validation trains all folds and returns a `CrossValidation`.

    Raises:
        ConfigError: a key, a value or a combination is not legal, or does not fit the data or the machine.
        RunFailed: training diverged, memory or disk was full, or files were unreadable.
        KeyboardInterrupt: of Ctrl-C, after a checkpoint was written; called again, it goes on there.
    """
    with as_command(quiet):
        words = take_overrides("train", overrides)
        words = [*_hand_in(model, data, words), *words]
        directory = run_job(train_command.train, words, "train")
        train_command.leave_processes()
        return read_any_run(directory)


def _hand_in(model: "nn.Module | None", data: Any, words: list[str]) -> list[str]:
    """The overrides of a network and a data set of this process."""
    if model is None and data is None:
        return []
    with loading_pytorch():
        from sota_exp.cli.python.objects import hand_in_objects

    return hand_in_objects(model, data, words)


def look(*overrides: str, model: "nn.Module | None" = None, data: Any = None, quiet: bool = False) -> Look:
    """Draw the data and the augmented batch of a configuration, without training, as `sota-exp look` does.

    overrides: also `step=500`, a later training step. model, data: as for `train`.

    Raises:
        ConfigError: a key, a value or a combination is not legal, or does not fit the data.
        RunFailed: images can't be read, or memory was full.
    """
    with as_command(quiet):
        words = take_overrides("look", overrides)
        task, planned = look_command.plan_look([*_hand_in(model, data, words), *words])
        return Look(run_job(task, planned, "look"))


def plan(*overrides: str, measure: bool = True, quiet: bool = False) -> Plan:
    """What `ablate` would train with the same words, as `sota-exp ablate --plan` prints it; nothing is trained.

    measure: a few real steps of each arm tell the time of its runs.

    Raises:
        ConfigError: no study is named, or a key, a value or a combination is not legal.
        RunFailed: images can't be read, or memory was full.
    """
    with as_command(quiet):
        flags = ["--plan", *([] if measure else ["--no-measure"])]
        words = ablate_command.build_words([*take_overrides("ablate", overrides), *flags])
        run_jobs(ablate_command.load_job(), words, "ablate")
        from sota_exp.cli.ablate_run import ReportingStudySweeper  # imports SciPy

        return Plan(ReportingStudySweeper.last_plan)


def ablate(*overrides: str, quiet: bool = False) -> Study:
    """Measure which techniques help, as `sota-exp ablate study=KIND` does; called again, the study goes on.

    Raises:
        ConfigError: no study is named, or a key, a value or a combination is not legal.
        RunFailed: the study can't go on; single runs that fail are in `study.result.missing`.
        KeyboardInterrupt: of Ctrl-C.
    """
    with as_command(quiet):
        words = ablate_command.build_words(take_overrides("ablate", overrides))
        return Study(run_jobs(ablate_command.load_job(), words, "ablate"))


def sweep(*overrides: str, quiet: bool = False) -> SweepResult:
    """Search values with Optuna and confirm the winner, as `sota-exp sweep` does; called again, the search goes on.

    Raises:
        ConfigError: a key, a value or a range is not legal.
        RunFailed: no trial is complete.
        KeyboardInterrupt: of Ctrl-C.
    """
    with as_command(quiet):
        sweep_command.require_one_process("sweep")
        words = sweep_command.add_sweep_overrides(take_overrides("sweep", overrides))
        return SweepResult(run_jobs(sweep_command.run_job, words, "sweep"))


def evaluate(run: Run | str | Path, *overrides: str, quiet: bool = False) -> Run:
    """Score saved weights on val and test, as `sota-exp evaluate` does; called again, it only reads the result.

    run: a run, its directory, its name or the beginning of it, or a file of weights.

    Raises:
        ConfigError: no such run, or a key of training, or data with other classes.
        RunFailed: images can't be read, or memory was full.
    """
    with as_command(quiet):
        path = find_weights(run)
        words = [f"{'weights' if path.is_file() else 'run'}={path}", *take_overrides("evaluate", overrides)]
        task, planned = evaluate_command.plan_evaluation(words)
        return read_any_run(run_job(task, planned, "evaluate"))


def predict(
    run: "Run | SavedModel | str | Path", images: Any, *, batch_size: int = 64, device: str = "auto"
) -> "Predictions":
    """Classify images, which are resized and cropped as in evaluation; of files that were trained on a warning tells.

    run: a run, its directory, its name or the beginning of it, a file of weights with model.json, or a loaded model.
    images: one image, or any number of them. An image is the path of a file, or of a folder with all images below it;
    a Pillow image; an array [H, W, 3] or [H, W], also [N, H, W, 3]; a tensor [3, H, W] or [1, H, W], also
    [N, 3, H, W]. Arrays and tensors are uint8, or floats in [0, 1], before any normalization.

    Raises:
        ConfigError: there is no such run or file, or what was given is no image.
        RunFailed: the network's answers are no numbers.
    """
    with as_command():
        with loading_pytorch():
            from sota_exp.cli.python.predict import classify
            from sota_exp.models.saved import SavedModel
        return classify(run if isinstance(run, SavedModel) else load_model(run), images, batch_size, device)


def find_weights(run: Run | str | Path) -> Path:
    """The directory of a run, or the file of weights, that `run` names.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(run, Run) and os.path.isfile(str(run)):
        return Path(run)
    return (run if isinstance(run, Run) else load_run(run)).directory
