import os
import subprocess
import sys

import pynvml
import pytest
import torch

from sota_exp.config.experiment import RuntimeSettings
from sota_exp.errors import GPU_ERRORS, ConfigError, error_to_failure, is_out_of_memory
from sota_exp.training import device as device_module
from sota_exp.training.device import copy_to_device, get_cuda_versions, pick_device, set_numerics
from sota_exp.training.distributed import World, read_world
from tests.experiments import OFF, TINY, composed
from tests.options import ROOT


@pytest.fixture
def gpus(monkeypatch):
    """A machine with a number of GPUs, and no driver."""

    def have(num):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return have


@pytest.mark.parametrize(
    ("num_gpus", "name", "local_rank", "size", "picked"),
    [
        (0, "auto", 0, 1, "cpu"),
        (2, "auto", 0, 1, "cuda:0"),
        (2, "cuda", 0, 1, "cuda:0"),
        (2, "cuda:1", 0, 1, "cuda:1"),
        (2, "cpu", 1, 2, "cpu"),
        (2, "auto", 1, 2, "cuda:1"),
        (2, "cuda", 1, 2, "cuda:1"),
        (1, "auto", 3, 4, "cuda:0"),  # a launcher shows each process its own GPU
        (0, "cpu", 3, 4, "cpu"),
    ],
)
def test_each_process_gets_its_own_device(gpus, num_gpus, name, local_rank, size, picked):
    gpus(num_gpus)
    assert pick_device(name, World(rank=local_rank, local_rank=local_rank, size=size)) == torch.device(picked)


