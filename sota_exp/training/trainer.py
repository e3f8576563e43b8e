"""Training with validation, checkpoints, resuming and early stopping; it consumes the records of `fit`.

Metrics are written before the checkpoint and truncated to it on resuming, so no line of an epoch is lost or repeated.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from sota_exp.errors import Interrupted
from sota_exp.runs.files import RunFiles
from sota_exp.stages.evaluation import OneView
from sota_exp.training.distributed import average_norm_statistics, broadcast_from_main
from sota_exp.training.listener import Listener, Pruner
from sota_exp.training.loop import EpochRecord, StepRecord, TrainingSession, TrainingState, fit
from sota_exp.training.metrics import require_finite
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.resume import write_checkpoint
from sota_exp.training.signals import SignalRecorder

#: Least seconds between two checkpoints, which are written after epochs: less than this is quickly trained again.
MIN_CHECKPOINT_SECONDS = 10.0


@dataclass(kw_only=True)
class RunTrainer:
    """The state of a training, its history, and its files.

    epochs: the line of every epoch so far. best: the weights of the best epoch, on the CPU, name → [...].
    """

    session: TrainingSession
    state: TrainingState
    files: RunFiles
    training_fingerprint: str
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    num_resumes: int = 0
    pruning_reason: str | None = None

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
        """Write a checkpoint."""
        if self.session.world.is_main:
            num_epochs, fingerprint = len(self.epochs), self.training_fingerprint
            write_checkpoint(self.files, fingerprint, self.state, num_epochs, self.best, self.num_resumes)

    def go(self, listener: Listener, pruner: Pruner) -> str | None:
        """Train to the end; returns the reason for stopping earlier, if any.

        Raises:
            Interrupted: a signal was received; a checkpoint has been written.
        """
        saved_at, world, total_steps = time.monotonic(), self.session.world, self.session.total_steps
        is_over = self.state.step == total_steps or self.stopping_reason is not None
        with SignalRecorder() as interrupts:
            for record in () if is_over else fit(self.session, self.state):
                if isinstance(record, EpochRecord):
                    self.close_epoch(record)
                    listener.on_epoch_end(self.epochs[-1])
                    verdict = pruner.verdict(self.epochs[-1]) if world.is_main else None
                    self.pruning_reason = broadcast_from_main(verdict, world)
                    early = self.pruning_reason is not None or self.stopping_reason is not None
                    is_last = early or self.state.step == total_steps
                    if is_last or time.monotonic() - saved_at > MIN_CHECKPOINT_SECONDS:
                        self.save()
                        saved_at = time.monotonic()
                    if is_last:
                        break
                else:
                    listener.on_step(record)
                if interrupts.received is not None and self._may_stop(record):
                    self.save()
                    raise Interrupted(interrupts.received)
        return self.pruning_reason or self.stopping_reason

    def _may_stop(self, record: StepRecord | EpochRecord) -> bool:
        """Whether training can be interrupted: not after the last step of an epoch, whose validation would be left out.

        Several processes stop after an epoch only, so that none waits for another in the middle of a step.
        """
        inside = isinstance(record, StepRecord) and record.step % self.session.steps_per_epoch != 0
        return isinstance(record, EpochRecord) or (inside and self.session.world.size == 1)

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
        return {f"{prefix}/{name}": value for name, value in scores.items()}
