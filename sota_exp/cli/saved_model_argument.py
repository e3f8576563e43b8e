"""The weights that a command names: those of a finished run, or of a file with its model.json beside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.config.configuration import Configuration
from sota_exp.config.data_paths import describe_no_folder, expand_home, is_folder, require_path
from sota_exp.config.values import join_first
from sota_exp.errors import ConfigError
from sota_exp.models.model_json import read_description
from sota_exp.report.changing_line import loading_pytorch
from sota_exp.report.folds import read_folds
from sota_exp.report.numbers import format_count
from sota_exp.runs.contents import is_being_trained
from sota_exp.runs.digests import read_object, read_run_config, try_read_json
from sota_exp.runs.find import MOST_LISTED, RUN_ROOTS, find_runs, find_runs_below, format_run_path
from sota_exp.runs.result_json import is_evaluation
from sota_exp.runs.sent_position import FOLDS_FILE
from sota_exp.runs.status import COMPLETE_STATUSES
from sota_exp.runs.trust import require_plain_files

if TYPE_CHECKING:
    from sota_exp.models.saved import SavedModel

#: Endings of files of weights, of this program and of others.
WEIGHT_ENDINGS = (".safetensors", ".pth", ".pt", ".pth.tar", ".ckpt", ".bin")


@dataclass(frozen=True, kw_only=True)
class SavedWeights:
    """The weights that an argument names, with fingerprint and configuration of their training.

    description: a `model.json`; None for weights alone, whose network the configuration must set. training_fingerprint,
    data_digest: "" if unknown. folds: the weights of all folds of a cross-validation, or of all runs of a study's arm,
    else empty.
    """

    name: str
    weights: Path
    description: Path | None = None
    training_fingerprint: str = ""
    data_digest: str = ""
    configuration: Configuration | None = None
    folds: tuple["SavedWeights", ...] = ()


def find_weights(word: str) -> SavedWeights:
    """The weights of a file, of a run (by directory, name, its beginning, or MLflow id), or of several runs.

    Several are those of a cross-validation, or of an arm of a study, by its directory. The beginning of one name below
    outputs/ is that of a training, though runs of studies begin alike.

    Raises:
        ConfigError: there is no such file or run, or the run is not finished.
    """
    path = expand_home(word)
    if path.name.endswith(WEIGHT_ENDINGS) and not is_folder(path):
        return find_file_weights(path)
    places = [place for place in (path, *(Path(root) / path for root in RUN_ROOTS)) if is_folder(place)]
    root = Path(RUN_ROOTS[0])
    if word and not places and is_folder(root):
        trained = [place for place in root.iterdir() if place.name.startswith(word)]
        places += trained if len(trained) == 1 else []
    directory = places[0] if places else find_model(word)
    if (folds := read_folds(directory)) is not None:
        return find_fold_weights(directory, folds)
    if runs := read_arms(directory.parent.parent).get(directory.resolve()):
        return replace(find_run_weights(runs[0]), name=directory.name, folds=tuple(map(find_run_weights, runs)))
    require_one_run(directory)
    return find_run_weights(directory)


def find_model(word: str) -> Path:
    """The directory of the run, cross-validation or arm whose name alone begins so, or of the run with this MLflow id.

    Raises:
        ConfigError: there is none, or several.
    """
    runs = find_runs(word)
    models = list(group_runs(runs)) if len(runs) > 1 else runs
    if len(models) > 1:
        raise ConfigError(f"{word} means {len(runs)} runs; {format_models(runs)}")
    return models[0]


def group_runs(runs: Sequence[Path]) -> dict[Path, int]:
    """Directory → number of runs, of what answers as one model: arms as in their study, folds, other runs."""
    studies = {study: read_arms(study) for study in dict.fromkeys(run.parent.parent.parent for run in runs)}
    parents, found = {run.resolve().parent for run in runs}, dict[Path, int]()
    for run in runs:
        arms = studies[run.parent.parent.parent]
        found |= {arm: len(own) for arm, own in arms.items() if arm in parents}
        if run.resolve().parent not in arms:
            place = run.parent if (run.parent / FOLDS_FILE).is_file() else run
            found[place] = found.get(place, 0) + 1
    return found


def format_models(runs: Sequence[Path]) -> str:
    """`name one: …`, of several runs, with the shortest words for each model."""
    models = group_runs(runs)
    named = {place: re.sub(rf"^({'|'.join(RUN_ROOTS)})/", "", format_run_path(place)) for place in models}
    if [*models.values()] == [1] * len(runs):
        return f"name one: {join_first([*named.values()], MOST_LISTED)}"
    counted = [f"{named[place]} ({format_count(num, 'run')})" for place, num in models.items()]
    return (
        "name an arm or a cross-validation, for the mean of the probabilities of its runs, or one run: "
        f"{join_first(counted, MOST_LISTED)}"
    )


def read_arms(study: Path) -> dict[Path, list[Path]]:
    """Directory → finished runs in it, of each arm of the study in a directory; {} if there is none."""
    found = try_read_json(study / "study.json") or {}
    arms: dict[Path, list[Path]] = {}
    for arm in found.get("arms") or ():
        for place in arm["runs"].values():
            run = (study / place).resolve()
            arms.setdefault(run.parent, []).append(run)
    return arms


def require_one_run(directory: Path) -> None:
    """Refuse the directory of a study, a sweep or a multirun.

    Raises:
        ConfigError: it is one; the message names what is in it.
    """
    runs = list(find_runs_below(directory))
    if runs and runs != [directory]:
        raise ConfigError(f"{directory} has {format_count(len(runs), 'run')}; {format_models(runs)}")


def find_run_weights(directory: Path) -> SavedWeights:
    """The final weights of a finished run.

    Raises:
        ConfigError: no such directory, or not that of a finished run.
    """
    if not is_folder(directory):
        raise ConfigError(f"{directory}: {describe_no_folder(directory)}")
    require_plain_files(directory)
    if is_being_trained(directory):
        raise ConfigError(f"{directory} is being trained at this moment: wait until it is finished")
    result = read_object(directory / "result.json", "status")
    if result is None or is_evaluation(result):
        raise ConfigError(f"{directory} is not the directory of a finished run: it has no result of a training")
    if result["status"] not in COMPLETE_STATUSES:
        raise ConfigError(f"{directory} is {result['status']}, not finished; repeat its command to resume it")
    found = replace(find_file_weights(directory / "model.safetensors"), name=directory.name)
    for name, content in (("model.json", found.description), ("config.yaml", found.configuration)):
        if content is None:
            raise ConfigError(f"{directory / name} is missing, so {directory} is not a whole run")
    return found


def find_fold_weights(directory: Path, folds: Mapping[str, Any]) -> SavedWeights:
    """The final weights of all folds of a finished cross-validation. folds: the content of its `folds.json`.

    Raises:
        ConfigError: some are missing.
    """
    missing = [run for run in folds["runs"] if run["status"] not in COMPLETE_STATUSES]
    if missing:
        what = f"{len(missing)} of its {len(folds['runs'])} folds are not finished"
        raise ConfigError(f"{directory}: {what}; repeat its command, or name a fold: {directory}/FOLD")
    members = tuple(find_run_weights(directory / run["place"]) for run in folds["runs"])
    return replace(members[0], name=directory.name, folds=members)


def load_named_model(found: SavedWeights) -> "SavedModel":
    """The model of the weights; of several folds one that answers with the mean of their probabilities.

    Raises:
        ConfigError: a file cannot be read, or the folds have no common answer.
    """
    with loading_pytorch():
        from sota_exp.models.ensemble import average_folds
        from sota_exp.training.evaluate_saved import load_evaluated_model

    models = [load_evaluated_model(require_description(each), each.weights) for each in found.folds or (found,)]
    return average_folds(models, found.name) if found.folds else models[0]


def find_file_weights(path: Path) -> SavedWeights:
    """Weights in a file, with their run if the file is in its directory.

    Raises:
        ConfigError: no such file, another suffix, or a configuration that cannot be read.
    """
    legal = f"a file that ends in {', '.join(WEIGHT_ENDINGS)}"
    require_path("weights", str(path), legal, is_folder=False)
    if not path.name.endswith(WEIGHT_ENDINGS):
        raise ConfigError(f"weights={path}: legal: {legal}")
    candidates = [path.with_suffix(".json"), path.with_name("model.json"), path.parent.parent / "model.json"]
    description = next((file for file in candidates if file.is_file() and read_description(file)), None)
    if description is None or path.suffix != ".safetensors":
        return SavedWeights(name=path.stem, weights=path)
    result, config = read_object(description.with_name("result.json")) or {}, description.with_name("config.yaml")
    start = read_object(description.with_name("start.json")) or {}
    configuration = None
    if config.is_file() and "choices" in result:
        try:
            configuration = Configuration(choices=result["choices"], values=read_run_config(config))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{config} cannot be read: {error}") from error
    return SavedWeights(
        name=path.stem,
        weights=path,
        description=description,
        training_fingerprint=result.get("training_fingerprint", ""),
        data_digest=(start.get("data") or {}).get("digest", ""),
        configuration=configuration,
    )


def require_description(found: SavedWeights) -> Path:
    """The `model.json` of the weights.

    Raises:
        ConfigError: there is none.
    """
    if found.description is None:
        raise ConfigError(
            f"weights={found.weights}: legal: a .safetensors file with a model.json beside it, which describes"
            " network and preprocessing; sota-exp evaluate writes one for any weights"
        )
    return found.description
