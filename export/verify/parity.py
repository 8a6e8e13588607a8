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

from cgt.runtime.engines import Array, BatchShape, Engine, open_engine
from cgt.runtime.image.preprocess import F32, U8, unpack
from cgt.runtime.models.metadata import ModelMetadata

from ..quantization.sample_images import ImageSet

OutputPair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Parity:
    """Over the range [-1, 1]. PSNR is of the mean squared error."""

    psnr_db: float  # of all frames
    psnr_worst_db: float  # of the worst
    max_error: float  # of any value
    ssim: float  # mean over frames
    num_images: int
    images_origin: str
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
            "frames": self.num_images,
            "reference": self.reference,
            "engine": self.engine,
        }
        if self.statistics_db is not None:
            values["statistics_db"] = round(self.statistics_db, 1)
        return values

    def __str__(self) -> str:
        line = (
            f"against {self.reference} on {self.num_images} {self.images_origin}, by {self.engine}: "
            f"PSNR {self.psnr_db:.1f} dB (worst {self.psnr_worst_db:.1f}), "
            f"max error {self.max_error:.1e} of [-1, 1], SSIM {self.ssim:.4f}"
        )
        if self.statistics_db is not None:
            line += f"; {self.statistics_db:.1f} dB with a frame's own statistics fed back"
        return line


def select_reference_engine(precision: str) -> str:
    """ONNX Runtime where it is installed, for it rounds where the graph says; else OpenVINO, told
    not to go below fp32. ONNX Runtime has no bf16 convolutions on a CPU, OpenVINO has."""
    installed = importlib.util.find_spec("onnxruntime") is not None
    return "onnxruntime" if installed and precision != "bf16" else "openvino"


def measure_parity(
    model: Path, network: nn.Module, image_set: ImageSet, metadata: ModelMetadata, channels: int = 3
) -> Parity:
    """Run both on the same frames; channels: of the network's input. What a uint8 model gives is
    compared with what the C library makes of PyTorch's answer."""
    reference_engine = select_reference_engine(metadata.precision)
    same_size = len({image.shape for image in image_set.images}) == 1
    size = image_set.images[0].shape[:2] if same_size else (0, 0)
    count = min_batch(metadata)
    shape = dataclasses.replace(
        BatchShape.from_metadata(metadata, *size), batch_size=count, channels=channels
    )
    feedback_mse: list[float] = []

    def pairs() -> Iterator[OutputPair]:
        with open_engine(model, shape, reference_engine, precision="fp32") as engine:
            for image, tensor in zip(image_set.images, image_set.to_tensors(channels), strict=True):
                expected = _pytorch_output(network, tensor, metadata)
                engine_image: Array = image if metadata.io == "uint8" else tensor
                batch: Array = engine_image[None].repeat(count, 0)
                statistics_in, statistics_out = (
                    np.zeros((count, metadata.statistics), np.float32) for _ in range(2)
                )
                yield (
                    _engine_output(engine, batch, expected, statistics_in, statistics_out),
                    expected,
                )
                if metadata.statistics:
                    statistics_out[:, 0] = 1
                    output_again = _engine_output(
                        engine, batch, expected, statistics_out, statistics_in
                    )
                    feedback_mse.append(_mse(output_again, expected))

    parity = compute_parity(pairs(), image_set, reference_engine)
    return dataclasses.replace(
        parity, statistics_db=psnr(max(feedback_mse)) if feedback_mse else None
    )


def compute_parity(
    pairs: Iterable[OutputPair], image_set: ImageSet, engine: str, reference: str = "PyTorch fp32"
) -> Parity:
    """Of what `engine` and `reference` make of each frame: C,H,W in [-1, 1]."""
    errors, largest, similar = [], 0.0, []
    for out, expected in pairs:
        errors.append(_mse(out, expected))
        largest = max(largest, float(np.abs(out - expected).max()))
        similar.append(ssim(out, expected))
    return Parity(
        psnr_db=psnr(float(np.mean(errors))),
        psnr_worst_db=psnr(max(errors)),
        max_error=largest,
        ssim=float(np.mean(similar)),
        num_images=len(image_set.images),
        images_origin=image_set.origin,
        engine=engine,
        statistics_db=None,
        reference=reference,
    )


def min_batch(metadata: ModelMetadata) -> int:
    """Pictures at once that the model takes in any case."""
    return metadata.profiles[0]["min"][0] if metadata.profiles else 1


def _pytorch_output(
    network: nn.Module, tensor: F32, metadata: ModelMetadata
) -> NDArray[np.float64]:
    """PyTorch's answer, C,H,W in [-1, 1]."""
    with torch.no_grad():
        out = network(torch.from_numpy(tensor[None]))[0].numpy()
    if metadata.io == "uint8":
        return _uint8_to_unit_range(unpack(np.ascontiguousarray(out)))
    exact: NDArray[np.float64] = out.astype(np.float64)
    return exact


def _engine_output(
    engine: Engine,
    batch: Array,
    expected: NDArray[np.float64],
    statistics_in: F32,
    statistics_out: F32,
) -> NDArray[np.float64]:
    """The model's answer, of the shape and range of `like`."""
    if batch.dtype == np.uint8:
        out = np.zeros((len(batch), *expected.shape[1:], expected.shape[0]), np.uint8)
    else:
        out = np.zeros((len(batch), *expected.shape), np.float32)
    statistics = (statistics_in, statistics_out) if statistics_in.size else ()
    engine.infer(batch, out, *statistics)
    # The last of a batch: all are the same picture.
    return _uint8_to_unit_range(out[-1]) if out.dtype == np.uint8 else out[-1].astype(np.float64)


def _uint8_to_unit_range(image: U8) -> NDArray[np.float64]:
    return image.transpose(2, 0, 1) / 127.5 - 1


def _mse(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
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
    gaussian = torch.exp(-((torch.arange(11.0, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    gaussian = gaussian / gaussian.sum()

    def blur(v: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(v, gaussian[None, None, None, :]), gaussian[None, None, :, None])

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (2 * 0.01) ** 2, (2 * 0.03) ** 2
    map_ = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(map_.mean())
