"""CUDA tensors on a machine without a GPU: they have shapes and no values, and say where real ones would be misused.

Tensors on the CPU stay real. `Waits` is raised where the host would wait for the device, `Mixed` where an operation gets
tensors of both.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)

#: Copies between devices; all else takes tensors of one.
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)

#: The key of operations that consist of others.
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


class Waits(AssertionError):
    """The host would wait for the device."""


class Mixed(AssertionError):
    """An operation has tensors of the CPU and of the device."""


class FakeCuda(FakeTensorMode):
    """A dispatch mode in which tensors on `cuda` are fake and those on the CPU real.

    may_wait: whether the host may wait for the device now, as it does after an epoch. num_waits: how often it did.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True, allow_fallback_kernels=False)
        self.may_wait, self.num_waits = False, 0

    def wait(self, what: str) -> None:
        """Count a wait.

        Raises:
            Waits: none is allowed now.
        """
        if not self.may_wait:
            raise Waits(what)
        self.num_waits += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        fake = [tensor for tensor in tensors if isinstance(tensor, FakeTensor)]
        device = kwargs.get("device")
        to_device = device is not None and torch.device(device).type == "cuda"
        if not fake and not to_device:
            return func(*args, **kwargs)
        if func.namespace == "aten" and func.has_kernel_for_dispatch_key(COMPOSITE):
            with self:  # In inference mode such as `to` come here, not only what they consist of.
                return func.decompose(*args, **kwargs)
        real = [tensor for tensor in tensors if not isinstance(tensor, FakeTensor)]
        if func in COPIES and (real or (device is not None and not to_device)):
            return self.copy(func, args, kwargs)
        if fake and any(tensor.dim() for tensor in real):
            raise Mixed(f"{func}: {[(str(tensor.device), tuple(tensor.shape)) for tensor in tensors]}")
        if str(func).startswith("aten._fused_"):
            return None  # An optimizer's step, in place: PyTorch has no shapes of it.
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise Waits(f"{func}: {error}") from None

    def copy(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A copy between the two: to the device without a wait if it asks for that; to the CPU with one, of zeros."""
        if func is torch.ops.aten.copy_.default:
            target, non_blocking = args[0], len(args) > 2 and args[2]
            to_cpu = not isinstance(target, FakeTensor)
        else:
            source, dtype = args[0], kwargs.get("dtype") or args[0].dtype
            to_cpu, non_blocking = isinstance(source, FakeTensor), kwargs.get("non_blocking", False)
            if to_cpu:
                target = torch.zeros(source.shape, dtype=dtype)
            else:
                shape, named = (source.shape, source.stride()), {"dtype": dtype, "device": CUDA}
                target = super().__torch_dispatch__(torch.ops.aten.empty_strided.default, (), shape, named)
        if to_cpu or not non_blocking:
            self.wait(f"{func} to the {'CPU' if to_cpu else 'device, without non_blocking=True'}")
        return target


def _move(module: nn.Module, device: Any = None, *_: Any, **__: Any) -> nn.Module:
    """`Module.to` for fake devices, which takes no real parameters."""
    if device is None or torch.device(device).type != "cuda":
        return module
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and not isinstance(parameter, FakeTensor):
                moved = torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype, device=CUDA)
                part._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None and not isinstance(buffer, FakeTensor):
                part._buffers[name] = torch.empty_strided(
                    buffer.shape, buffer.stride(), dtype=buffer.dtype, device=CUDA
                )
    return module


def _pin(tensor: Tensor) -> Tensor:
    """`Tensor.pin_memory`, which needs a driver."""
    return tensor


class _Stream:
    """A stream of the device, on which nothing runs."""

    def record_event(self) -> None:
        pass

    def wait_event(self, event: None) -> None:
        pass


#: One for all: what functions keep from call to call, such as constants on the device, belongs to a mode.
MODE = FakeCuda()


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """A mode in which `cuda` can be used as if there were one GPU, but for the backward pass, which has no engine."""
    with (
        MODE as mode,
        mock.patch.object(nn.Module, "to", _move),
        mock.patch.object(Tensor, "pin_memory", _pin),
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False),
        mock.patch("torch.cuda.is_bf16_supported", return_value=True),
        mock.patch("torch.cuda.Stream", return_value=_Stream()),
        mock.patch("torch.cuda.stream", return_value=nullcontext()),
        mock.patch("torch.cuda.current_stream", return_value=_Stream()),
        mock.patch.object(Tensor, "record_stream", return_value=None),
    ):
        yield mode


def pretend_backward(module: nn.Module) -> None:
    """Give every trained parameter a gradient, as the backward pass does."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
