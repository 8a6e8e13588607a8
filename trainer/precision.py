"""Device selection and numeric precision (autocast, memory format, loss scaling)."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from cgt.runtime.errors import UsageError

BENCHMARK_ROUNDS = 8


def pick_device(name: str) -> torch.device:
    """Return a PyTorch device; "auto" is the GPU if there is one, otherwise the CPU.

    Raises:
        UsageError: If PyTorch cannot use the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"PyTorch cannot use --device {name} on this machine") from None
    return device


@dataclass(frozen=True)
class Precision:
    """A device and the data type of its convolutions; weights stay float32.

    Attributes:
        device: The device.
        autocast_dtype: Type of autocast; None means float32 without autocast.
        tf32: Whether a GPU rounds the inputs of float32 convolutions and matrix products to TF32,
            which has 10 bits of mantissa instead of 23.
    """

    device: torch.device
    autocast_dtype: torch.dtype | None = None
    tf32: bool = False

    @classmethod
    def from_name(cls, name: str, device: torch.device) -> Precision:
        """Create the precision named "auto", "fp32", "tf32", "bf16" or "fp16".

        "auto" is bf16 if the device is faster in it, otherwise fp32.

        Raises:
            UsageError: If the device does not support the precision.
        """
        if name == "fp16":
            if device.type != "cuda":
                raise UsageError("--precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
            return cls(device, torch.float16)
        if name == "tf32":
            if device.type != "cuda":
                raise UsageError("--precision tf32 needs a GPU; use bf16 or fp32 on a CPU")
            return cls(device, tf32=True)
        use_bf16 = name == "bf16" or (name == "auto" and _bf16_is_faster(device))
        return cls(device, torch.bfloat16 if use_bf16 else None)

    @property
    def name(self) -> str:
        if self.tf32:
            return "tf32"
        return {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.autocast_dtype]

    def autocast_context(self) -> contextlib.AbstractContextManager[Any]:
        """Return an autocast context. It converts weights once, so let it span a whole pass."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    @property
    def inference_memory_format(self) -> torch.memory_format:
        """Return the fastest memory format for inference.

        With AMX, bf16 inference in channels-last format takes two thirds of the time. (In training,
        the backward pass of the norms loses that again, in PyTorch 2.13.) The result depends on the
        CPU's features and not on a measurement, because outputs round differently in another
        format, and a resumed run must use the same one.
        """
        if self.device.type != "cpu" or self.autocast_dtype is not torch.bfloat16:
            return torch.contiguous_format
        # PyTorch 2.13 has get_capabilities, 2.7 does not.
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        amx = capabilities.get("amx_bf16", False)
        return torch.channels_last if amx else torch.contiguous_format

    def make_grad_scaler(self) -> torch.amp.GradScaler:
        """Create a loss scaler, which prevents underflow of fp16 gradients; a no-op otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast_dtype is torch.float16)


def _bf16_is_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return _cpu_bf16_is_faster()


@functools.cache
def _cpu_bf16_is_faster() -> bool:
    """Measure whether bf16 is faster than float32 on this CPU.

    A CPU with bf16 instructions may be slower in bf16: Intel's reach half the throughput of float32
    if a virtual machine hides AMX.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(BENCHMARK_ROUNDS):  # alternate, so that other load affects both types equally
        for dtype in best:
            best[dtype] = min(best[dtype], _time_conv_s(dtype))
    return best[torch.bfloat16] < best[torch.float32]


def _time_conv_s(dtype: torch.dtype) -> float:
    """Time a convolution and its backward pass, in seconds."""
    x = torch.ones(1, 128, 48, 48, dtype=dtype, requires_grad=True)
    weight = torch.ones(128, 128, 3, 3, dtype=dtype, requires_grad=True)
    start = time.perf_counter()
    torch.nn.functional.conv2d(x, weight, padding=1).sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


def set_deterministic(enabled: bool) -> None:
    """Require deterministic algorithms if enabled; otherwise let cuDNN select the fastest ones."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.benchmark = not enabled


def set_tf32(enabled: bool) -> None:
    """Let float32 convolutions and matrix products on CUDA compute in TF32, or in float32.

    PyTorch's default is TF32 for convolutions and float32 for matrix products.
    """
    torch.backends.cudnn.allow_tf32 = enabled
    torch.backends.cuda.matmul.allow_tf32 = enabled


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Compute in float32 on CUDA, whatever a training run in this process has set."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    allowed = [backend.allow_tf32 for backend in backends]
    set_tf32(False)
    try:
        yield
    finally:
        for backend, value in zip(backends, allowed, strict=True):
            backend.allow_tf32 = value
