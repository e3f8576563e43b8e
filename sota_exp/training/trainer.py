"""Training with validation, checkpoints, resuming and early stopping; it consumes the records of `fit`.

The checkpoint has the lines of its epochs, so on resuming no line is lost or repeated, whatever became of the file.
Every process calls `save` at the same record: what one of them alone knows, a signal or the time, they agree on.
"""

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor, nn

from sota_exp.errors import Interrupted
from sota_exp.runs.files import RunFiles
from sota_exp.stages.evaluation import OneView
from sota_exp.training.distributed import Agreement, average_norm_statistics, broadcast_from_main
from sota_exp.training.listener import Listener, Pruner
from sota_exp.training.loop import EpochRecord, StepRecord, TrainingSession, TrainingState, fit
from sota_exp.training.metrics import require_finite
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.resume import write_checkpoint
from sota_exp.training.signals import SignalRecorder

#: Least seconds between two checkpoints after epochs: less than this is quickly trained again. Within an epoch, see
#: `runtime.checkpoint_minutes`.
MIN_CHECKPOINT_SECONDS = 10.0


@dataclass(kw_only=True)
class RunTrainer:
    """The state of a training, its history, and its files.

    epochs: the line of every epoch so far. best: the weights of the best epoch, on the CPU, name → [...]. saved_at:
    when the last checkpoint was written, or training began, in seconds of `time.monotonic`. saved_step: its step.
    unclosed: an epoch that is trained and not validated yet. signals: those that end the training and its scoring.
    """

    session: TrainingSession
    state: TrainingState
    files: RunFiles
    training_fingerprint: str
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    num_resumes: int = 0
    pruning_reason: str | None = None
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = 0
    unclosed: EpochRecord | None = None
    signals: SignalRecorder = field(default_factory=SignalRecorder)
    agreement: Agreement = field(init=False)

    def __post_init__(self) -> None:
        self.agreement = Agreement(self.session.world)
        evaluator = replace(self.session.evaluator, between_batches=self.stop_if_signalled)
        self.session = replace(self.session, evaluator=evaluator)

    @property
    def val_accuracies(self) -> list[float]:
        """Validation accuracy of every epoch, in [0, 1], of the averaged weights where there is an average."""
        return [epoch["val/accuracy"] for epoch in self.epochs]

    @property
    def best_epoch(self) -> int:
        """The first epoch with the highest validation accuracy, counted from 1."""
        return 1 + int(np.argmax(self.val_accuracies))

    @property
    def stopping_reason(self) -> str | None:
        """Why early stopping ends training now, or None; the same on every rank, since every rank has the history."""
        schedule = self.session.experiment.schedule
        planned = schedule.length.epochs
        if 0 < len(self.epochs) < planned and schedule.early_stopping(self.val_accuracies):
            return f"no better validation accuracy since epoch {self.best_epoch} of {planned}"
        return None

    def copy_evaluated_weights(self) -> dict[str, Tensor]:
        """A copy on the CPU of the evaluated weights, name → [...]: the averaged ones if there is an average."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.state.average.module.state_dict().items()}

    def save(self) -> None:
        """Write a checkpoint; every process calls it."""
        fingerprint, world = self.training_fingerprint, self.session.world
        history = (self.epochs, self.best, self.num_resumes, self.unclosed)
        write_checkpoint(self.files, fingerprint, self.state, *history, world)
        self.saved_at, self.saved_step = time.monotonic(), self.state.step

    def stop_if_signalled(self, is_last: bool = False) -> None:
        """End the run where a process got a signal; every process calls it equally often. is_last: wait for the others.

        Raises:
            Interrupted: a signal was received; a checkpoint has been written.
        """
        asked = (self.signals.received or 0, 0)
        if number := (self.agreement.settle if is_last else self.agreement.reach)(*asked)[0]:
            self.agreement.finish()
            self.save()
            raise Interrupted(number)

    def go(self, listener: Listener, pruner: Pruner) -> str | None:
        """Train to the end; returns the reason for stopping earlier, if any.

        Raises:
            Interrupted: a signal was received; a checkpoint has been written.
        """
        interval = 60 * self.session.experiment.runtime.checkpoint_minutes
        left = [] if self.unclosed is None else [self.unclosed]
        is_over = not left and (self.state.step == self.session.total_steps or self.stopping_reason is not None)
        self.saved_at = time.monotonic()
        # Closing ends the data workers, also where an exception keeps the loop's frame.
        with closing(fit(self.session, self.state)) as records:
            for record in () if is_over else chain(left, records):
                if isinstance(record, StepRecord):
                    listener.on_step(record)
                elif self._end_epoch(record, listener, pruner):
                    break
                is_late = time.monotonic() - self.saved_at > interval
                number, must_save = self.agreement.reach(self.signals.received or 0, is_late)
                if isinstance(record, StepRecord) and record.step % self.session.steps_per_epoch == 0:
                    continue  # A checkpoint here would leave out the validation of the epoch, which is next.
                if number or (must_save and self.state.step > self.saved_step + 1):
                    self.save()
                if number:
                    self.agreement.finish()
                    raise Interrupted(number)
        self.stop_if_signalled(is_last=True)
        return self.pruning_reason or self.stopping_reason

    def _end_epoch(self, record: EpochRecord, listener: Listener, pruner: Pruner) -> bool:
        """Close an epoch and, where it is time, write a checkpoint; returns whether it was the last epoch."""
        world = self.session.world
        self.unclosed = record  # for a signal in the middle of its validation
        self.close_epoch(record)
        self.unclosed = None
        try:
            listener.on_epoch_end(self.epochs[-1])
        except OSError:
            if self.signals.received is None:  # else the terminal is gone, and a checkpoint is to be written
                raise
        verdict = pruner.verdict(self.epochs[-1]) if world.is_main else None
        is_late = time.monotonic() - self.saved_at > MIN_CHECKPOINT_SECONDS
        self.pruning_reason, is_late = broadcast_from_main((verdict, is_late), world)
        early = self.pruning_reason is not None or self.stopping_reason is not None
        is_last = early or self.state.step == self.session.total_steps
        if is_last or is_late:
            self.save()
        return is_last

    def close_epoch(self, record: EpochRecord) -> None:
        """Validate, keep the best weights, write the line of the epoch.

        Raises:
            RunFailed: a metric of training or validation is not finite.
        """
        where, fix = f"in epoch {record.epoch + 1}", "try a lower optimizer.lr"
        require_finite(record.metrics, where, fix)
        began = time.monotonic()
        metrics = record.metrics | self.validate()
        require_finite(metrics, where, fix)  # The last step may diverge after the loss of training was measured.
        images = self.session.steps_per_epoch * self.session.experiment.batch_size
        self.epochs.append(
            {
                "epoch": record.epoch + 1,
                "step": record.step,
                "progress": record.step / self.session.total_steps,
                "seconds": record.seconds,
                "validate_seconds": time.monotonic() - began,
                "images_per_second": images / record.seconds,
                **metrics,
            }
        )
        if self.best_epoch == len(self.epochs):
            self.best = self.copy_evaluated_weights()
        if self.session.world.is_main:
            self.files.write_metrics(self.epochs)

    def validate(self) -> dict[str, float]:
        """Scores on val; with a weight average, of the averaged weights, and of the trained ones as `val_raw/…`."""
        average, model = self.state.average, self.state.model
        average.finish(iterate_norm_batches(self.session))
        if average.module is model:
            return self.score_val(model)
        average_norm_statistics(average.module, self.session.world)
        return self.score_val(average.module) | self.score_val(model, "val_raw")

    def score_val(self, model: nn.Module, prefix: str = "val") -> dict[str, float]:
        """Scores on val of one view per image: `evaluation/tta` has no effect on the choice of the best epoch."""
        evaluator = replace(self.session.evaluator, predictor=OneView())
        logits = evaluator.logits(model, "val", self.session.default_view)
        scores = evaluator.compute_metrics(logits, evaluator.labels("val"))
        return {f"{prefix}/{name}": value for name, value in scores.items() if value is not None}
