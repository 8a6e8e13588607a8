"""Helpers for tests of the page in a real browser, with a video clip as its camera."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.chromium import launch_chromium, numbered_frame

from cgt.runtime import resize
from cgt.runtime.errors import MissingDependency
from cgt.runtime.image import metrics
from cgt.runtime.image.opencv import cv2
from cgt.runtime.image.preprocess import U8

CAMERA_SIZE = (240, 320)  # (height, width)
CAMERA_FRAMES = 90  # frames of the clip, which plays in a loop


def camera_frame(number: int) -> U8:
    """Return a frame of the camera (uint8 HWC RGB) with its number in the lowest eighth."""
    return numbered_frame(number, CAMERA_SIZE)


@contextmanager
def open_browser(
    camera: Path | None = None, camera_allowed: bool = True, *extra_flags: str
) -> Iterator[Any]:
    """Launch Chromium, see `launch_chromium`; skip the test if it is not installed."""
    try:
        with launch_chromium(camera, camera_allowed, *extra_flags) as chromium:
            yield chromium
    except MissingDependency as missing:
        pytest.skip(str(missing))


def read_pixels(page: Any, selector: str = "#canvas") -> U8:
    """Return the pixels of a canvas or a video element, uint8 HWC RGB."""
    url = page.evaluate(
        """(selector) => {
            const element = document.querySelector(selector);
            const canvas = document.createElement("canvas");
            canvas.width = element.videoWidth ?? element.width;
            canvas.height = element.videoHeight ?? element.height;
            canvas.getContext("2d").drawImage(element, 0, 0);
            return canvas.toDataURL("image/png");
        }""",
        selector,
    )
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def psnr(image: U8, other: U8) -> float:
    """Return the PSNR in dB of two images, the second resized to the size of the first."""
    return metrics.psnr(image, resize(other, image.shape[:2]))


def wait_until(page: Any, script: str, seconds: float = 90) -> None:
    """Wait until a JavaScript function returns a true value.

    Playwright's own wait_for_function is blocked by the security policy of the page.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"timeout: {script}"
        page.wait_for_timeout(20)


def wait_for_frames(page: Any, frames: int = 10) -> None:
    """Wait until the page has shown a number of frames."""
    wait_until(page, f"async () => (await import('./js/main.js')).app.stats.shown >= {frames}")
