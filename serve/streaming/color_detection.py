"""Which RGB a client meant by its YUV: the one that gives the chart of the strip its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame

from cgt.runtime.image.preprocess import U8

from .timestamp import STRIP_HEIGHT_PX, color_chart_error

_YUV_VARIANTS = [(matrix, span) for matrix in ("ITU601", "ITU709") for span in ("MPEG", "JPEG")]


class YuvToRgbConverter:
    """Converts the frames of one client, all in the way that suits the chart of the first."""

    def __init__(self) -> None:
        self._variant: tuple[str, str] | None = None

    def __call__(self, frame: VideoFrame) -> U8:
        """uint8 HWC RGB."""
        if (
            self._variant is None
            and frame.height > STRIP_HEIGHT_PX
            and frame.width >= 2 * STRIP_HEIGHT_PX
        ):
            self._variant = min(
                _YUV_VARIANTS, key=lambda each: color_chart_error(_to_rgb(frame, *each))
            )
        return _to_rgb(frame, *(self._variant or _YUV_VARIANTS[0]))


def _to_rgb(frame: VideoFrame, matrix: str, color_range: str) -> U8:
    converted = frame.reformat(format="rgb24", src_colorspace=matrix, src_color_range=color_range)
    pixels: Any = converted.to_ndarray()
    return np.asarray(pixels, np.uint8)
