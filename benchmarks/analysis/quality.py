"""Image quality of an engine: PSNR of its outputs against fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.engines import open_engine, read_model_metadata
from cgt.runtime.errors import SourceError
from cgt.runtime.image.channels import convert_channels
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.runtime.image.preprocess import F32, pack
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sources import Frame, open_source

from ..harness.inputs import ModelInputs
from ..harness.session import BenchmarkJob

NUM_IMAGES = 8


def load_images(uri: str | None, job: BenchmarkJob) -> F32:
    """Return evaluation images as float32 (N, C, H, W) in [-1, 1], packed for the job's model.

    Args:
        uri: Source of the frames, sampled evenly; None is the sample clip.
        job: Gives the model and the size.

    Raises:
        SourceError: The source has no frame.
        MissingDependency: `uri` is None and the sample clip is not installed.
    """
    metadata = read_model_metadata(job.model, job.model_format)
    images: list[F32] = []
    with open_source(uri or str(sample_clip()), audio=False) as source:
        stride = max(1, (source.frame_count or 1) // NUM_IMAGES)
        frames = (item for item in source if isinstance(item, Frame))
        for index, frame in enumerate(frames):
            if index % stride == stride // 2:
                pixels = convert_channels(frame.image, metadata.in_channels)
                images.append(pack(pixels, job.size, metadata.filter))
            if len(images) == NUM_IMAGES:
                break
    if not images:
        raise SourceError(f"{uri} has no frames to compare on")
    return np.stack(images)


def translate_all(job: BenchmarkJob, images: F32) -> F32:
    """Translate images one by one. Raises the errors of `open_engine`."""
    inputs = ModelInputs(job.model, job.size, model_format=job.model_format)
    precision = "fp32" if job.precision == "fp32" else None
    with open_engine(job.model, inputs.shape, job.engine, "latency", precision) as engine:
        return inputs.translate(engine, images)


def translate_fp32(model: Path, job: BenchmarkJob, images: F32) -> F32:
    """Translate images with `model` in fp32, by the fastest engine that can compute it."""
    fp32_job = BenchmarkJob(model, job.size, "auto", "fp32", model_format=job.model_format)
    return translate_all(fp32_job, images)


def psnr(images: F32, reference: F32) -> float:
    """Return the PSNR in dB over [-1, 1] (peak to peak 2), from the error of all images.

    Equal images give 200 dB, images with NaN or infinity 0 dB.
    """
    return psnr_from_mse(float(np.mean((images.astype(np.float64) - reference) ** 2)), data_range=2)
