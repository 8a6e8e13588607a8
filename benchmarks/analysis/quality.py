"""How far an engine's pictures are from fp32's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgt.runtime.engines import open_engine, read_model_metadata
from cgt.runtime.errors import SourceError
from cgt.runtime.image.preprocess import F32, pack
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sources import Frame, open_source

from ..harness.inputs import ModelInputs
from ..harness.session import BenchmarkJob

NUM_IMAGES = 8


def load_images(uri: str | None, job: BenchmarkJob) -> F32:
    """N,3,H,W float32 in [-1, 1] as the job's model is given it: frames spread over a source, by
    default over the sample clip. Raises SourceError, and MissingDependency without a clip."""
    filter = read_model_metadata(job.model).filter
    images: list[F32] = []
    with open_source(uri or str(sample_clip()), audio=False) as source:
        stride = max(1, (source.frame_count or 1) // NUM_IMAGES)
        frames = (item for item in source if isinstance(item, Frame))
        for index, frame in enumerate(frames):
            if index % stride == stride // 2:
                images.append(pack(frame.image, job.size, filter))
            if len(images) == NUM_IMAGES:
                break
    if not images:
        raise SourceError(f"{uri} has no frame to compare on")
    return np.stack(images)


def translate_all(job: BenchmarkJob, images: F32) -> F32:
    """One by one. Raises the errors of `open_engine`."""
    inputs = ModelInputs(job.model, job.size)
    precision = "fp32" if job.precision == "fp32" else None
    with open_engine(job.model, inputs.shape, job.engine, "latency", precision) as engine:
        return inputs.translate(engine, images)


def translate_fp32(model: Path, job: BenchmarkJob, images: F32) -> F32:
    """The pictures in fp32: `model`, by OpenVINO or what else there is, kept in fp32."""
    return translate_all(BenchmarkJob(model, job.size, "auto", "fp32"), images)


def psnr(images: F32, reference: F32) -> float:
    """Decibels over [-1, 1] (peak to peak 2), of the mean squared error over all pictures; equal
    ones give 200, ones with values that are no numbers 0."""
    error = float(np.mean((images.astype(np.float64) - reference) ** 2))
    return float(10 * np.log10(4 / max(error, 4e-20))) if np.isfinite(error) else 0.0
