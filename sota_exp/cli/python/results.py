"""Runs as objects: their tables as pandas frames, figures by attribute, and what a notebook shows of them.

Shares are in [0, 1], times in seconds, epochs counted from 1, as in the files of a run.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sota_exp.cli.python.notebook import Figures, format_facts, format_table, join_parts
from sota_exp.cli.report import find_page
from sota_exp.cli.saved_model_argument import find_weights, load_named_model
from sota_exp.config.data_paths import expand_home, is_folder
from sota_exp.config.split_of_seed import get_split
from sota_exp.errors import ConfigError
from sota_exp.report.folds import read_folds
from sota_exp.report.numbers import format_accuracy, format_duration
from sota_exp.report.run.facts import SCORE_HEADINGS, format_score_cells, list_techniques
from sota_exp.report.run.figures import draw_run_figures
from sota_exp.runs.digests import try_read_json
from sota_exp.runs.find import SavedRun, find_run
from sota_exp.runs.scored_images import get_independent_images
from sota_exp.statistics.proportion import wilson_interval

if TYPE_CHECKING:
    import pandas as pd

    from sota_exp.models.saved import SavedModel


class Run:
    """A run or an evaluation, of any status, read from its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    @cached_property
    def saved(self) -> SavedRun:
        """Everything that the files of the run say."""
        return SavedRun.read(self.directory)

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def title(self) -> str:
        """What it is called on display: arm, seed and fold in a study; else its name, after its folder if a number."""
        study = self.directory.parent.parent.parent
        for arm in (try_read_json(study / "study.json") or {}).get("arms") or ():
            for seed, place in (arm.get("runs") or {}).items():
                if (study / place).resolve() == self.directory.resolve():
                    fold = get_split(self.values).get("fold")
                    return f"{arm['name']}, seed {seed}" + (f", fold {fold}" if fold is not None else "")
        return f"{self.directory.parent.name}/{self.name}" if self.name.isdecimal() else self.name

    @property
    def status(self) -> str:
        """`finished`, `stopped_early`, `pruned`, `interrupted`, `failed`, `running` or `killed`."""
        return self.saved.status

    @property
    def choices(self) -> dict[str, str]:
        """Slot → option."""
        return self.saved.choices

    @property
    def values(self) -> dict[str, Any]:
        """The configuration, nested, as in `config.yaml`."""
        return self.saved.config

    @property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`; {} where the run has not ended."""
        return self.saved.result

    @property
    def metrics(self) -> "pd.DataFrame":
        """The scores of the weights that ship: a row for val and test, a column for each metric.

        `images`: their number; `accuracy_low`, `accuracy_high`: the 95 % interval over images.
        """
        import pandas as pd

        rows = {}
        for part, images in (self.result.get("evaluated_images") or {}).items():
            found: dict[str, float] = {"images": images}
            for name in self.saved.metrics:
                if name == f"{part}/accuracy":
                    share = self.saved.metrics[name]
                    low, high = wilson_interval(share, get_independent_images(self.result, part))
                    found |= {"accuracy": share, "accuracy_low": low, "accuracy_high": high}
                elif name.startswith(f"{part}/"):
                    found[name.removeprefix(f"{part}/")] = self.saved.metrics[name]
            rows[part] = found
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")

    @property
    def epochs(self) -> "pd.DataFrame":
        """A row for each epoch, with the columns of `metrics.jsonl`, such as `train/loss` and `val/accuracy`."""
        import pandas as pd

        found = pd.DataFrame(self.saved.epochs)
        return found.set_index("epoch") if len(found) else found

    @property
    def predictions(self) -> "pd.DataFrame":
        """A row for each image of val and test: image (its name), label, prediction, probability, part.

        Raises:
            ConfigError: the run has no predictions.
        """
        import pandas as pd

        path = self.directory / "predictions.csv"
        if not path.is_file():
            raise ConfigError(f"{path} is missing: the run is {self.status}, or was trained by an older version")
        names = dict.fromkeys(("image", "label", "prediction", "part"), str)
        return pd.read_csv(path, dtype=names, keep_default_na=False)

    @property
    def classes(self) -> "pd.DataFrame":
        """The accuracy on test of each class."""
        import pandas as pd

        found = self.result.get("per_class_accuracy") or {}
        return pd.DataFrame({"accuracy": pd.Series(found, dtype=float)}).rename_axis("class")

    @property
    def figures(self) -> Figures:
        """Its pictures by name, such as `run.figures.learning_curves`; drawn where a training has none yet."""
        is_drawn = bool(self.result.get("metrics")) and self.status != "pruned" and not self.saved.is_evaluation
        if is_drawn and not (self.directory / "figures").is_dir():
            draw_run_figures(self.directory)
        return Figures(self.directory / "figures")

    @property
    def page(self) -> Path:
        """The report, `report.html`; written where it is not there."""
        return find_page(self.directory)

    @property
    def model(self) -> "SavedModel":
        """The network with its classes and preprocessing.

        Raises:
            ConfigError: the run is not finished, or its network is in no file.
        """
        return load_named_model(find_weights(str(self.directory)))

    def __repr__(self) -> str:
        scores = [f"{part} accuracy {format_accuracy(row.accuracy)}" for part, row in self.metrics.iterrows()]
        return f"<{type(self).__name__} {', '.join([self.title, self.status, *scores])}>"

    def _repr_html_(self) -> str:
        data, seconds = self.values.get("data") or {}, sum((self.result.get("seconds") or {}).values())
        facts = [f"{data.get('name')}, seed {self.values['seed']}", self.status.replace("_", " ")]
        facts += [format_duration(seconds)] if seconds else []
        facts += [str(self.result["reason"])] if self.result.get("reason") else []
        rows = [[part, *format_score_cells(self.result, part)] for part in self.metrics.index]
        techniques = ", ".join(list_techniques(self.choices))
        table = format_table(["", *SCORE_HEADINGS[1:]], rows) if rows else ""
        picture = self.figures.show("learning_curves")
        return join_parts(self.title, format_facts(facts), table, format_facts([techniques]), picture)


class CrossValidation(Run):
    """All folds of a cross-validation. Its frames have a column `fold`; `metrics` are means over folds."""

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content of `folds.json`."""
        return read_folds(self.directory) or {}

    @cached_property
    def folds(self) -> tuple[Run, ...]:
        """The finished runs, one a fold."""
        return tuple(Run(self.directory / each["place"]) for each in self.content["runs"] if each["status"] is not None)

    @cached_property
    def saved(self) -> SavedRun:
        """What the files of the first fold say, whose configuration differs from the others by fold and seed."""
        return self.folds[0].saved

    @property
    def status(self) -> str:
        return "finished" if self.content["tested"] else "interrupted"

    @property
    def tested(self) -> dict[str, Any]:
        """The number of images, each tested once per repeat, the share that was right, and its 95 % interval."""
        return self.content["tested"] or {}

    @property
    def metrics(self) -> "pd.DataFrame":
        """Means over folds: a row for val and test, a column for each metric; see `folds` for each of them."""
        found = self._stack("metrics").groupby("part", sort=False).mean(numeric_only=True)
        return found.drop(columns=["fold", "images", "accuracy_low", "accuracy_high"], errors="ignore")

    @property
    def epochs(self) -> "pd.DataFrame":
        return self._stack("epochs")

    @property
    def predictions(self) -> "pd.DataFrame":
        return self._stack("predictions")

    @property
    def classes(self) -> "pd.DataFrame":
        return self._stack("classes")

    @property
    def figures(self) -> Figures:
        """It has none of its own: see those of each of its `folds`."""
        return Figures(self.directory / "figures")

    def _stack(self, name: str) -> "pd.DataFrame":
        """The frames of all folds, with the column `fold`, from 0."""
        import pandas as pd

        frames = [getattr(each, name).assign(fold=number) for number, each in enumerate(self.folds)]
        return pd.concat(frames)

    def _repr_html_(self) -> str:
        rows = [
            [str(number), each.name, *(format_accuracy(share) for share in each.metrics["accuracy"])]
            for number, each in enumerate(self.folds)
        ]
        facts = [f"cross-validation, {len(self.folds)} of {len(self.content['runs'])} folds finished"]
        if tested := self.tested:
            low, high = map(format_accuracy, tested["interval"])
            facts.append(f"{tested['images']:,} images tested, {format_accuracy(tested['accuracy'])} ({low} to {high})")
        return join_parts(self.name, format_facts(facts), format_table(["fold", "run", "val", "test"], rows))


def read_any_run(directory: Path) -> Run:
    """The run, or the cross-validation, of a directory."""
    return CrossValidation(directory) if read_folds(directory) is not None else Run(directory)


def load_run(run: str | Path) -> Run:
    """A run by its directory, its name or the beginning of it, or its MLflow id; also a cross-validation.

    Raises:
        ConfigError: there is none, or several.
    """
    path = expand_home(str(run))
    if is_folder(path) and read_folds(path) is not None:
        return CrossValidation(path)
    return Run(find_run(str(run)).directory)


def load_model(run: Run | str | Path) -> "SavedModel":
    """The network of a finished run with its classes and preprocessing; of a cross-validation the mean of its networks.

    run: a run, its directory, its name or the beginning of it, the directory of an arm of a study, for the mean of its
    runs, or a .safetensors file with model.json beside it.

    Raises:
        ConfigError: there is none, it is not finished, or its network is in no file.
    """
    return run.model if isinstance(run, Run) else load_named_model(find_weights(os.fspath(run)))
