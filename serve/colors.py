"""Which RGB a client meant by its YUV: the one that gives the chart of the strip its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame

from cgt.runtime.preprocess import U8

from .stamp import STRIP, chart_error

_MEANINGS = [(matrix, span) for matrix in ("ITU601", "ITU709") for span in ("MPEG", "JPEG")]


class Colors:
    """Converts the frames of one client, all in the way that suits the chart of the first."""

    def __init__(self) -> None:
        self._meaning: tuple[str, str] | None = None

    def __call__(self, frame: VideoFrame) -> U8:
        """uint8 HWC RGB."""
        if self._meaning is None and frame.height > STRIP and frame.width >= 2 * STRIP:
            self._meaning = min(_MEANINGS, key=lambda each: chart_error(_rgb(frame, *each)))
        return _rgb(frame, *(self._meaning or _MEANINGS[0]))


def _rgb(frame: VideoFrame, matrix: str, span: str) -> U8:
    converted = frame.reformat(format="rgb24", src_colorspace=matrix, src_color_range=span)
    pixels: Any = converted.to_ndarray()
    return np.asarray(pixels, np.uint8)
