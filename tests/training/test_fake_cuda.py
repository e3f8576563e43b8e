"""On fake CUDA tensors: no option mixes tensors of the CPU and of the device, none waits for the device in a step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from sota_exp.data.open import open_data
from sota_exp.models import small_nets
from sota_exp.runs.files import RunFiles
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.random import RandomNumbers
from sota_exp.training import input_sizes
from sota_exp.training import run as run_module
from sota_exp.training.copy_ahead import CudaCopyStream
from sota_exp.training.distributed import World
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.loop import (
    StepRecord,
    TrainingSession,
    TrainingState,
    begin_epoch,
    fit,
    start_training,
    train_step,
)
from sota_exp.training.norm_batches import iterate_norm_batches
from sota_exp.training.session import open_session
from tests.experiments import OFF, ON, TINY, composed
from tests.fake_cuda import CUDA, FakeCuda, Mixed, Waits, fake_cuda, pretend_backward
from tests.options import Option, options
from tests.test_contract import CONTEXT, context_of, make_files, overrides_of

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by copies of networks

#: Options that act before the device is used, or that read weights from a network.
ELSEWHERE = ("data", "model/weights", "tracking")

#: Steps of which the first may wait: it makes the constants that later ones use.
NUM_STEPS = 2

#: Values at which an option does something else on the device than at those of the contract.
VARIANTS = {
    "128 px": (*OFF, "data.image_size=128", "data.min_side=130", "data.max_side=140", "recipe=torchvision"),
    "bf16": (*OFF, "recipe=torchvision", "runtime.precision=bf16"),
    "fp16": (*OFF, "recipe=torchvision", "runtime.precision=fp16", "regularization/clip=norm"),
    "activations computed again": (*OFF, "recipe=torchvision", "runtime.checkpoint_activations=true"),
    "contiguous": (*OFF, "recipe=torchvision", "runtime.channels_last=false"),
    "an early average": (*OFF, "regularization/average=swa", "regularization.average.start=0"),
    "all at once": ON,
    "geometry and its policy": (*OFF, "augmentation/policy=augmix", "augmentation/geometry=rotate_scale"),
}


@pytest.fixture(scope="module", autouse=True)
def two_stages() -> Iterator[None]:
    """Half of the layers, which take twice as long with fake tensors as with real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(small_nets.SMALL_NETWORKS, "resnet_xs", ((1, 1), 8))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    make_files(place)
    return place


def overrides(group: Sequence[Option], made: Path) -> tuple[str, ...]:
    """Of a tiny experiment with these options."""
    own = (text for option in group for text in (f"{option.slot}={option.name}", *overrides_of(option, made)))
    return (*context_of(group[0]), *(text for text in own if not text.startswith("~")))


def start(mode: FakeCuda, *overrides: str) -> tuple[TrainingSession, TrainingState]:
    """A training that is about to begin; the mode may wait."""
    experiment = composed(*overrides).experiment
    data, mode.may_wait = open_data(experiment), True
    session = open_session(experiment, data, World(), CUDA)
    state = start_training(session)
    begin_epoch(session, state, 0, fresh=True)
    return session, state


def train(mode: FakeCuda, session: TrainingSession, state: TrainingState) -> None:
    """Some steps, of which only the first may wait."""

    def backward(loss: Tensor) -> None:
        pretend_backward(state.model)

    assert state.epoch_labels is not None
    with mock.patch.object(Tensor, "backward", backward):
        for step in range(NUM_STEPS):
            mode.may_wait = step == 0
            crops, positions = session.crops[step]
            train_step(session, state, session.batch(crops, positions, state.epoch_labels, epoch=0))


def finish_average(mode: FakeCuda, session: TrainingSession, state: TrainingState) -> None:
    """Before validation norm statistics are computed again, from batches that are copied without a wait."""
    mode.may_wait, mode.num_waits = True, 0
    batches = list(iterate_norm_batches(session))
    mode.may_wait = False
    state.average.finish(batches)