@pytest.mark.parametrize(
    ("num_gpus", "name", "local_rank", "size", "said"),
    [
        (0, "cuda", 0, 1, "runtime.device=cuda is not on this machine; it has: cpu"),
        (2, "cuda:7", 0, 1, "runtime.device=cuda:7 is not on this machine; it has: cpu, cuda, cuda:0, cuda:1"),
        (2, "mps", 0, 1, "runtime.device=mps is not on this machine; it has: cpu, cuda, cuda:0, cuda:1"),
        (2, "cuda:1", 1, 2, "runtime.device=cuda:1: 2 processes can't share a GPU; legal: cuda, one for each"),
        (2, "auto", 2, 4, "process 2 of this machine has no GPU, as there are 2; legal: torchrun --nproc-per-node=2"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(gpus, num_gpus, name, local_rank, size, said):
    gpus(num_gpus)
    with pytest.raises(ConfigError) as error:
        pick_device(name, World(rank=local_rank, local_rank=local_rank, size=size))
    assert said in str(error.value)


@pytest.mark.parametrize("value", ["cpu:5", "cpu:abc", "cuda:", "cuda:x", "cuda:-1", "gpu", "", "cuda:0:1", "CUDA"])
def test_what_names_no_device_is_refused_without_pytorch(value):
    with pytest.raises(ConfigError, match="runtime.device"):
        composed(*TINY, *OFF, f"runtime.device='{value}'").experiment  # noqa: B018


def test_the_environment_says_which_process_this_is(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert read_world() == World()
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert read_world() == World(rank=5, local_rank=1, size=8)


def runtime(**values) -> RuntimeSettings:
    return composed(*TINY, *OFF, *(f"runtime.{name}={value}" for name, value in values.items())).experiment.runtime


@pytest.mark.parametrize(
    ("precision", "is_deterministic", "matmul", "tf32", "benchmark"),
    [
        ("fp32", False, "highest", False, True),
        ("fp32", True, "highest", False, False),
        ("tf32", False, "high", True, True),
        ("bf16", False, "highest", False, True),
    ],
)
def test_precision_says_what_cuda_computes_in(monkeypatch, precision, is_deterministic, matmul, tf32, benchmark):
    """PyTorch's own default convolves in TF32 and multiplies matrices in fp32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    try:
        set_numerics(runtime(precision=precision, deterministic=is_deterministic), torch.device("cuda", 0))
        assert torch.get_float32_matmul_precision() == matmul
        assert torch.backends.cudnn.allow_tf32 is tf32 and torch.backends.cudnn.benchmark is benchmark
        assert torch.are_deterministic_algorithms_enabled() is is_deterministic
    finally:
        set_numerics(runtime(), torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("own", "found"), [(None, ":4096:8"), (":16:8", ":16:8")])
def test_cublas_is_told_to_repeat_itself_before_any_job_can_have_used_it(own, found):
    """It reads it once: a run with `runtime.deterministic` failed after one without, in the same process."""
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    words = "import os, sys, sota_exp; print(os.environ['CUBLAS_WORKSPACE_CONFIG'], 'torch' in sys.modules)"
    given = {} if own is None else {"CUBLAS_WORKSPACE_CONFIG": own}
    said = subprocess.check_output([sys.executable, "-c", words], env=environment | given, cwd=ROOT, text=True)
    assert said == f"{found} False\n"


def test_a_precision_that_the_device_does_not_have_is_one_line(monkeypatch):
    with pytest.raises(ConfigError, match="runtime.precision=tf32: only CUDA computes in it, not cpu; legal: fp32"):
        set_numerics(runtime(precision="tf32"), torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ConfigError, match="runtime.precision=bf16: this GPU has no bf16; legal: fp32, fp16"):
        set_numerics(runtime(precision="bf16"), torch.device("cuda", 0))


def test_only_copies_to_cuda_are_pinned(monkeypatch):
    def never(tensor):
        raise AssertionError

    monkeypatch.setattr(torch.Tensor, "pin_memory", never)
    rows = torch.rand(3, 2)
    assert copy_to_device(rows, torch.device("cpu")) is rows
    with pytest.raises(AssertionError):
        copy_to_device(rows, torch.device("cuda", 0))


@pytest.mark.parametrize(
    ("affinity", "written", "num"),
    [
        (4, None, 4),
        (4, "max 100000", 4),
        (4, "150000 100000", 2),
        (4, "50000 100000", 1),
        (2, "800000 100000", 2),
        (4, "nonsense", 4),
    ],
)
def test_cpus_are_those_that_the_process_may_use(monkeypatch, tmp_path, affinity, written, num):
    path = tmp_path / "cpu.max"
    if written is not None:
        path.write_text(written + "\n")
    monkeypatch.setattr(device_module, "CGROUPS", tmp_path)
    monkeypatch.setattr(device_module, "CPU_MAX_OF_VERSION_1", [tmp_path / "none"] * 2)
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: set(range(affinity)))
    assert device_module.count_usable_cpus() == num
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of torchrun
    assert device_module.count_usable_cpus() == max(1, num // 2)


@pytest.mark.parametrize(("quota", "num"), [("-1", 8), ("300000", 3), ("100", 1)])
def test_limits_of_the_first_version_of_control_groups_count(monkeypatch, tmp_path, quota, num):
    for name, value in (("quota", quota), ("period", "100000")):
        (tmp_path / name).write_text(value + "\n")
    monkeypatch.setattr(device_module, "CGROUPS", tmp_path / "none")
    monkeypatch.setattr(device_module, "CPU_MAX_OF_VERSION_1", [tmp_path / name for name in ("quota", "period")])
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: set(range(8)))
    assert device_module.count_usable_cpus() == num


@pytest.mark.parametrize(("inner", "outer", "num"), [("200000", "max", 2), ("max", "300000", 3), ("max", "max", 8)])
def test_limits_of_control_groups_count_however_deep_they_are_nested(monkeypatch, tmp_path, inner, outer, num):
    """As of systemd (CPUQuota=200%) and batch systems: the outermost group has no file of limits."""
    (tmp_path / "own").write_text("4:memory:/else\n0::/user.slice/job\n")
    (tmp_path / "user.slice" / "job").mkdir(parents=True)
    for place, quota in (("user.slice", outer), ("user.slice/job", inner)):
        (tmp_path / place / "cpu.max").write_text(f"{quota} 100000\n")
    monkeypatch.setattr(device_module, "CGROUPS", tmp_path)
    monkeypatch.setattr(device_module, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(device_module, "CPU_MAX_OF_VERSION_1", [tmp_path / "none"] * 2)
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: set(range(8)))
    assert device_module.count_usable_cpus() == num


def test_cpus_that_torchrun_binds_a_process_to_are_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(device_module, "CGROUPS", tmp_path / "none")
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda pid: set(range(32 if pid else 8)))
    assert device_module.count_usable_cpus() == 8
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda _: set(range(32)))
    assert device_module.count_usable_cpus() == 8


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:75] . DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_full_memory_is_known_whoever_says_it(error, is_memory):
    assert is_out_of_memory(error) is is_memory


@pytest.mark.parametrize("words", GPU_ERRORS)
def test_a_gpu_that_fails_is_told_in_a_line(words):
    assert str(error_to_failure(RuntimeError(f"{words}: it fell off the bus\nmore"))) == (
        f"the GPU failed: {words}: it fell off the bus; sota-exp doctor tries it, runtime.device=cpu needs none"
    )


def test_a_run_on_a_cpu_has_no_versions_of_cuda():
    assert get_cuda_versions(torch.device("cpu")) == {}


def test_versions_are_known_without_nvidias_management_library(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    found = get_cuda_versions(torch.device("cuda", 0))
    assert list(found) == ["cuda", "cudnn", "driver"] and found["driver"] == "unknown"
