"""The loop of a sweep: ask, launch, see how it ended, until the study holds the total that was asked for.

Every copy of the command runs this loop on the same study. What comes next is decided by one process at a time, the sampler's
draws are keyed by the number of the trial, and a trial whose process died is taken up before a new one begins.
"""

import functools
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from sota_exp.config.hydra_errors import in_one_line
from sota_exp.errors import ConfigError, Interrupted, RunFailed, in_a_line
from sota_exp.sweep import ownership
from sota_exp.sweep.checks import another_search, extender, require_prunable
from sota_exp.sweep.sampler import Sampling
from sota_exp.sweep.settings import Goal, Settings, plain, read_goal, read_settings, read_trees
from sota_exp.sweep.space import Space, is_search, read_space
from sota_exp.sweep.start_points import DEFAULT, enqueue_default, enqueue_points, own_values
from sota_exp.sweep.storage import Store, patiently, resolved
from sota_exp.sweep.sweep_json import is_feasible
from sota_exp.sweep.trial import Brief, Identity, beating

log = logging.getLogger(__name__)

#: Seconds between two looks at trials that other processes run.
LOOK_SECONDS = 1.0

KNOBS, DECLARATION, ENQUEUED = "knobs", "declaration", "enqueued"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that this process has to run: its number, the token of its owner, its knobs, and its overrides."""

    number: int
    trial_id: int
    token: str
    knobs: dict[str, Any]
    overrides: tuple[str, ...]

    @property
    def words(self) -> str:
        return " ".join(f"{name.rpartition('.')[2]}={short(value)}" for name, value in self.knobs.items())


def short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@dataclass(kw_only=True)
class Loop:
    """A sweep from the side of the command. `asked`: the override that chose the search, which Hydra wants to see in every job.
    `reasons`: of the failures in a row since the last trial that did not fail. `composed`: the overrides of trials that were put
    together, numbers left out: with another number in the same place they can be put together too."""

    settings: Settings
    goal: Goal
    space: Space
    store: Store
    impl: OptunaSweeperImpl
    config: DictConfig
    launcher: Launcher
    loader: ConfigLoader
    sampling: Sampling
    pruner: dict[str, Any]
    chosen: dict[str, str]
    asked: list[str]
    directory: Path
    extend: Callable[[DictConfig, Trial], None]
    began: float = field(default_factory=time.monotonic)
    reasons: list[str] = field(default_factory=list)
    launched: int = 0
    composed: set[tuple[str, ...]] = field(default_factory=set)

    @classmethod
    def open(cls, given: Mapping[str, Any], impl: OptunaSweeperImpl, arguments: list[str]) -> "Loop":
        """Everything that the command line and `hydra.sweeper` say, checked.

        Raises:
            ConfigError: something of it is wrong.
        """
        assert impl.config is not None and impl.launcher is not None and impl.hydra_context is not None
        settings, goal = read_settings(given), read_goal(given)
        trees = read_trees(given)
        space = read_space(trees["params"], trees["conditional"], trees["derived"], arguments)
        directory = Path(str(impl.config.hydra.sweep.dir))
        require_prunable(goal, settings, trees["pruner"])
        choices = {str(group): str(option) for group, option in impl.config.hydra.runtime.choices.items()}
        url = resolved(plain(given["storage"]), directory)
        name = settings.study_name or directory.resolve().name
        return cls(
            settings=settings,
            goal=goal,
            space=space,
            store=Store(url=url, name=name, heartbeat=settings.heartbeat, grace=settings.grace),
            impl=impl,
            config=impl.config,
            launcher=impl.launcher,
            loader=impl.hydra_context.config_loader,
            sampling=Sampling(node=trees["sampler"], space=space, choices=impl._to_grid_sampler_choices),
            pruner=trees["pruner"],
            chosen=choices,
            asked=[item for item in arguments if is_search(item)],
            directory=directory,
            extend=extender(settings.custom_search_space),
        )

    @functools.cached_property
    def study(self) -> optuna.Study:
        return self.store.study()

    def begin(self) -> None:
        """Make or find the study, and see that it is the same search; enqueue what is known to be worth a try.

        Raises:
            ConfigError: it is another search, or a knob is no key of the configuration.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.directory / "multirun.yaml")
        for name, kind in self.space.knobs.items():
            if name not in self.space.coordinates and isinstance(kind, FloatDistribution | IntDistribution):
                self.require_key(name, kind.low)
        patiently(self._begin)

    def require_key(self, name: str, value: float) -> None:
        """Raise `ConfigError` where Hydra can't set a knob to a value, as with a mistyped key."""
        overrides = [f"{name}={value}"]
        try:
            self.loader.load_sweep_config(self.config, [*self.asked, *overrides])
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(in_one_line(error, overrides)) from error

    def _begin(self) -> None:
        with self.store.alone():
            study = self.store.study(self.goal.directions)
            there = study.user_attrs.get(DECLARATION)
            wanted = self.declaration
            if there is None:
                study.set_user_attr(DECLARATION, wanted)
            elif there != wanted:
                raise ConfigError(another_search(there, wanted, self.directory))
            if not study.user_attrs.get(ENQUEUED):
                if self.settings.defaults_first:
                    enqueue_default(study, self.space, own_values(self.config), self.chosen)
                if self.settings.warm_start:
                    enqueue_points(study, self.space, Path(self.settings.warm_start), self.settings.warm_start_points)
                study.set_user_attr(ENQUEUED, True)

    @property
    def declaration(self) -> dict[str, str]:
        facts = {"objective": self.goal.objectives, "direction": self.goal.directions, "seeds": self.settings.seeds}
        if self.goal.constraints:
            facts["constraints"] = self.goal.constraints
        if self.settings.custom_search_space is not None:
            facts["custom_search_space"] = self.settings.custom_search_space
        return self.space.declaration({f"hydra.sweeper.{name}": value for name, value in facts.items()})

    def search(self) -> str | None:
        """Run trials; why it ended before the total, or None.

        Raises:
            RunFailed: too many failures. Interrupted: a signal ended a trial.
        """
        while True:
            if stop := self.should_end():
                return stop
            claimed = self.claims()
            if claimed:
                self.launch(claimed)
            elif self.is_over():
                return None
            else:
                time.sleep(LOOK_SECONDS)

    def should_end(self) -> str | None:
        """The time budget, or stagnation."""
        settings = self.settings
        if settings.timeout is not None and self.launched and time.monotonic() - self.began > settings.timeout:
            return f"the time budget of {settings.timeout:g} s is spent"
        if settings.patience is not None and self.goal.is_single and self.stagnates(settings.patience):
            return f"no new best in {settings.patience} trials"
        return None

    def stagnates(self, patience: int) -> bool:
        ended = [trial for trial in self.trials() if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        sign = 1 if self.goal.directions[0] == "maximize" else -1
        values = [
            sign * trial.value
            if trial.state == TrialState.COMPLETE and trial.value is not None and is_feasible(trial)
            else float("-inf")
            for trial in ended
        ]
        return len(values) > patience and max(values[-patience:]) <= max(values[:-patience])

    def trials(self) -> list[FrozenTrial]:
        return patiently(lambda: self.study.get_trials(deepcopy=False))

    def is_over(self) -> bool:
        """Whether no trial runs any more, of any process."""
        return not any(trial.state == TrialState.RUNNING for trial in self.trials())

    def claims(self) -> list[Claim]:
        """Up to a batch of trials for this process; none where the total is reached or in the hands of others."""
        found: list[Claim] = []
        while len(found) < self.settings.n_jobs:
            claim = patiently(functools.partial(self._claim, {each.token for each in found}))
            if claim is None:
                break
            found.append(claim)
        return found

    def _claim(self, held: set[str]) -> Claim | None:
        with self.store.alone() as check:
            study = self.study
            left = ownership.abandoned(study, held)
            trials = study.get_trials(deepcopy=False)
            counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            room = self.n_trials - sum(trial.state in counted for trial in trials) + len(left)
            for frozen in left:
                num_kills = ownership.kills_without_progress(frozen)
                if num_kills > self.settings.retries:
                    ownership.fail(
                        study, frozen, f"its process was killed {num_kills} times without having come further"
                    )
                elif room > 0:
                    return self._configured(Trial(study, frozen._trial_id), num_kills, check)
                else:
                    ownership.fail(study, frozen, "its process was killed, and the total is reached without it")
            if room <= 0:
                return None
            study.sampler = self.sampling.sampler(len(trials))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Heartbeat of storage")  # We give the signs of life ourselves.
                return self._configured(study.ask(), 0, check)

    def _configured(self, trial: Trial, num_kills: int, check: Callable[[], None]) -> Claim:
        """Draw what is not drawn yet, and take the trial: first a sign of life, then the owner. check: that our turn lasts."""
        self.store.storage.record_heartbeat(trial._trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            knobs = self.space.suggest(trial, self.chosen)
            before = set(trial.params)
            self.extend(self.config, trial)
            more = {name: value for name, value in trial.params.items() if name not in before}
        if more and trial.user_attrs.get(DEFAULT):
            trial.set_user_attr(DEFAULT, False)  # The user's own function drew what the recipe fixes.
        knobs |= more
        check()
        ownership.take_up(trial, num_kills)
        token = ownership.own(trial)
        check()
        trial.set_user_attr(KNOBS, knobs)  # by the owner alone: another's draws are not what was stored
        return Claim(
            number=trial.number,
            trial_id=trial._trial_id,
            token=token,
            knobs=knobs,
            overrides=tuple(self.space.overrides(knobs)),
        )

    @property
    def n_trials(self) -> int:
        return self.sampling.total(self.settings.n_trials)

    def launch(self, claimed: Sequence[Claim]) -> None:
        """Run a batch, give signs of life for it, and see to what it left.

        Raises:
            RunFailed: too many failures. Interrupted: a signal ended a trial.
        """
        self.launched += len(claimed)
        ready = [claim for claim in claimed if self.composes(claim)]
        if not ready:
            self.see_to(claimed, None)
            return
        returns: Sequence[JobReturn] | None = None
        try:
            with beating(self.study, [claim.trial_id for claim in ready]):
                jobs = [self.job(claim) for claim in ready]
                returns = self.launcher.launch(jobs, initial_job_idx=ready[0].number)
        except (KeyboardInterrupt, Interrupted):
            self.release(ready)
            raise
        except Exception as error:  # A worker died: its launcher knows no more than that.
            log.warning("the launcher lost trials %s: %s", [claim.number for claim in ready], in_a_line(error))
            self.release(ready)
        self.see_to([claim for claim in claimed if claim not in ready], None)
        if returns is not None:
            self.see_to(ready, returns)

    def release(self, claimed: Sequence[Claim]) -> None:
        for claim in claimed:
            token = claim.token
            patiently(lambda number=claim.number, token=token: ownership.let_go(self.study, number, token))  # type: ignore[misc]

    def composes(self, claim: Claim) -> bool:
        """Whether Hydra can put the trial's configuration together; where not, it fails with the reason."""
        kind = tuple(kind_of(override) for override in claim.overrides)
        if kind in self.composed:
            return True
        try:
            self.loader.load_sweep_config(self.config, list(self.job(claim)))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            self._fail(claim.number, in_one_line(error, list(claim.overrides)))
            return False
        self.composed.add(kind)
        return True

    def job(self, claim: Claim) -> list[str]:
        """The overrides of a job: its run's own, its place, and who it is."""
        identity = Identity(
            url=self.store.url,
            study=self.store.name,
            heartbeat=self.settings.heartbeat,
            grace=self.settings.grace,
            number=claim.number,
            token=claim.token,
            of=self.n_trials,
            pruner=self.pruner,
            pruning_starts=self.settings.pruning_starts,
            objectives=self.goal.objectives,
            constraints=self.goal.constraints,
            seeds=self.settings.seeds,
        )
        origin: dict[str, Any] = {
            "kind": "trial",
            "name": f"trial {claim.number}: {claim.words}",
            "parent": str(self.directory.resolve()),
            "overrides": list(claim.overrides),
        }
        brief = Brief(words=origin["name"], origin=origin, trial=identity)
        return [*self.asked, *claim.overrides, f"++hydra.sweep.subdir={claim.number}", brief.override()]

    def see_to(self, claimed: Sequence[Claim], returns: Sequence[JobReturn] | None) -> None:
        """End what the jobs left running, and count failures.

        Raises:
            RunFailed: too many of them. Interrupted: a signal ended a job.
        """
        failed = []
        for index, claim in enumerate(claimed):
            job = returns[index] if returns is not None else None
            self.end(claim, job)
            trial = self.trials()[claim.number]
            if trial.state == TrialState.FAIL:
                failed.append(f"trial {claim.number}: {trial.user_attrs.get(ownership.REASON, 'no reason is known')}")
            elif trial.state != TrialState.RUNNING:
                self.reasons = []
        for line in failed:
            log.warning("%s", line)
        self.reasons += failed
        if claimed and len(failed) / len(claimed) > self.settings.max_failure_rate:
            raise RunFailed(f"{len(failed)} of {len(claimed)} trials of a batch failed; {failed[-1]}")
        if len(self.reasons) >= self.settings.max_failures_in_a_row:
            raise RunFailed(self.in_a_row())

    def in_a_row(self) -> str:
        """Why a sweep whose trials all fail ends, in one line."""
        num, last = len(self.reasons), self.reasons[-1]
        states = [trial.state for trial in self.trials()]
        none = "; no trial has ended well" if TrialState.COMPLETE not in states else ""
        mend = "when it is mended, repeat the command to go on"
        return f"{num} trials in a row failed{none}. The last was {last}. {mend[0].upper()}{mend[1:]}"

    def end(self, claim: Claim, job: JobReturn | None) -> None:
        """A trial that its job left running: a job of another program returns its values instead of telling them."""
        trial = self.trials()[claim.number]
        if trial.state != TrialState.RUNNING or job is None:
            return
        if job.status == JobStatus.COMPLETED:
            self.tell(claim.number, job.return_value)
            return
        error = vars(job)["_return_value"]
        if isinstance(error, Interrupted):
            self.release([claim])
            raise error
        self._fail(claim.number, in_a_line(error) if isinstance(error, BaseException) else "its job failed")

    def tell(self, number: int, returned: Any) -> None:
        values = returned if isinstance(returned, list | tuple) else [returned]
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != len(self.goal.objectives) or any(math.isnan(value) for value in numbers):
            self._fail(number, f"its job returned {returned}, not {len(self.goal.objectives)} numbers")
            return
        patiently(lambda: ownership.end(self.study, number, numbers))

    def _fail(self, number: int, reason: str) -> None:
        patiently(lambda: ownership.fail(self.study, self.study.get_trials(deepcopy=False)[number], reason))


def kind_of(override: str) -> str:
    """An override, with its value left out where that is a number."""
    key, _, value = override.partition("=")
    try:
        float(value)
    except ValueError:
        return override
    return key
