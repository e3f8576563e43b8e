"""Tiny experiments for tests: composed as the command line does, run in this process, and traced to the bit."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from sota_exp.config import overrides as recompose
from sota_exp.config.configuration import Configuration
from sota_exp.config.experiment import Experiment
from sota_exp.data.open import open_data
from sota_exp.stages.batch import Batch
from sota_exp.stages.random import RandomNumbers, RandomStreams
from sota_exp.training.distributed import World
from sota_exp.training.evaluator import Evaluator
from sota_exp.training.loop import EpochRecord, TrainingSession, TrainingState, fit, start_training
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.session import open_session

#: Sixteen pixels, an eighth-width network, three steps an epoch, two epochs: a training in a tenth of a second, without the
#: figures, which take five times as long.
TINY = (
    "data=fake",
    "data.image_size=16",
    "data.num_images=60",
    "data.num_classes=4",
    "data.min_side=20",
    "data.max_side=28",
    "model.arch.name=resnet_xs",
    "model.arch.width_multiplier=0.25",
    "batch_size=16",
    "schedule.length.epochs=2",
    "runtime.device=cpu",
    "tracking=none",
    "tracking.figures=false",
)

#: Every slot at its neutral option.
OFF = ("recipe=baseline", "augmentation=none", "regularization=none", "schedule=none")

#: The slots that an integer of draws depends on, at once.
ON = (
    "recipe=torchvision",
    "augmentation/geometry=rotate_scale",
    "augmentation.erase.p=0.5",
    "regularization/dropout=head",
    "regularization/stochastic_depth=linear",
    "regularization/norm=ghost_batch",
    "regularization.norm.ghost_batch_size=8",
    "regularization/clip=norm",
    "regularization.average.every=1",
    "schedule/accumulation=micro_batches",
    "schedule.accumulation.micro_batch_size=8",
    "schedule/early_stopping=patience",
    "model/tuning=gradual",
)


@lru_cache(maxsize=512)
def composed(*overrides: str) -> Configuration:
    """The configuration of `sota-exp train` with `overrides`."""
    return recompose.compose_configuration(list(overrides))


def session_of(experiment: Experiment, world: World | None = None) -> tuple[TrainingSession, Evaluator]:
    """What `run` opens, without a directory."""
    session = open_session(experiment, open_data(experiment), world or World(), torch.device("cpu"))
    return session, session.evaluator


def print_of(value: object) -> str:
    """A short hash of tensors and plain values, equal only where every bit is."""
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()[:12]


def _feed(update: Callable[[bytes], None], value: object) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            update(str(key).encode())
            _feed(update, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(update, item)
    else:
        update(repr(value).encode())


@dataclass(kw_only=True)
class Trace:
    """Everything of a training that an option may change, as hashes by name; and the losses, to look at."""

    prints: dict[str, str] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def note(self, name: str, value: object) -> None:
        self.prints[name] = print_of(value)


def traced(session: TrainingSession, trace: Trace) -> TrainingSession:
    """The session, whose pipeline and loss leave their results in `trace`."""
    pipeline, loss = session.pipeline, session.loss

    def noted_pipeline(batch: Batch, step: int, progress: float) -> Batch:
        made = pipeline(batch, step, progress)
        trace.note(f"{step} batch", [made.images, made.targets, made.weights, made.teacher_logits])
        return made

    def noted_loss(logits: Tensor, batch: Batch) -> Tensor:
        values = loss(logits, batch)
        trace.note(f"loss {len(trace.losses)}", [logits, values])
        trace.losses.append(values.detach().mean().item())
        return values

    return replace(session, pipeline=noted_pipeline, loss=noted_loss)  # type: ignore[arg-type]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict, written and read as a checkpoint is."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return loaded


def trace_of(experiment: Experiment, interrupt_at: int | None = None) -> Trace:
    """Train to the end; with `interrupt_at`, in two processes' worth of objects with a checkpoint between them."""
    trace = Trace()
    bare, evaluator = session_of(experiment)
    session = traced(bare, trace)
    state = start_training(session)
    trace.note("start", state.model.state_dict())
    if interrupt_at is not None:
        follow(session, state, trace, interrupt_at)
        saved = through_a_file(state.state_dict())
        state = start_training(session)
        state.load_state_dict(saved)
    follow(session, state, trace, session.total_steps)
    note_end(session, evaluator, state, trace)
    return trace


def follow(session: TrainingSession, state: TrainingState, trace: Trace, until: int) -> None:
    """Train up to step `until`, noting learning rates and epoch means."""
    for record in fit(session, state):
        if isinstance(record, EpochRecord):
            trace.note(f"epoch {record.epoch}", record.metrics)
        else:
            trace.note(f"{record.step} rates", [group["lr"] for group in state.optimizer.param_groups])
        if state.step >= until and (isinstance(record, EpochRecord) or state.step % session.steps_per_epoch):
            return


def note_end(session: TrainingSession, evaluator: Evaluator, state: TrainingState, trace: Trace) -> None:
    experiment = session.experiment
    views = experiment.evaluation.resolution.views()
    state.average.finish(iterate_norm_batches(session))
    trace.note("weights", state.model.state_dict())
    trace.note("average", state.average.module.state_dict())
    trace.note("logits", evaluator.logits(state.average.module, "val", views[0]))
    trace.note("views", views)
    trace.note("order", [session.crops.order(epoch) for epoch in range(3)])
    trace.note("stops", [experiment.schedule.early_stopping([0.5] * count) for count in range(1, 20)])
    trace.note("tracking", type(experiment.tracking).__name__)


@contextmanager
def recorded_draws() -> Iterator[dict[str, list[str]]]:
    """While entered, what is drawn through `RandomStreams`, by `slot@step`: every number, or where a generator was left."""
    found: dict[str, list[str]] = {}
    names: dict[int, str] = {}
    generators: dict[str, torch.Generator] = {}
    kept = {name: vars(RandomNumbers)[name] for name in ("uniform", "integers", "shared_uniform", "shared_beta")}
    opened = {name: vars(RandomStreams)[name] for name in ("random_numbers", "generator")}

    def drawing(method: Callable[..., Any]) -> Callable[..., Any]:
        def draw(self: RandomNumbers, *arguments: Any) -> Any:
            value = method(self, *arguments)
            found.setdefault(names[self.generator.initial_seed()], []).append(print_of(value))
            return value

        return draw

    def opening(method: Callable[..., Any]) -> Callable[..., Any]:
        def open_stream(self: RandomStreams, slot: str, step: int | str) -> Any:
            stream = method(self, slot, step)
            if isinstance(stream, RandomNumbers):
                names[stream.generator.initial_seed()] = f"{slot}@{step}"
                del generators[f"{slot}@{step}"]  # only what is drawn from it counts, which `drawing` records
            else:
                generators[f"{slot}@{step}"] = stream
            return stream

        return open_stream

    for name, method in kept.items():
        setattr(RandomNumbers, name, drawing(method))
    for name, method in opened.items():
        setattr(RandomStreams, name, opening(method))
    try:
        yield found
    finally:
        found |= {name: [print_of(generator.get_state())] for name, generator in generators.items()}
        for name, method in kept.items():
            setattr(RandomNumbers, name, method)
        for name, method in opened.items():
            setattr(RandomStreams, name, method)