def score(mode: FakeCuda, session: TrainingSession, state: TrainingState) -> None:
    """All that is done with a network after an epoch and at the end: the device is waited for once a call."""
    evaluator, views = session.evaluator, session.experiment.evaluation.resolution.views()
    for call in (
        lambda: evaluator.logits(state.average.module, "train", views[0]),
        lambda: evaluator.features(state.average.module, "train", views[0]),
    ):
        mode.may_wait, mode.num_waits = True, 0
        call()
        assert mode.num_waits <= 1


#: All others but those that do nothing, since each is part of all trainings but its own slot's.
TABLE = [
    option
    for option in options()
    if option.slot.split("/")[0] != "data" and option.slot not in ELSEWHERE and option.name != "none"
]


def fine_tune(mode: FakeCuda, session: TrainingSession, state: TrainingState) -> None:
    """Fine-tuning, whose steps wait no more than those of training."""
    network, training = state.model, session.evaluator.get_training_images(session.default_view)

    def backward(loss: Tensor) -> None:
        pretend_backward(network)
        mode.may_wait = False

    mode.may_wait = True
    with mock.patch.object(Tensor, "backward", backward):
        assert session.experiment.evaluation.fine_tune(network, training, session.streams)


def is_special(option: Option) -> bool:
    """Whether it is scored too, or something else has to be chosen for it."""
    return option.slot.startswith(("evaluation", "model", "schedule/length")) or str(option) in CONTEXT


def in_groups() -> list[list[Option]]:
    """Every option once: special ones alone, the others with those of up to five other slots."""
    groups: list[list[Option]] = []
    for option in (option for option in TABLE if not is_special(option)):
        free = (group for group in groups if len(group) < 6 and option.slot not in {other.slot for other in group})
        if (group := next(free, None)) is None:
            groups.append(group := [])
        group.append(option)
    return groups + [[option] for option in TABLE if is_special(option)]


@pytest.mark.parametrize("group", in_groups(), ids=lambda group: " ".join(map(str, group)))
def test_no_option_mixes_or_waits(group: list[Option], made: Path) -> None:
    with fake_cuda() as mode:
        session, state = start(mode, *overrides(group, made))
        train(mode, session, state)
        if group[0].slot.startswith(("evaluation", "model")):
            score(mode, session, state)


@pytest.mark.parametrize("name", VARIANTS)
def test_no_variant_mixes_or_waits(name: str) -> None:
    with fake_cuda() as mode:
        session, state = start(mode, *TINY, *VARIANTS[name])
        train(mode, session, state)
        finish_average(mode, session, state)
        score(mode, session, state)


def test_fine_tuning_mixes_nothing_and_waits_nowhere() -> None:
    with fake_cuda() as mode:
        session, state = start(mode, *TINY, *OFF, "evaluation/fine_tune=classifier_and_norm")
        fine_tune(mode, session, state)


#: What a careless technique might do with the images of a batch, float [B, 3, S, S] on the device.
CARELESS = {
    "reads a number": (lambda images: images * images.max().item(), Waits),
    "reads a truth": (lambda images: images if images.mean() > 0 else -images, Waits),
    "picks by a mask": (lambda images: images[images.mean((1, 2, 3)) > 0], Waits),
    "counts": (lambda images: images + images.nonzero().shape[0], Waits),
    "copies back": (lambda images: images * images.cpu().mean(), Waits),
    "copies and waits": (lambda images: images + torch.ones(16, 1, 1, 1).to(images.device), Waits),
    "makes a constant": (lambda images: images - torch.tensor([1.0, 2.0, 3.0], device=images.device).mean(), Waits),
    "adds a tensor of the CPU": (lambda images: images + torch.ones(16, 1, 1, 1), Mixed),
    "picks by positions on the CPU": (lambda images: images[torch.randperm(16)], Mixed),
}


@dataclass(frozen=True, kw_only=True)
class CarelessErasing(BatchTransform):
    """A transform with a fault."""

    fault: Callable[[Tensor], Tensor]

    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        return replace(batch, images=self.fault(batch.images))


@pytest.mark.parametrize("name", CARELESS)
def test_a_careless_technique_is_found(name: str) -> None:
    fault, error = CARELESS[name]
    with fake_cuda() as mode:
        session, state = start(mode, *TINY, *OFF)
        careless = ("augmentation/erase", CarelessErasing(fault=fault))
        pipeline = replace(session.pipeline, transforms=(*session.pipeline.transforms, careless))
        with pytest.raises(error):
            train(mode, replace(session, pipeline=pipeline), state)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
def test_a_training_copies_its_batches_ahead_and_no_step_copies_images() -> None:
    copied: list[torch.Size] = []

    def copy(stream: CudaCopyStream, tensor: Tensor) -> tuple[Tensor, None]:
        copied.append(tensor.shape)
        return tensor.to(CUDA, non_blocking=True), None

    with fake_cuda() as mode, mock.patch.object(CudaCopyStream, "copy", copy):
        session, state = start(mode, *TINY, *OFF)
        seen: list[torch.device] = []

        def pipeline(batch: Batch, step: int, progress: float) -> Batch:
            seen.append(batch.images.device)
            return session.pipeline(batch, step, progress)

        watched = replace(session, pipeline=pipeline)  # type: ignore[arg-type]
        with mock.patch.object(Tensor, "backward", side_effect=lambda: pretend_backward(state.model)):
            num_steps = sum(isinstance(record, StepRecord) for record in fit(watched, state))
    assert seen == [CUDA] * num_steps and len(copied) == num_steps == session.total_steps


def test_what_a_step_gets_is_copied_from_pinned_memory() -> None:
    """Else CUDA copies it twice, and may wait before. The loader pins the crops."""
    pinned: list[torch.Size] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor.shape)
        return tensor

    with fake_cuda() as mode:
        session, state = start(mode, *TINY, *OFF)
        crops, positions = session.crops[0]
        assert state.epoch_labels is not None
        mode.may_wait = False
        with mock.patch.object(Tensor, "pin_memory", pin):
            session.batch(crops, positions, state.epoch_labels, epoch=0)
    assert pinned == [positions.shape, positions.shape]  # labels and weights


#: Trainings whose ends differ: trained weights; averaged ones that are fine-tuned and scored in several views.
WHOLE = {
    "plain": OFF,
    "all at the end": (
        "recipe=torchvision",
        "evaluation/resolution=search",
        "evaluation.resolution.relative_sizes=[1.0,1.25]",
        "evaluation/tta=flip",
        "evaluation/fine_tune=classifier_and_norm",
    ),
}


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator")
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_run_mixes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its start to its result: validation, files, the model read back from them, scores."""
    networks: list[nn.Module] = []

    def start(session: TrainingSession) -> TrainingState:
        state = start_training(session)
        networks.append(state.model)
        return state

    facts = {
        "get_device_name": "cuda:0: fake",
        "get_cuda_versions": {},
        "get_peak_memory": 0,
        "reset_peak_memory": None,
    }
    for function, fact in facts.items():
        monkeypatch.setattr(run_module, function, lambda device, fact=fact: fact)
    monkeypatch.setattr(run_module, "set_up_process", lambda experiment: (World(), CUDA))
    monkeypatch.setattr(input_sizes, "start_training", start)
    monkeypatch.setattr(RunFiles, "write_checkpoint", lambda *_: None)  # fake tensors have nothing to write
    monkeypatch.setattr(Tensor, "backward", lambda loss: pretend_backward(networks[0]))
    request = RunRequest(configuration=composed(*TINY, *WHOLE[name]), directory=tmp_path / "run")
    with fake_cuda() as mode:
        mode.may_wait = True
        result = run_module.run(request, Listener())
    assert result["status"] == "finished" and result["device"] == "cuda:0: fake"
