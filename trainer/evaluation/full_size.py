"""Comparison of upsampled translations with the network at the size of the images.

A network that runs at its own size is fast, and sees images like those of its training. This module
measures how close each method of upsampling then comes to the same network at the full size. It
needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.geometry import plan_geometry
from cgt.runtime.image.metrics import psnr, ssim
from cgt.runtime.image.preprocess import U8
from cgt.runtime.inference.optical_flow import WarpingErrorMeter
from cgt.runtime.inference.translator import Translator, resolve_model
from cgt.runtime.models.metadata import Upsampling
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils.progress import progress_bar

METHODS: tuple[Upsampling, ...] = ("bicubic", "detail", "guided")


def gradient_energy(image: U8) -> float:
    """Return the mean absolute difference of neighboring pixels of an image's mean over channels.

    It measures how much fine structure an image has, in levels of 255.
    """
    gray = image.astype(np.float32).mean(2)
    return float(sum(np.abs(np.diff(gray, axis=axis)).mean() for axis in (0, 1)))


class FullSizeComparison:
    """Measurements of upsampled translations against the network at full size.

    Args:
        model: model file, or the name of a bundled model.

    Raises:
        UsageError: the model takes one size only.
        ModelError: the file is not a model.
    """

    def __init__(self, model: str | Path) -> None:
        self._metadata = read_model_metadata(resolve_model(model))
        if not self._metadata.dynamic:
            raise UsageError(f"{model} takes one size only; export it with a range of sizes")
        self._full = Translator(model, size="source")
        self._translators = {
            method: Translator(model, engine=self._full.engine, upsampling=method)
            for method in METHODS
        }
        self._values: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}

    @property
    def count(self) -> int:
        """Number of measured images."""
        return len(self._values["bicubic"])

    def is_upsampled(self, image: U8) -> bool:
        """Return whether the network's own size is smaller than this image."""
        size = image.shape[0], image.shape[1]
        return plan_geometry(size, self._metadata).image_size != size

    def measure(self, image: U8) -> dict[str, U8]:
        """Translate and compare an image, uint8 HWC RGB; return the translations.

        The key "full" has the translation at full size, the other keys are METHODS.
        """
        full = self._full(image)
        energy = gradient_energy(full)
        results = {"full": full}
        for method, translator in self._translators.items():
            result = results[method] = translator(image)
            values = {"psnr": psnr(result, full), "ssim": ssim(result, full)}
            values["gradient"] = gradient_energy(result) / energy if energy else 1.0
            self._values[method].append(values)
        return results

    def measure_video(self, frames: Iterable[U8]) -> dict[str, float]:
        """Compare consecutive frames, and return the warping error of each kind of output.

        See `cgt.runtime.inference.optical_flow`. The key "input" has that of the frames themselves.
        """
        meters = {name: WarpingErrorMeter() for name in ("input", "full", *METHODS)}
        for frame in frames:
            for name, result in {"input": frame, **self.measure(frame)}.items():
                meters[name].update(frame, result)
        return {name: meter.mean for name, meter in meters.items()}

    def report(self) -> dict[str, Any]:
        """Return the means over all measured images by method, and the lowest PSNR gain.

        "psnr_gain_worst" is the lowest difference to the PSNR of "bicubic" of the same image.
        """
        report: dict[str, Any] = {"count": self.count, "methods": {}}
        reference = np.array([values["psnr"] for values in self._values["bicubic"]])
        for method, values in self._values.items():
            columns = {key: np.array([each[key] for each in values]) for key in values[0]}
            report["methods"][method] = {key: float(c.mean()) for key, c in columns.items()}
            gain = float((columns["psnr"] - reference).min())
            report["methods"][method]["psnr_gain_worst"] = gain
        return report

    def close(self) -> None:
        """Free the engine."""
        self._full.close()


def compare_with_full_size(
    model: str | Path,
    data: Path | None = None,
    video: Path | str | None = None,
    *,
    max_images: int | None = None,
    frames: int = 100,
) -> dict[str, Any]:
    """Compare upsampled translations with the network at full size.

    Args:
        model: model file, or the name of a bundled model.
        data: folder of images. Images that the network does not reduce are left out.
        video: a source of video.
        max_images: maximum number of images; by default all.
        frames: maximum number of frames.

    Returns:
        A report in plain JSON types: "images" and "video", each as `FullSizeComparison.report`; the
        latter with "warping_error" by kind of output.

    Raises:
        DataError: no image is larger than the network.
        UsageError: there is nothing to compare, or the model takes one size only.
    """
    if data is None and video is None:
        raise UsageError("give --data with a folder of images, or --video")
    report: dict[str, Any] = {"model": str(model)}
    with progress_bar("comparing", None, unit="image") as bar:
        if data is not None:
            comparison = FullSizeComparison(model)
            for image in islice(_read_images(data, comparison), max_images):
                comparison.measure(image)
                bar.advance()
            report["images"] = _report_of(comparison, data)
        if video is not None:
            comparison = FullSizeComparison(model)

            def shown() -> Iterator[U8]:
                for image in islice(_read_frames(video, comparison), frames):
                    yield image
                    bar.advance()

            errors = comparison.measure_video(shown())
            report["video"] = _report_of(comparison, video) | {"warping_error": errors}
    return report


def _report_of(comparison: FullSizeComparison, path: Path | str) -> dict[str, Any]:
    comparison.close()
    if comparison.count == 0:
        raise DataError(f"{path} has nothing that is larger than the network's own size")
    return {"path": str(path)} | comparison.report()


def _read_images(folder: Path, comparison: FullSizeComparison) -> Iterator[U8]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of images")
    for path in list_images(folder):
        image = read_image(path)
        if image is not None and comparison.is_upsampled(image):
            yield image


def _read_frames(video: Path | str, comparison: FullSizeComparison) -> Iterator[U8]:
    with open_source(str(video), audio=False) as source:
        for item in source:
            if isinstance(item, Frame) and comparison.is_upsampled(item.image):
                yield item.image
