"""Detection of the YUV color space of a client, by the color chart in its timestamp strip.

Browsers do not report which YUV conversion they apply to a canvas. The right variant is the one
that gives the chart its known colors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame

from cgt.runtime.image.preprocess import U8

from .timestamp import STRIP_HEIGHT_PX, color_chart_error

_YUV_VARIANTS = [
    (matrix, color_range) for matrix in ("ITU601", "ITU709") for color_range in ("MPEG", "JPEG")
]


class YuvToRgbConverter:
    """Converter of one client's frames to RGB. The first frame determines the YUV variant."""

    def __init__(self) -> None:
        self._variant: tuple[str, str] | None = None

    def __call__(self, frame: VideoFrame) -> U8:
        """Return the frame as uint8 HWC RGB."""
        if (
            self._variant is None
            and frame.height > STRIP_HEIGHT_PX
            and frame.width >= 2 * STRIP_HEIGHT_PX
        ):
            self._variant = min(
                _YUV_VARIANTS, key=lambda variant: color_chart_error(_to_rgb(frame, *variant))
            )
        return _to_rgb(frame, *(self._variant or _YUV_VARIANTS[0]))


def _to_rgb(frame: VideoFrame, matrix: str, color_range: str) -> U8:
    converted = frame.reformat(format="rgb24", src_colorspace=matrix, src_color_range=color_range)
    pixels: Any = converted.to_ndarray()
    return np.asarray(pixels, np.uint8)
