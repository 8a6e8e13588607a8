"""A real browser on the page, with a clip as its camera."""

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
from cgt.runtime.image.opencv import cv2
from cgt.runtime.image.preprocess import U8

CAMERA_SIZE = (240, 320)  # of the camera
CAMERA_FRAMES = 90  # of its clip, which it plays again and again


def camera_frame(number: int) -> U8:
    """What the camera shows, uint8 HWC RGB, with its number in the lowest eighth."""
    return numbered_frame(number, CAMERA_SIZE)


@contextmanager
def open_browser(
    camera: Path | None = None, camera_allowed: bool = True, *extra_flags: str
) -> Iterator[Any]:
    """See `chromium`; where it is missing the test is skipped."""
    try:
        with launch_chromium(camera, camera_allowed, *extra_flags) as started:
            yield started
    except MissingDependency as missing:
        pytest.skip(str(missing))


def read_pixels(page: Any, selector: str = "#picture") -> U8:
    """What a canvas or a video shows, uint8 HWC RGB."""
    url = page.evaluate(
        """(selector) => {
            const shown = document.querySelector(selector);
            const canvas = document.createElement("canvas");
            canvas.width = shown.videoWidth ?? shown.width;
            canvas.height = shown.videoHeight ?? shown.height;
            canvas.getContext("2d").drawImage(shown, 0, 0);
            return canvas.toDataURL("image/png");
        }""",
        selector,
    )
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


def psnr(one: U8, other: U8) -> float:
    """Decibels between two pictures, the second scaled to the first's size."""
    other = resize(other, one.shape[:2])
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def wait_until(page: Any, script: str, seconds: float = 30) -> None:
    """Wait until a function of JavaScript gives something true. (The page's own security policy
    forbids what Playwright would do.)"""
    deadline = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"never: {script}"
        page.wait_for_timeout(20)


def wait_for_frames(page: Any, frames: int = 10) -> None:
    """Wait for so many frames on the screen."""
    wait_until(page, f"async () => (await import('./js/main.js')).app.stats.shown >= {frames}")
