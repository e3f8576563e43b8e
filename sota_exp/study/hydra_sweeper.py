"""The study as a Hydra sweeper: arms are composed as Hydra composes jobs, and launched by the configured launcher.

`sota-exp ablate` registers it before Hydra starts, so it needs no plug-in package.
"""

import json
import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import RenderableType

from sota_exp.config.configuration import Configuration, resolve_configuration
from sota_exp.config.hydra_errors import format_hydra_error
from sota_exp.config.job_returns import get_error
from sota_exp.config.launch import is_sequential, launch_jobs
from sota_exp.config.recipe_values import extract_run, get_search_directories, list_preset_keys, list_presets
from sota_exp.config.search_path import list_directory_words
from sota_exp.config.split_of_seed import list_split_overrides
from sota_exp.config.values import format_override_value, get_override_key
from sota_exp.errors import ConfigError, Interrupted, RunFailed
from sota_exp.runs.sent_position import ORIGIN_VARIABLE
from sota_exp.study.files import ArmRun, StudyFiles
from sota_exp.study.results import PlannedStudy

log = logging.getLogger(__name__)


class StudySweeper(Sweeper):
    """Plans a study from the command line, then trains its missing runs."""

    def __init__(self, plan_only: bool, measure: bool) -> None:
        self.plan_only, self.measure = plan_only, measure
        self.launched = 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.whole = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    @abstractmethod
    def show(self, study: PlannedStudy, files: StudyFiles, status: str) -> list[str]:
        """Publish a study that has ended with the MLflow status `status`; one line per place where it was published."""

    @abstractmethod
    def show_plan(
        self, study: PlannedStudy, files: StudyFiles, shown: RenderableType, costs: Mapping[str, object]
    ) -> None:
        """Print the plan of a study. costs: arm → seconds of a run, or why they are unknown."""

    @property
    def directory(self) -> Path:
        return Path(str(self.whole.hydra.sweep.dir))

    @property
    def own_directories(self) -> tuple[str, ...]:
        """The words of the command that name the user's directories of YAML files."""
        return tuple(list_directory_words(self.whole.hydra))

    @property
    def is_sequential(self) -> bool:
        return is_sequential(self.launcher)

    @property
    def is_timed(self) -> bool:
        """Whether runs are trained on this machine and at once, so that the time of a study is that of its runs."""
        return self.is_sequential or "n_jobs" in self.whole.hydra.launcher

    @property
    def num_jobs(self) -> int:
        """How many runs joblib trains at once; 1 for launchers of other machines, whose times are not measured here."""
        num = self.whole.hydra.launcher.get("n_jobs", 1)
        return int(num) if num > 0 else max(1, (os.cpu_count() or 1) + 1 + num)

    def compose(self, overrides: Sequence[str]) -> Configuration:
        """The configuration of a job with these overrides.

        Raises:
            ConfigError: they do not compose.
        """
        try:
            config = self.context.config_loader.load_sweep_config(self.whole, list(overrides))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(format_hydra_error(error, list(overrides))) from error
        run, choices = extract_run(config)
        return resolve_configuration(run, choices, overrides)

    @property
    def chosen_recipe(self) -> str | None:
        """The recipe that the command line or an experiment chooses; None for the default."""
        choices = {str(group): str(option) for group, option in self.whole.hydra.runtime.choices.items()}
        directories = get_search_directories(self.whole.hydra)
        keys = [get_override_key(str(word)) for word in self.whole.hydra.overrides.task]
        keys += [key for preset in list_presets(choices)[1:] for key in list_preset_keys(preset, directories)]
        return choices["recipe"] if "recipe" in keys else None

    @property
    def study_name(self) -> str:
        """The option of the group `study`."""
        return str(self.whole.hydra.runtime.choices.study)

    def get_study_node(self) -> dict[str, Any]:
        """The values of the node `study`."""
        node = OmegaConf.to_container(self.whole.study, resolve=True, throw_on_missing=False)
        assert isinstance(node, dict)
        return {str(key): value for key, value in node.items()}

    def launch(self, jobs: Sequence[ArmRun], look: Callable[[], object]) -> list[Exception | None]:
        """Train the jobs; per job None, or why it failed. look: called every second while other processes train.

        Raises:
            ConfigError: the launcher cannot do what it is told.
            Interrupted: a signal ended one.
        """
        logger = logging.getLogger("hydra")
        level = logger.level
        logger.setLevel(logging.WARNING)  # Launchers log every job; the study prints its own line.
        try:
            overrides = [self._list_overrides(job) for job in jobs]
            returned = launch_jobs(self.launcher, overrides, self.launched, look)
        finally:
            logger.setLevel(level)
        self.launched += len(jobs)
        return [_find_error(each) for each in returned]

    def _list_overrides(self, job: ArmRun) -> list[str]:
        own = [f"seed={job.seed + job.arm.arm.seed_offset}"]
        own += list_split_overrides(job.arm.configuration.values, job.seed)
        overrides = [*job.arm.overrides, *own]
        origin = {
            "kind": "arm",
            "name": job.name,
            "parent": str(self.directory.resolve()),
            "arm": job.arm.name,
            "overrides": overrides,
            "changes": [*own, *job.arm.arm.changes],
        }
        text = json.dumps(origin).replace("$", r"\u0024")  # A folder may be called ${x}.
        place, text = map(format_override_value, (job.place, text))
        return [*overrides, f"hydra.sweep.subdir={place}", f"++hydra.job.env_set.{ORIGIN_VARIABLE}={text}"]


def _find_error(returned: JobReturn) -> Exception | None:
    """Why a job failed."""
    if returned.status is JobStatus.COMPLETED:
        return None
    error = get_error(returned)
    if isinstance(error, Interrupted):
        raise error
    return error if isinstance(error, Exception) else RunFailed(str(error))
