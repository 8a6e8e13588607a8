"""Parity of an exported model with the PyTorch network it came from."""

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
from torch import nn

from cgt.runtime.engines import Array, BatchShape, Engine, open_engine
from cgt.runtime.image.metrics import psnr_from_mse, ssim
from cgt.runtime.image.preprocess import F32, U8, unpack
from cgt.runtime.models.metadata import ModelMetadata

from ..quantization.sample_images import ImageSet

OutputPair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Parity:
    """Differences over the range [-1, 1]; PSNR is computed from the mean squared error."""

    psnr_db: float  # of all images
    psnr_worst_db: float  # of the worst image
    max_error: float  # of any value
    ssim: float  # mean over images
    num_images: int
    images_origin: str
    engine: str
    statistics_db: float | None  # PSNR of "stream" with an image's own statistics fed back
    reference: str = "PyTorch fp32"

    def to_json(self) -> dict[str, Any]:
        """Return rounded values, so that equal exports are equal bytes."""
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
            f"against {self.reference} on {self.num_images} {self.images_origin}, by "
            f"{self.engine}: PSNR {self.psnr_db:.1f} dB (worst {self.psnr_worst_db:.1f}), "
            f"max error {self.max_error:.1e} of [-1, 1], SSIM {self.ssim:.4f}"
        )
        if self.statistics_db is not None:
            line += f"; {self.statistics_db:.1f} dB with the image's own statistics fed back"
        return line


def select_reference_engine(precision: str) -> str:
    """Choose the engine that runs an ONNX file for a comparison.

    ONNX Runtime rounds where the graph says, so it is preferred. It has no bf16 convolutions on a
    CPU. OpenVINO has them, and is set to fp32.
    """
    installed = importlib.util.find_spec("onnxruntime") is not None
    return "onnxruntime" if installed and precision != "bf16" else "openvino"


def measure_parity(
    model: Path, network: nn.Module, image_set: ImageSet, metadata: ModelMetadata
) -> Parity:
    """Compare an exported model with PyTorch on the same images.

    The output of a uint8 model is compared with PyTorch's output converted by the C library.

    Args:
        model: ONNX file.
        network: PyTorch network in FP32.
        image_set: Images to compare on.
        metadata: Metadata of the model.
    """
    reference_engine = select_reference_engine(metadata.precision)
    same_size = len({image.shape for image in image_set.images}) == 1
    size = image_set.images[0].shape[:2] if same_size else (0, 0)
    count = min_batch(metadata)
    shape = BatchShape.from_metadata(metadata, size[0], size[1], count)
    feedback_mse: list[float] = []

    def pairs() -> Iterator[OutputPair]:
        with open_engine(model, shape, reference_engine, precision="fp32") as engine:
            tensors = image_set.to_tensors(metadata.in_channels)
            for image, tensor in zip(image_set.images, tensors, strict=True):
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
        parity,
        statistics_db=psnr_from_mse(max(feedback_mse), data_range=2) if feedback_mse else None,
    )


def compute_parity(
    pairs: Iterable[OutputPair], image_set: ImageSet, engine: str, reference: str = "PyTorch fp32"
) -> Parity:
    """Compute parity from pairs of outputs, (C, H, W) in [-1, 1].

    Args:
        pairs: Output of `engine` and of `reference` for each image.
        image_set: Images that the outputs belong to.
        engine: Name of the engine.
        reference: Name of what it is compared with.
    """
    errors, max_error, similarities = [], 0.0, []
    for out, expected in pairs:
        errors.append(_mse(out, expected))
        max_error = max(max_error, float(np.abs(out - expected).max()))
        similarities.append(ssim(out.transpose(1, 2, 0), expected.transpose(1, 2, 0), data_range=2))
    return Parity(
        psnr_db=psnr_from_mse(float(np.mean(errors)), data_range=2),
        psnr_worst_db=psnr_from_mse(max(errors), data_range=2),
        max_error=max_error,
        ssim=float(np.mean(similarities)),
        num_images=len(image_set.images),
        images_origin=image_set.origin,
        engine=engine,
        statistics_db=None,
        reference=reference,
    )


def min_batch(metadata: ModelMetadata) -> int:
    """Return the smallest batch that the model takes."""
    return metadata.profiles[0]["min"][0] if metadata.profiles else 1


def _pytorch_output(
    network: nn.Module, tensor: F32, metadata: ModelMetadata
) -> NDArray[np.float64]:
    """Return PyTorch's output, (C, H, W) in [-1, 1]."""
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
    """Return the engine's output with the shape of `expected`."""
    if batch.dtype == np.uint8:
        out = np.zeros((len(batch), *expected.shape[1:], expected.shape[0]), np.uint8)
    else:
        out = np.zeros((len(batch), *expected.shape), np.float32)
    statistics = (statistics_in, statistics_out) if statistics_in.size else ()
    engine.infer(batch, out, *statistics)
    # All images of the batch are the same; return the last.
    return _uint8_to_unit_range(out[-1]) if out.dtype == np.uint8 else out[-1].astype(np.float64)


def _uint8_to_unit_range(image: U8) -> NDArray[np.float64]:
    return image.transpose(2, 0, 1) / 127.5 - 1


def _mse(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.mean((a - b) ** 2))
