"""Cameras, by OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..errors import SourceError
from ..opencv import cv2
from .base import Frame, Packet, Source


class CameraSource(Source):
    """A camera by number. Its frames carry the time of their arrival."""

    live = True
    time_base = Fraction(1, 90000)

    def __init__(self, number: int) -> None:
        self.name = f"camera {number}"
        self._capture = cv2.VideoCapture(number)
        image = self._capture.read()[1] if self._capture.isOpened() else None
        if image is None:
            self._capture.release()
            raise SourceError(
                f"camera {number} does not open; is it plugged in, free, and readable by you?"
            )
        self.size = (image.shape[0], image.shape[1])
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else None

    def __iter__(self) -> Iterator[Frame | Packet]:
        start = time.perf_counter()
        while True:
            got, image = self._capture.read()
            if not got:
                raise SourceError(f"{self.name} stopped giving frames")
            captured = time.perf_counter()
            ticks = round((captured - start) / float(self.time_base))
            rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
            yield Frame(rgb, ticks * self.time_base, captured=captured)

    def close(self) -> None:
        self._capture.release()
