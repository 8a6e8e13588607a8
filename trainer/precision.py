"""Where a run computes, and in what."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

import torch

from cgt.runtime.errors import UsageError


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
    autocast: torch.dtype | None = None  # None: float32

    @classmethod
    def of(cls, name: str, device: torch.device) -> Precision:
        """ "auto" is bf16 where the device computes in it natively. Raises UsageError."""
        if name == "fp16":
            if device.type != "cuda":
                raise UsageError("--precision fp16 needs a GPU; take bf16 or fp32 on a CPU")
            return cls(device, torch.float16)
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported()
        else:
            native = bool(
                torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
            )
        wanted = name == "bf16" or (name == "auto" and native)
        return cls(device, torch.bfloat16 if wanted else None)

    @property
    def name(self) -> str:
        return {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.autocast]

    def context(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, weights are converted once: one context should span a whole pass."""
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps fp16 gradients from vanishing; does nothing in other types."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast is torch.float16)


def make_deterministic(wanted: bool) -> None:
    """Refuse algorithms that give another result each time; else let cuDNN try which is fastest."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted
