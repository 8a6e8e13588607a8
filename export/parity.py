"""How far an exported model is from the PyTorch network it came from."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cgt.runtime.artifact import Artifact
from cgt.runtime.engines import Array, BatchShape, Engine, open_engine
from cgt.runtime.preprocess import F32, U8, unpack

from .frames import Frames

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Parity:
    """Over the range [-1, 1]. PSNR is of the mean squared error."""

    psnr_db: float  # of all frames
    psnr_worst_db: float  # of the worst
    max_error: float  # of any value
    ssim: float  # mean over frames
    frames: int
    frames_from: str
    engine: str
    statistics_db: float | None  # PSNR where "stream" gets a frame's own statistics back
    reference: str = "PyTorch fp32"

    def to_json(self) -> dict[str, Any]:
        """Rounded to what is meaningful, so that equal exports are equal bytes."""
        values = {
            "psnr_db": round(self.psnr_db, 1),
            "psnr_worst_db": round(self.psnr_worst_db, 1),
            "max_error": float(f"{self.max_error:.1e}"),
            "ssim": round(self.ssim, 4),
            "frames": self.frames,
            "reference": self.reference,
            "engine": self.engine,
        }
        if self.statistics_db is not None:
            values["statistics_db"] = round(self.statistics_db, 1)
        return values

    def __str__(self) -> str:
        line = (
            f"against {self.reference} on {self.frames} {self.frames_from}, by {self.engine}: "
            f"PSNR {self.psnr_db:.1f} dB (worst {self.psnr_worst_db:.1f}), "
            f"max error {self.max_error:.1e} of [-1, 1], SSIM {self.ssim:.4f}"
        )
        if self.statistics_db is not None:
            line += f"; {self.statistics_db:.1f} dB with a frame's own statistics fed back"
        return line


def judge_for(precision: str) -> str:
    """ONNX Runtime where it is installed, for it rounds where the graph says; else OpenVINO, told
    not to go below fp32. ONNX Runtime has no bf16 convolutions on a CPU, OpenVINO has."""
    installed = importlib.util.find_spec("onnxruntime") is not None
    return "onnxruntime" if installed and precision != "bf16" else "openvino"


def compare(
    model: Path, network: nn.Module, frames: Frames, artifact: Artifact, channels: int = 3
) -> Parity:
    """Run both on the same frames; channels: of the network's input. What a uint8 model gives is
    compared with what the C library makes of PyTorch's answer."""
    judge = judge_for(artifact.precision)
    same = len({image.shape for image in frames.images}) == 1
    size = frames.images[0].shape[:2] if same else (0, 0)
    count = least_batch(artifact)
    shape = dataclasses.replace(BatchShape.of(artifact, *size), count=count, channels=channels)
    back: list[float] = []

    def pairs() -> Iterator[Pair]:
        with open_engine(model, shape, judge, precision="fp32") as engine:
            for image, tensor in zip(frames.images, frames.tensors(channels), strict=True):
                expected = _expected(network, tensor, artifact)
                one: Array = image if artifact.io == "uint8" else tensor
                batch: Array = one[None].repeat(count, 0)
                given, used = (np.zeros((count, artifact.statistics), np.float32) for _ in range(2))
                yield _run(engine, batch, expected, given, used), expected
                if artifact.statistics:
                    used[:, 0] = 1
                    again = _run(engine, batch, expected, used, given)
                    back.append(_squared_error(again, expected))

    parity = parity_of(pairs(), frames, judge)
    return dataclasses.replace(parity, statistics_db=psnr(max(back)) if back else None)


def parity_of(
    pairs: Iterable[Pair], frames: Frames, engine: str, reference: str = "PyTorch fp32"
) -> Parity:
    """Of what `engine` and `reference` make of each frame: C,H,W in [-1, 1]."""
    errors, largest, similar = [], 0.0, []
    for out, expected in pairs:
        errors.append(_squared_error(out, expected))
        largest = max(largest, float(np.abs(out - expected).max()))
        similar.append(ssim(out, expected))
    return Parity(
        psnr_db=psnr(float(np.mean(errors))),
        psnr_worst_db=psnr(max(errors)),
        max_error=largest,
        ssim=float(np.mean(similar)),
        frames=len(frames.images),
        frames_from=frames.origin,
        engine=engine,
        statistics_db=None,
        reference=reference,
    )


def least_batch(artifact: Artifact) -> int:
    """Pictures at once that the model takes in any case."""
    return artifact.profiles[0]["min"][0] if artifact.profiles else 1


def _expected(network: nn.Module, tensor: F32, artifact: Artifact) -> NDArray[np.float64]:
    """PyTorch's answer, C,H,W in [-1, 1]."""
    with torch.no_grad():
        out = network(torch.from_numpy(tensor[None]))[0].numpy()
    if artifact.io == "uint8":
        return _in_range(unpack(np.ascontiguousarray(out)))
    exact: NDArray[np.float64] = out.astype(np.float64)
    return exact


def _run(
    engine: Engine, batch: Array, like: NDArray[np.float64], given: F32, used: F32
) -> NDArray[np.float64]:
    """The model's answer, of the shape and range of `like`."""
    if batch.dtype == np.uint8:
        out = np.zeros((len(batch), *like.shape[1:], like.shape[0]), np.uint8)
    else:
        out = np.zeros((len(batch), *like.shape), np.float32)
    statistics = (given, used) if given.size else ()
    engine.infer(batch, out, *statistics)
    # The last of a batch: all are the same picture.
    return _in_range(out[-1]) if out.dtype == np.uint8 else out[-1].astype(np.float64)


def _in_range(image: U8) -> NDArray[np.float64]:
    return image.transpose(2, 0, 1) / 127.5 - 1


def _squared_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.mean((a - b) ** 2))


def psnr(mean_squared_error: float) -> float:
    """Decibels, for values in [-1, 1] (peak to peak 2); equal tensors give 200, NaN gives 0."""
    if not np.isfinite(mean_squared_error):
        return 0.0
    return float(10 * np.log10(4 / max(mean_squared_error, 4e-20)))


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Structural similarity of C,H,W in [-1, 1], mean over channels, with the 11x11 Gaussian window
    of 1.5 and the constants of Wang et al. 2004."""
    x, y = (torch.from_numpy(v)[:, None] for v in (a, b))
    line = torch.exp(-((torch.arange(11.0, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    line = line / line.sum()

    def blur(v: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(v, line[None, None, None, :]), line[None, None, :, None])

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (2 * 0.01) ** 2, (2 * 0.03) ** 2
    map_ = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(map_.mean())
