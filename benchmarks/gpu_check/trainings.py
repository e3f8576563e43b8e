"""Tiny trainings with each option: losses beside the CPU's, equal to the bit when repeated, no waiting in a step."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu_check.lines import NEEDS_CUDA, OUT_OF_TIME, Line, Seen, Setting, judge, skip
from sota_exp.data.open import open_data
from sota_exp.data.train_loader import load_crops
from sota_exp.preview.memory_plan import plan_memory
from sota_exp.training.copy_ahead import copy_ahead
from sota_exp.training.device import set_numerics, synchronize_device
from sota_exp.training.distributed import World
from sota_exp.training.loop import TrainingSession, TrainingState, begin_epoch, fit, start_training, train_step
from sota_exp.training.memory import get_peak_memory, reset_peak_memory
from sota_exp.training.session import open_session
from tests.experiments import OFF, TINY, Trace, composed, traced
from tests.test_contract import make_files
from tests.training.test_fake_cuda import TABLE, VARIANTS, overrides

#: Steps that are compared: the second's loss shows the gradients, and a third multiplies rounding by hundreds.
#: Steps that are watched, after as many unwatched ones, which build what later ones use.
NUM_COMPARED, NUM_WATCHED = 2, 3

#: Largest relative difference of a loss from that of the CPU in fp32, by the precision on the device: several times
#: what another order of sums on a CPU gives (1.4e-4 at most in fp32, 3.8e-3 in bf16, 1.1e-3 in fp16).
TOLERANCES = {"fp32": 1e-3, "tf32": 5e-3, "bf16": 2e-2, "fp16": 5e-3}

#: The least and the most of a measured peak in times that of the plan: it has no workspaces and no rounding of blocks.
PEAK_TO_PLAN = (0.85, 1.4)

#: Layers that draw from the generator of the device, whose numbers are others than those of the CPU.
DRAWN_ON_DEVICE = ("regularization/dropout", "regularization/stochastic_depth", "all at once")

#: Calls of the CUDA runtime in which the host waits for the device. Other copies are called `cudaMemcpyAsync`.
WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")


def list_trainings(setting: Setting) -> dict[str, tuple[str, ...]]:
    """Overrides by name: variants (precisions, sizes, many options at once), then each option of each slot."""
    make_files(setting.folder)
    found = {name: (*TINY, *words) for name, words in VARIANTS.items()}
    found["tf32"] = (*TINY, *OFF, "recipe=torchvision", "runtime.precision=tf32")
    found |= {str(option): overrides([option], setting.folder) for option in TABLE}
    return {name: words for name, words in found.items() if setting.only in name}


def judge_each(
    setting: Setting, expected: str, look: Callable[[str, tuple[str, ...]], Seen], on_cpu_too: bool = True
) -> Iterator[Line]:
    """A line for each training, as long as there is time."""
    trainings = list_trainings(setting)
    for number, (name, words) in enumerate(trainings.items()):
        if time.monotonic() > setting.until:
            yield skip(f"{name} and {len(trainings) - number - 1} more", expected, OUT_OF_TIME)
            return
        if name == "tf32" and not setting.on_cuda:
            yield skip(name, expected, NEEDS_CUDA)
        else:
            yield judge(name, expected, lambda case=(name, words): look(*case), on_cpu_too or setting.on_cuda)


def start_session(words: Sequence[str], device: str) -> TrainingSession:
    """As a run does, on the device."""
    experiment, place = composed(*words).experiment, torch.device(device)
    set_numerics(experiment.runtime, place)
    return open_session(experiment, open_data(experiment), World(), place)


def train(words: Sequence[str], device: str) -> Trace:
    """The losses and all bits of the first steps."""
    trace = Trace()
    session = traced(start_session(words, device), trace)
    state = start_training(session)
    with closing(fit(session, state)) as records:
        for _ in records:
            if state.step == NUM_COMPARED:
                break
    trace.note("weights", state.model.state_dict())
    return trace


def compare_losses(setting: Setting) -> Iterator[Line]:
    """Losses of every option on the device against those of the CPU in fp32."""

    def look(name: str, words: tuple[str, ...]) -> Seen:
        expected = torch.tensor(train((*words, "runtime.precision=fp32"), "cpu").losses)
        found = torch.tensor(train(words, setting.device).losses)
        if setting.on_cuda and name.startswith(DRAWN_ON_DEVICE):
            is_finite = bool(found.isfinite().all())
            return f"{found[-1]:.4f} against {expected[-1]:.4f}; finite is enough: layers draw on the device", is_finite
        difference = ((found - expected) / expected).abs().max().item()
        tolerance = TOLERANCES[composed(*words).experiment.runtime.precision]
        return f"relative difference {difference:.1e}, allowed {tolerance:.0e}", difference <= tolerance

    yield from judge_each(setting, f"the losses of the CPU in fp32, {NUM_COMPARED} steps", look)


def repeat_to_the_bit(setting: Setting) -> Iterator[Line]:
    """Two trainings with every option and `runtime.deterministic=true`."""

    def look(name: str, words: tuple[str, ...]) -> Seen:
        once, again = (train((*words, "runtime.deterministic=true"), setting.device).prints for _ in range(2))
        others = [key for key in once if once[key] != again.get(key)]
        return f"first different: {others[0]}" if others else f"{len(once)} equal hashes", not others

    yield from judge_each(setting, "batches, logits, losses, weights of two trainings equal to the bit", look)


def find_waits(events: Iterable[Any]) -> list[str]:
    """Calls that wait for the device inside of the ranges `train_step`, in order, of a profile's events."""
    on_host = [event for event in events if event.device_type == DeviceType.CPU]
    ranges = [(event.time_range.start, event.time_range.end) for event in on_host if event.name == "train_step"]
    waits = sorted((event.time_range.start, event.name) for event in on_host if event.name in WAITS)
    return [name for at, name in waits if any(start <= at <= end for start, end in ranges)]


def watch_steps(words: Sequence[str], device: str) -> list[Any]:
    """The profile's events of `NUM_WATCHED` steps."""
    session = start_session((*words, "schedule.length.epochs=4"), device)
    state = start_training(session)
    begin_epoch(session, state, 0, fresh=True)
    assert state.epoch_labels is not None
    on_cuda = session.device.type == "cuda"
    watched = profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_cuda])
    with closing(load_crops(session.crops, range(2 * NUM_WATCHED), 0, on_cuda)) as loader:
        for step, (crops, positions) in enumerate(copy_ahead(loader, session.device)):
            if step == NUM_WATCHED:
                watched.start()
            batch = session.batch(crops, positions, state.epoch_labels, epoch=0)
            with record_function("train_step"):
                train_step(session, state, batch)
    synchronize_device(session.device)
    watched.stop()
    return list(watched.events())


def look_for_waits(setting: Setting) -> Iterator[Line]:
    """Whether a step of any option waits for the device, by PyTorch's profiler."""

    def look(name: str, words: tuple[str, ...]) -> Seen:
        events = watch_steps(words, setting.device)
        num_steps = sum(event.name == "train_step" and event.device_type == DeviceType.CPU for event in events)
        waits = find_waits(events)
        seen = ", ".join(f"{waits.count(wait)} {wait}" for wait in sorted(set(waits))) or "none"
        unpinned = sum("Pageable ->" in event.name for event in events)  # of more than 64 KB the host waits for
        seen = f"{seen} in {num_steps} steps; {unpinned} copies from memory that is not pinned"
        return seen, not waits and num_steps == NUM_WATCHED

    expected = f"no {', '.join(WAITS)} in a step after the first {NUM_WATCHED}"
    yield from judge_each(setting, expected, look, on_cpu_too=False)


def compare_memory(setting: Setting) -> Iterator[Line]:
    """The peak of a step against the plan that `explain` shows: ResNet-50 at 176 px in bf16; on a CPU tiny."""
    size, batch_size, arch = (176, 128, "resnet50") if setting.on_cuda else (32, 4, "resnet18")
    tiny = [word for word in TINY if not word.startswith(("data.", "model.", "batch_size", "runtime.device"))]
    words = (*tiny, *OFF, "model/arch=torchvision", f"model.arch.name={arch}", f"batch_size={batch_size}")
    words += (f"data.image_size={size}", f"data.min_side={size}", f"data.max_side={size}", "data.num_classes=10")
    words += (f"data.num_images={8 * batch_size}", "regularization/average=ema", "runtime.precision=bf16")
    lowest, highest = PEAK_TO_PLAN
    expected = f"{lowest} to {highest} × the plan"
    for name, more in {
        "a step": (),
        "with activations computed again": ("runtime.checkpoint_activations=true",),
    }.items():

        def look(more: tuple[str, ...] = more) -> Seen:
            session = start_session((*words, *more), setting.device)
            state = start_training(session)
            plan = plan_memory(session, state)
            assert plan is not None
            peak = measure_peak(session, state)
            seen = f"{peak / plan.peak:.2f} × ({peak / 2**20:,.0f} and {plan.peak / 2**20:,.0f} MiB)"
            return seen, lowest <= peak / plan.peak <= highest

        yield judge(f"peak memory of {arch}, {size} px, {batch_size} images, {name}", expected, look, setting.on_cuda)


def measure_peak(session: TrainingSession, state: TrainingState) -> int:
    """Bytes at the peak of a few steps, after those in which cuDNN tries its kernels, some with large workspaces."""
    with closing(fit(session, state)) as records:
        for _ in records:
            if state.step == 2:
                synchronize_device(session.device)
                reset_peak_memory(session.device)
            elif state.step == 5:
                break
    synchronize_device(session.device)
    return get_peak_memory(session.device)
