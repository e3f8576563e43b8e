"""`make gpu-check` without a GPU: the CPU against itself, what is wrong is a line, what needs CUDA says so."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from torch.autograd import DeviceType

from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import commands, trainings
from benchmarks.gpu_check.lines import (
    AS_EXPECTED,
    NEEDS_CUDA,
    NEEDS_TWO_GPUS,
    NOT_AS_EXPECTED,
    OUT_OF_TIME,
    Line,
    Setting,
    judge,
)
from tests.experiments import Trace


@pytest.fixture
def cpu(tmp_path):
    return Setting(device="cpu", folder=tmp_path, only="optimizer=sgd")


SECTIONS = {
    trainings.compare_losses: (AS_EXPECTED, "relative difference 0.0e+00, allowed 1e-03"),
    trainings.repeat_to_the_bit: (AS_EXPECTED, "equal hashes"),
    trainings.look_for_waits: (NEEDS_CUDA, "none in 3 steps"),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_on_the_cpu_trainings_agree_and_waits_need_cuda(section, cpu):
    (line,) = section(cpu)
    verdict, seen = SECTIONS[section]
    assert (line.what, line.verdict) == ("optimizer=sgd", verdict) and seen in line.seen


def test_the_peak_is_compared_with_the_plan_on_a_gpu_alone(cpu, monkeypatch):
    """On a CPU the peak is that of the process: the line is made, and says what it needs."""
    one, again = trainings.compare_memory(cpu)
    assert one.verdict == again.verdict == NEEDS_CUDA and "× (" in one.seen and "again" in again.what
    monkeypatch.setattr(trainings, "plan_memory", lambda *_: SimpleNamespace(peak=2**30))
    monkeypatch.setattr(trainings, "start_session", lambda *_: None)
    monkeypatch.setattr(trainings, "start_training", lambda *_: None)
    for peak, verdict in ((0.5, NOT_AS_EXPECTED), (1.2, AS_EXPECTED), (2.0, NOT_AS_EXPECTED)):
        monkeypatch.setattr(trainings, "measure_peak", lambda *_, peak=peak: int(peak * 2**30))
        lines = [*trainings.compare_memory(replace(cpu, device="cuda:0"))]
        assert [line.verdict for line in lines] == [verdict] * 2 and lines[0].what.startswith("peak memory of resnet50")


def test_losses_and_bits_that_differ_are_not_as_expected(cpu, monkeypatch):
    count = iter(range(100))

    def train(words, device):
        number = next(count)
        return Trace(prints={"0 batch": "a", "loss 0": f"{number}"}, losses=[1.0 + 0.002 * (number % 2)])

    monkeypatch.setattr(trainings, "train", train)
    monkeypatch.setattr(trainings, "make_files", lambda place: None)
    (losses,), (repeated,) = trainings.compare_losses(cpu), trainings.repeat_to_the_bit(cpu)
    assert (losses.verdict, losses.seen) == (NOT_AS_EXPECTED, "relative difference 2.0e-03, allowed 1e-03")
    assert (repeated.verdict, repeated.seen) == (NOT_AS_EXPECTED, "first different: loss 0")


def test_a_training_that_fails_is_one_line_and_the_others_run(cpu, monkeypatch):
    def train(words, device):
        if "optimizer=adam" in words:
            raise RuntimeError("CUDA error: illegal\nmore words")
        return Trace(losses=[1.0])

    monkeypatch.setattr(trainings, "train", train)
    lines = [*trainings.compare_losses(replace(cpu, only="optimizer="))]
    wrong = [line for line in lines if line.verdict != AS_EXPECTED]
    assert [(line.what, line.seen) for line in wrong] == [("optimizer=adam", "RuntimeError: CUDA error: illegal")]
    assert len(lines) > 5


def test_tf32_needs_cuda_and_time_is_bounded(cpu, monkeypatch):
    monkeypatch.setattr(trainings, "make_files", lambda place: None)
    (line,) = trainings.repeat_to_the_bit(replace(cpu, only="tf32"))
    assert line.verdict == NEEDS_CUDA
    (line,) = trainings.repeat_to_the_bit(replace(cpu, only="optimizer=", until=0.0))
    assert line.verdict == OUT_OF_TIME and line.what.endswith(" more")
    assert sum(limit for _, limit in gpu_check.SECTIONS.values()) <= 585, "of 600 s, with the start of the check itself"


def event(name, start, end, device=DeviceType.CPU):
    return SimpleNamespace(name=name, time_range=SimpleNamespace(start=start, end=end), device_type=device)


def test_waits_are_the_calls_on_the_host_inside_of_steps():
    steps = [event("train_step", 0, 10), event("train_step", 20, 30), event("train_step", 40, 90, DeviceType.CUDA)]
    inside = [event("cudaStreamSynchronize", 22, 25), event("cudaMemcpy", 3, 4)]
    outside = [event("cudaDeviceSynchronize", 12, 15), event("cudaStreamSynchronize", 50, 51)]
    harmless = [event("cudaMemcpyAsync", 1, 2), event("cudaLaunchKernel", 5, 6)]
    assert trainings.find_waits([*inside, *steps, *outside, *harmless]) == ["cudaMemcpy", "cudaStreamSynchronize"]


@pytest.mark.parametrize(
    ("device", "step_seconds", "memory", "verdicts"),
    [
        ("cuda:0", 1.0, 1.0, [AS_EXPECTED] * 3),
        ("cuda:0", 1.2, 1.0, [NOT_AS_EXPECTED, AS_EXPECTED, AS_EXPECTED]),
        ("cuda:0", 3.0, 1.0, [NOT_AS_EXPECTED, NOT_AS_EXPECTED, AS_EXPECTED]),
        ("cuda:0", 1.0, 2.0, [AS_EXPECTED, AS_EXPECTED, NOT_AS_EXPECTED]),
        ("cpu", 3.0, 2.0, [NEEDS_CUDA] * 3),
    ],
)
def test_a_race_is_judged_on_a_gpu_only(cpu, device, step_seconds, memory, verdicts):
    rounds = {"ours": [step_seconds] * 3, "bare": [1.0] * 3, "torchvision": [2.0] * 3}
    sizes = {"ours": 100 * memory, "bare": 100.0, "torchvision": 120.0}
    lines = [*commands.judge_race(replace(cpu, device=device), "here", 8, rounds, sizes)]
    assert [line.verdict for line in lines] == verdicts


@pytest.mark.parametrize(("until", "num_rounds"), [(float("inf"), 5), (0.0, 1)])
def test_a_race_has_as_many_rounds_as_there_is_time_for(until, num_rounds):
    order = []
    racers = {name: SimpleNamespace(turn=lambda num, name=name: order.append(name) or 1.0) for name in "abc"}
    assert commands.run_rounds(racers, 5, 2, until) == {name: [1.0] * num_rounds for name in "abc"}
    assert "".join(order).startswith("abccba" if num_rounds > 1 else "abc")


def test_one_gpu_is_too_few_for_two_processes(cpu, monkeypatch):
    monkeypatch.setattr(commands.torch.cuda, "device_count", lambda: 1)
    (line,) = commands.compare_processes(replace(cpu, device="cuda:0"))
    assert line.verdict == NEEDS_TWO_GPUS


def test_the_command_writes_both_reports_and_fails_where_something_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "run_section", lambda name, device, only: iter(LINES[name]))
    assert gpu_check.main(["--device=cpu", f"--folder={tmp_path}", "--sections", "losses", "tests"]) == 1
    content = json.loads((tmp_path / "gpu-check.json").read_text())
    assert [line["section"] for line in content["lines"]] == ["losses", "tests"]
    assert content["counts"] == {AS_EXPECTED: 1, NOT_AS_EXPECTED: 1} and set(content["seconds"]) == {"losses", "tests"}
    rows = [row for row in (tmp_path / "gpu-check.md").read_text().splitlines() if row.startswith("|")][2:]
    assert rows == ["| tests | b | 1 \\| 2 | none | NOT as expected |", "| losses | a | 1 | 1 | as expected |"]
    assert gpu_check.main(["--device=cpu", f"--folder={tmp_path}", "--sections", "losses"]) == 0


LINES = {
    "losses": [judge("a", "1", lambda: ("1", True))],
    "tests": [judge("b", "none", lambda: ("1 | 2", False))],
}


def test_without_a_gpu_it_says_so(capsys, monkeypatch):
    monkeypatch.setattr(gpu_check.torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 2
    assert "PyTorch sees no GPU; --device=cpu" in capsys.readouterr().err


@pytest.mark.torture
def test_a_section_runs_in_a_process_of_its_own():
    (line,) = gpu_check.run_section("losses", "cpu", "optimizer=sgd")
    assert isinstance(line, Line) and line.verdict == AS_EXPECTED


def test_a_section_that_hangs_is_ended_and_one_that_dies_says_so(monkeypatch):
    section, _ = gpu_check.SECTIONS["losses"]
    monkeypatch.setitem(gpu_check.SECTIONS, "losses", (section, 0.2))
    (late,) = gpu_check.run_section("losses", "cpu", "")
    assert late.verdict == OUT_OF_TIME
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setitem(gpu_check.SECTIONS, "losses", (section, 60.0))
    (dead,) = gpu_check.run_section("losses", "cpu", "")
    assert (dead.verdict, dead.seen) == (NOT_AS_EXPECTED, "ended with status 1: no message")


def test_what_a_late_section_started_ends_with_it_in_whatever_group_it_is():
    """As torchrun does: NCCL that hangs would keep the GPUs from the sections that follow."""
    words = ["sh", "-c", "setsid sleep 60 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as section:
        started = psutil.Process(int(section.stdout.readline()))
        gpu_check.end_with_children(section.pid)
    assert psutil.wait_procs([started], timeout=5)[1] == []


@pytest.mark.torture
@pytest.mark.parametrize("name", ["resnet18", "training"])
def test_loops_race_and_a_whole_training_runs_on_the_cpu(name):
    assert {line.verdict for line in gpu_check.run_section(name, "cpu", "")} <= {AS_EXPECTED, NEEDS_CUDA}
