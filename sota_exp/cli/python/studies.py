"""Studies and sweeps as objects: their tables as pandas frames, figures by attribute, what a notebook shows of them.

Shares and their differences are in [0, 1], times in seconds, as in `study.json` and `sweep.json`.
"""

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sota_exp.cli.python.notebook import Figures, format_facts, join_parts
from sota_exp.cli.python.results import Run
from sota_exp.cli.report import find_page, find_study_directory, format_known_names
from sota_exp.config.split_of_seed import get_split, get_split_of_seed
from sota_exp.config.values import format_legal
from sota_exp.errors import ConfigError
from sota_exp.report.document import markdown
from sota_exp.report.document.write import to_html
from sota_exp.report.study.answer import build_missing_note, build_study_answer, build_study_facts
from sota_exp.report.study.read import read_study
from sota_exp.report.study.runs import find_readable_run, read_first_run
from sota_exp.report.study.study import ConfidenceInterval, DesignEffect, StudyArm, StudyResult
from sota_exp.report.study.tables import build_effects_table, build_results_table
from sota_exp.report.sweep.page import MOST_TRIALS, read_sweep
from sota_exp.report.sweep.tables import build_trial_table, get_test
from sota_exp.report.sweep.terminal import format_trial_counts

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


class Reported:
    """What has a directory and a report in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def page(self) -> Path:
        """The report, `report.html`; written where it is not there."""
        return find_page(self.directory)

    @property
    def figures(self) -> Figures:
        """The pictures of the report by name, such as `study.figures.effects` and `sweep.figures.search_history`."""
        return Figures(self.page.parent / "figures")


class Study(Reported):
    """A study of `ablate`, read from its directory."""

    @cached_property
    def result(self) -> StudyResult:
        """The content of `study.json`, typed."""
        return read_study(self.directory)

    @property
    def name(self) -> str:
        return self.result.title

    @property
    def effects(self) -> "pd.DataFrame":
        """A row for each comparison: of an arm with its reference, or an effect or an interaction of a design.

        difference: of the metric. low, high, p_adjusted: those that the verdict is about, for new training runs on new
        images where that is known. low_here, high_here: for new training runs on the tested images. n: seeds.
        """
        import pandas as pd

        rows = [
            _to_row(arm.name, "arm", arm.label, arm, arm.difference)
            | {"reference": arm.reference, "n": arm.n, "detectable": arm.detectable}
            for arm in self.result.compared
        ]
        for kind, found in (("effect", self.result.effects), ("interaction", self.result.interactions)):
            names = [each.factor or " × ".join(each.factors) for each in found]
            rows += [
                _to_row(name, kind, each.name, each, each.estimate) for name, each in zip(names, found, strict=True)
            ]
        return pd.DataFrame(rows).set_index("name") if rows else pd.DataFrame()

    @property
    def arms(self) -> "pd.DataFrame":
        """A row for each arm: n (seeds), mean and sd of the metric, what a run costs, and its directory.

        `predict` and `load_model` take the directory for the mean of the probabilities of the arm's runs.
        """
        import pandas as pd

        costs = ("seconds", "training_flops", "parameters", "peak_memory_bytes")
        rows = [
            {"name": arm.name, "label": arm.label, "n": arm.n, "mean": arm.mean, "sd": arm.sd}
            | {name: asdict(arm.cost)[name] for name in costs}
            | {"directory": next((str(place.parent) for place in self.result.places(arm)), None)}
            for arm in self.result.arms
        ]
        return pd.DataFrame(rows).set_index("name")

    @property
    def runs(self) -> "pd.DataFrame":
        """A row for each run: arm, seed, value of the metric, directory; of a cross-validation also fold, from 0."""
        import pandas as pd

        rows = [
            {"arm": arm.name, "seed": seed, "value": arm.values.get(seed), "directory": str(self.directory / place)}
            for arm in self.result.arms
            for seed, place in arm.runs.items()
        ]
        found = pd.DataFrame(rows, columns=["arm", "seed", "value", "directory"])
        first = find_readable_run(self.result.places(*self.result.arms))
        if first is None or "folds" not in get_split(first.config):
            return found
        return found.assign(fold=[get_split_of_seed(first.config, seed)["fold"] for seed in found.seed])

    @property
    def missing(self) -> "pd.DataFrame":
        """A row for each planned run that is not finished: arm, seed, reason."""
        import pandas as pd

        return pd.DataFrame(self.result.missing, columns=["arm", "seed", "reason"])

    def run(self, arm: str, seed: int) -> Run:
        """The run of an arm and a seed.

        Raises:
            ConfigError: there is none.
        """
        runs = {each.name: each.runs for each in self.result.arms}
        if arm not in runs:
            raise ConfigError(f"arm={arm}: no such arm; {format_legal(str(arm), runs)}")
        if seed not in runs[arm]:
            raise ConfigError(f"seed={seed!r}: no run of the arm {arm}; {format_legal('', map(str, runs[arm]))}")
        return Run(self.directory / runs[arm][seed])

    @property
    def answer(self) -> str:
        """Whether runs are missing, and which arms help and which do not, in sentences."""
        return Markup(self._answer).striptags()

    @cached_property
    def _answer(self) -> str:
        notes = (build_missing_note(self.result), build_study_answer(self.result))
        return to_html("\n\n".join(filter(None, notes)))

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.answer}>"

    def _repr_html_(self) -> str:
        study = self.result
        facts = build_study_facts(study, read_first_run(study.places(*study.arms)))
        table = build_effects_table(study, study.effects, "effect") if study.effects else build_results_table(study)
        picture = self.figures.show("ladder", "effects", "main_effects")
        shown = Markup(to_html(markdown.format_table(table)))
        return join_parts(self.name, format_facts(facts), Markup(self._answer), shown, picture)


class SweepResult(Reported):
    """A search of `sweep`, read from its directory."""

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of `sweep.json`."""
        return dict(read_sweep(self.directory / "sweep.json"))

    @property
    def name(self) -> str:
        return str(self.result["name"])

    @property
    def trials(self) -> "pd.DataFrame":
        """A row for each trial: state, values, objectives, costs; no test metrics, as a search chooses by val."""
        import pandas as pd

        return pd.read_csv(self.directory / "trials.csv").set_index("number")

    @property
    def best(self) -> dict[str, Any]:
        """Number, value and params of the best trial, or {}. Its value is too high, as it was chosen."""
        return dict(self.result["best"])

    @property
    def confirmation(self) -> "pd.DataFrame":
        """The best trials and the recipe's own values on fresh seeds: mean, sd and difference on val.

        test_difference, low, high: of the winner on test, paired by seed: the confirmed result.
        """
        import pandas as pd

        confirm, rows = self.result["confirm"], []
        for arm in confirm["arms"]:
            test = get_test(confirm, arm)
            low, high = test.get("interval") or (None, None)
            row = {name: arm.get(name) for name in ("name", "mean", "sd")}
            row |= {"difference": (arm.get("difference") or {}).get("mean")}
            rows.append(row | {"test_difference": test.get("mean"), "low": low, "high": high})
        return pd.DataFrame(rows).set_index("name") if rows else pd.DataFrame()

    def __repr__(self) -> str:
        return f"<SweepResult {self.name}: {format_trial_counts(self.result)}>"

    def _repr_html_(self) -> str:
        words = str(self.result["confirm"]["words"])
        table = Markup(to_html(markdown.format_table(build_trial_table(self.result, MOST_TRIALS))))
        picture = self.figures.show("confirmed", "search_history")
        return join_parts(self.name, format_facts([format_trial_counts(self.result)]), words, table, picture)


