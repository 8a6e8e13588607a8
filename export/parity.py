"""How far an exported model is from the PyTorch network it came from."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.preprocess import F32

# dB. fp32 differs by the order of summation alone; fp16's floor allows for its 11 bits.
FLOORS = {"fp32": 80.0, "fp16": 50.0}


@dataclass(frozen=True)
class Parity:
    """PSNR over the range [-1, 1] and the largest difference in that unit."""

    psnr_db: float  # of the mean squared error over all frames
    psnr_worst_db: float  # of the worst frame
    max_error: float
    frames: int
    frames_from: str
    engine: str

    def to_json(self) -> dict[str, Any]:
        """Rounded to what is meaningful, so that equal exports are equal bytes."""
        return {
            "psnr_db": round(self.psnr_db, 1),
            "psnr_worst_db": round(self.psnr_worst_db, 1),
            "max_error": float(f"{self.max_error:.1e}"),
            "frames": self.frames,
            "reference": "PyTorch fp32",
            "engine": self.engine,
        }


def compare(model: Path, network: nn.Module, frames: list[F32], frames_from: str) -> Parity:
    """Run both on the same frames, in float32 or as near to it as the model's graph says.

    ONNX Runtime is the judge where it is installed, for it computes what the graph says; else
    OpenVINO, told not to go below fp32.
    """
    judge = "onnxruntime" if importlib.util.find_spec("onnxruntime") else "openvino"
    shape = BatchShape(1, *frames[0].shape)
    errors, worst = [], 0.0
    with open_engine(model, shape, judge, precision="fp32") as engine:
        for frame in frames:
            batch = np.ascontiguousarray(frame[None])
            with torch.no_grad():
                reference = network(torch.from_numpy(batch)).numpy()
            out = np.empty_like(reference)
            engine.infer(batch, out)
            difference = out.astype(np.float64) - reference
            errors.append(float(np.mean(difference**2)))
            worst = max(worst, float(np.abs(difference).max()))
    return Parity(
        psnr_db=psnr(float(np.mean(errors))),
        psnr_worst_db=psnr(max(errors)),
        max_error=worst,
        frames=len(frames),
        frames_from=frames_from,
        engine=judge,
    )


def psnr(mean_squared_error: float) -> float:
    """Decibels, for values in [-1, 1] (peak to peak 2); equal tensors give 200, NaN gives 0."""
    if not np.isfinite(mean_squared_error):
        return 0.0
    return float(10 * np.log10(4 / max(mean_squared_error, 4e-20)))
