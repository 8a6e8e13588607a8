"""Where a run computes, and in what."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass
from typing import Any

import torch

from cgt.runtime.errors import UsageError

BENCHMARK_ROUNDS = 8


def pick_device(name: str) -> torch.device:
    """ "auto" is the GPU where there is one. Raises UsageError for a device PyTorch cannot use."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"--device {name} cannot be used by PyTorch here") from None
    return device


@dataclass(frozen=True)
class Precision:
    """A device and the type that its convolutions compute in; weights stay float32."""

    device: torch.device
    autocast_dtype: torch.dtype | None = None  # None: float32

    @classmethod
    def from_name(cls, name: str, device: torch.device) -> Precision:
        """ "auto" is bf16 where the device computes sooner in it. Raises UsageError."""
        if name == "fp16":
            if device.type != "cuda":
                raise UsageError("--precision fp16 needs a GPU; take bf16 or fp32 on a CPU")
            return cls(device, torch.float16)
        use_bf16 = name == "bf16" or (name == "auto" and _bf16_is_faster(device))
        return cls(device, torch.bfloat16 if use_bf16 else None)

    @property
    def name(self) -> str:
        return {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.autocast_dtype]

    def autocast_context(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, weights are converted once: one context should span a whole pass."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    @property
    def inference_memory_format(self) -> torch.memory_format:
        """In which a network that does not learn answers soonest: with AMX it takes two thirds of
        the time where channels lie together. (In training the norms' backward loses that again, in
        PyTorch 2.13.) Told from the CPU, not measured: answers round otherwise in another layout,
        and a run that goes on must have the same."""
        if self.device.type != "cpu" or self.autocast_dtype is not torch.bfloat16:
            return torch.contiguous_format
        # PyTorch 2.13 has it, 2.7 does not.
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        amx = known.get("amx_bf16", False)
        return torch.channels_last if amx else torch.contiguous_format

    def make_grad_scaler(self) -> torch.amp.GradScaler:
        """Keeps fp16 gradients from vanishing; does nothing in other types."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast_dtype is torch.float16)


def _bf16_is_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return _cpu_bf16_is_faster()


@functools.cache
def _cpu_bf16_is_faster() -> bool:
    """Measured: a CPU that has an instruction for bf16 may be slower in it (Intel's do half as much
    in a second as in float32 where a virtual machine hides AMX)."""
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(BENCHMARK_ROUNDS):  # in turns: what else the machine does disturbs both alike
        for kind in best:
            best[kind] = min(best[kind], _time_conv_s(kind))
    return best[torch.bfloat16] < best[torch.float32]


def _time_conv_s(dtype: torch.dtype) -> float:
    """Of a convolution and its gradients."""
    x = torch.ones(1, 128, 48, 48, dtype=dtype, requires_grad=True)
    weight = torch.ones(128, 128, 3, 3, dtype=dtype, requires_grad=True)
    began = time.perf_counter()
    torch.nn.functional.conv2d(x, weight, padding=1).sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began


def set_deterministic(enabled: bool) -> None:
    """Refuse algorithms that give another result each time; else let cuDNN try which is fastest."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.benchmark = not enabled
