"""A sweep as the command line and `hydra.sweeper` define it, and its Optuna study.

Every copy of the command opens the same study. The first creates it; each later one checks that it searches the same
space.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.trial import FrozenTrial, Trial

from sota_exp.config.formats import require_current_format
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.multirun import save_command
from sota_exp.config.recipe_values import get_search_directories
from sota_exp.config.search_path import require_global_files
from sota_exp.errors import ConfigError
from sota_exp.sweep.checks import (
    check_run,
    format_search_mismatch,
    list_extremes,
    load_custom_search_space,
    require_prunable,
    require_whole_numbers,
    require_whole_trials,
)
from sota_exp.sweep.sampler import count_trials, format_small_space, is_grid, make_sampler
from sota_exp.sweep.settings import Objectives, SweepSettings, read_goal, read_settings, read_trees, to_plain
from sota_exp.sweep.space import SearchSpace, is_search, read_space
from sota_exp.sweep.start_points import enqueue_default, enqueue_points, flatten_config
from sota_exp.sweep.storage import StudyStorage, resolve_storage_url, retry_while_disconnected
from sota_exp.sweep.trial import JobBrief, TrialIdentity

log = logging.getLogger(__name__)

#: Attributes of the study: the search space as text, and whether the start points are enqueued.
DECLARATION, ENQUEUED = "declaration", "enqueued"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Everything that stays the same while the command runs.

    choices: the option of every slot outside the search. search_overrides: `search=…`, which Hydra needs in every job.
    started_at: monotonic time in seconds.
    """

    settings: SweepSettings
    goal: Objectives
    space: SearchSpace
    store: StudyStorage
    config: DictConfig
    launcher: Launcher
    loader: ConfigLoader
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    choices: dict[str, str]
    search_overrides: list[str]
    directory: Path
    custom_search_space: Callable[[DictConfig, Trial], None]
    started_at: float = field(default_factory=time.monotonic)

    @classmethod
    def open(
        cls,
        given: Mapping[str, Any],
        config: DictConfig,
        launcher: Launcher,
        loader: ConfigLoader,
        arguments: list[str],
    ) -> "Sweep":
        """Read and check `hydra.sweeper` (`given`) and the overrides of the command line (`arguments`).

        Raises:
            ConfigError: they are wrong, or do not go together.
        """
        given, choices = to_plain(given), config.hydra.runtime.choices.items()
        chosen = {str(group): str(option) for group, option in choices}
        require_global_files(chosen, get_search_directories(config.hydra))
        settings, goal = read_settings(given), read_goal(given)
        trees = read_trees(given)
        space = read_space(trees["params"], trees["conditional"], trees["derived"], arguments)
        directory = Path(str(config.hydra.sweep.dir))
        require_prunable(goal, settings, trees["pruner"])
        require_whole_trials(config, settings, arguments)
        make_sampler(trees["sampler"], space, 0)
        if settings.warm_start and is_grid(trees["sampler"]):
            raise ConfigError("hydra.sweeper.warm_start: a grid tries each of its points once; leave it out")
        url = resolve_storage_url(given["storage"], directory)
        name = settings.study_name or directory.resolve().name
        return cls(
            settings=settings,
            goal=goal,
            space=space,
            store=StudyStorage(url=url, name=name, heartbeat=settings.heartbeat, grace=settings.grace),
            config=config,
            launcher=launcher,
            loader=loader,
            sampler=trees["sampler"],
            pruner=trees["pruner"],
            choices=chosen,
            search_overrides=[item for item in arguments if is_search(item)],
            directory=directory,
            custom_search_space=load_custom_search_space(settings.custom_search_space),
        )

    @functools.cached_property
    def study(self) -> optuna.Study:
        return self.store.study()

    @property
    def n_trials(self) -> int:
        return count_trials(self.sampler, self.space, self.settings.n_trials)

    def get_trials(self) -> list[FrozenTrial]:
        return retry_while_disconnected(lambda: self.study.get_trials(deepcopy=False))

    def begin(self) -> None:
        """Create or load the study, and enqueue the start points once.

        Raises:
            ConfigError: an older version made the sweep in the directory, or a knob or a key cannot have its values.
        """
        files = [self.directory / "sweep.json", *islice(self.directory.glob("[0-9]*/config.yaml"), 1)]
        require_current_format(files, self.directory, "sweep", "sweep")
        save_command(self.config, self.directory)
        self._check_values()
        if self.settings.custom_search_space is None and (
            warning := format_small_space(self.sampler, self.space, self.settings.n_trials)
        ):
            log.warning(warning)
        retry_while_disconnected(self._begin_study, seconds=60)

    def _check_values(self) -> None:
        """Check what the command fixes and searches, before the first trial.

        Raises:
            ConfigError: there is no such key, or a value is not legal.
        """
        config = self._compose_with([])
        require_whole_numbers(config, self.space.knobs)
        for name, kind in self._keys.items():
            if isinstance(kind, FloatDistribution | IntDistribution):
                self._compose_with([f"{name}={kind.low}"])
        check_run(config, self.space.overrides({}))
        for name, kind in self._keys.items():
            self._check_knob(name, kind)

    @property
    def _keys(self) -> dict[str, BaseDistribution]:
        """The knobs that are keys of the configuration."""
        return {name: kind for name, kind in self.space.knobs.items() if name not in self.space.coordinates}

    @property
    def _choices(self) -> dict[str, Sequence[Any]]:
        """The choices of the knobs that have such."""
        return {name: kind.choices for name, kind in self._keys.items() if isinstance(kind, Categorical)}

    def _compose_with(self, overrides: list[str]) -> DictConfig:
        """The configuration with `overrides`, the fixed ones and first choices, or another choice of one of the knobs.

        A value may belong to only some of the options that the command searches.
        """
        first = {name: choices[0] for name, choices in self._choices.items()}
        others = [{**first, name: each} for name, choices in self._choices.items() for each in choices[1:]]
        problems = []
        for chosen in (first, *others):
            try:
                job = [*self.search_overrides, *self.space.overrides(chosen), *overrides]
                return self.require_composable([*self.space.overrides(chosen), *overrides], job)
            except ConfigError as error:
                problems.append(error)
        raise problems[0]

    def _check_knob(self, name: str, kind: BaseDistribution) -> None:
        """Check the values of a knob, each with the first choices of the others; trials tell what does not compose.

        Raises:
            ConfigError: there is no such option, or a value is not legal.
        """
        first = {other: choices[0] for other, choices in self._choices.items()}
        for value in list_extremes(kind):
            overrides = self.space.overrides({**first, name: value})
            try:
                config = self.loader.load_sweep_config(self.config, [*self.search_overrides, *overrides])
            except MissingConfigException as error:
                raise ConfigError(format_hydra_error(error, overrides)) from error
            except (HydraException, OmegaConfBaseException, ValueError):
                continue
            try:
                check_run(config, overrides)
            except ConfigError as error:
                if not isinstance(kind, FloatDistribution | IntDistribution):
                    raise
                raise ConfigError(f"{name} is searched from {kind.low:g} to {kind.high:g}: {error}") from error

    def require_composable(self, overrides: list[str], job: list[str]) -> DictConfig:
        """The configuration of a job as Hydra composes it. overrides: those of `job` that an error message may name.

        Raises:
            ConfigError: it cannot, for example because a key is mistyped.
        """
        try:
            return self.loader.load_sweep_config(self.config, job)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(format_hydra_error(error, overrides)) from error

    def job(
        self, kind: str, title: str, overrides: Sequence[str], subdirectory: str, trial: TrialIdentity | None = None
    ) -> list[str]:
        """The overrides of a job: those of its run, its directory, and what MLflow and the study have to know of it."""
        parent = str(self.directory.resolve())
        origin = {"kind": kind, "name": title, "parent": parent, "overrides": list(overrides)}
        brief = JobBrief(origin=origin, trial=trial).to_override()
        return [*self.search_overrides, *overrides, f"++hydra.sweep.subdir={subdirectory}", brief]

    def _begin_study(self) -> None:
        with self.store.lock():
            study = self.store.study(self.goal.directions)
            stored = study.user_attrs.get(DECLARATION)
            wanted = self._declaration
            if stored is None:
                study.set_user_attr(DECLARATION, wanted)
            elif stored != wanted:
                raise ConfigError(format_search_mismatch(stored, wanted, self.directory))
            if not study.user_attrs.get(ENQUEUED):
                if self.settings.defaults_first and not is_grid(self.sampler):
                    enqueue_default(study, self.space, flatten_config(self.config), self.choices)
                if self.settings.warm_start:
                    enqueue_points(study, self.space, Path(self.settings.warm_start), self.settings.warm_start_points)
                study.set_user_attr(ENQUEUED, True)

    @property
    def _declaration(self) -> dict[str, str]:
        facts = {"objective": self.goal.objectives, "direction": self.goal.directions, "seeds": self.settings.seeds}
        if self.goal.constraints:
            facts["constraints"] = self.goal.constraints
        if self.settings.custom_search_space is not None:
            facts["custom_search_space"] = self.settings.custom_search_space
        return self.space.describe({f"hydra.sweeper.{name}": value for name, value in facts.items()})