def _to_row(name: str, kind: str, label: str, found: StudyArm | DesignEffect, difference: float | None) -> Row:
    """A row of `Study.effects`."""
    return {
        "name": name,
        "kind": kind,
        "label": label,
        "difference": difference,
        **_name_ends("", found.headline),
        "p_adjusted": found.headline_p,
        "verdict": found.verdict,
        **_name_ends("_here", found.interval),
    }


def _name_ends(suffix: str, interval: ConfidenceInterval | None) -> Row:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"low{suffix}": low, f"high{suffix}": high}


def load_study(study: str | Path) -> Study:
    """A study of `ablate` by its directory, or its name below multirun/ or the beginning of it.

    Raises:
        ConfigError: there is none, or several.
    """
    directory = _find(study, "study.json", "study (sota_exp.ablate makes one)")
    read_study(directory)
    return Study(directory)


def load_sweep(sweep: str | Path) -> SweepResult:
    """A search of `sweep` by its directory, or its name below multirun/ or the beginning of it.

    Raises:
        ConfigError: there is none, or several.
    """
    return SweepResult(_find(sweep, "sweep.json", "search (sota_exp.sweep makes one)"))


def _find(word: str | Path, file: str, what: str) -> Path:
    """The directory with this file that a word means; an error where there is none."""
    found = find_study_directory(str(word), [file])
    if found is None:
        known = format_known_names([file])
        raise ConfigError(f"{word}: neither the directory of a {what}, nor a name below multirun/{known}")
    return found
