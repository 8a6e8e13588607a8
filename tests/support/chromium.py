"""Headless Chromium with a clip as its camera, driven by Playwright."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from cgt.runtime.errors import MissingDependency
from cgt.runtime.image.preprocess import U8
from cgt.runtime.sources.test_pattern import PatternSource
from cgt.runtime.utils.uri import parse_uri

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CAMERA_FPS = 30

_CHROMIUM_FLAGS = (
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--no-sandbox",  # the sandbox does not work for root in a container
)
_CONTAINERS = {".y4m": ("yuv4mpegpipe", "wrapped_avframe"), ".webm": ("webm", "libvpx")}


def numbered_frame(number: int, size: tuple[int, int]) -> U8:
    """Return a camera frame with its number drawn in it, uint8 HWC RGB of (height, width)."""
    height, width = size
    return PatternSource(parse_uri(f"test://?size={width}x{height}&fps={CAMERA_FPS}")).draw_frame(
        number
    )


def write_camera_clip(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write the camera's first frames as .y4m, which Chromium accepts as a camera, or .webm."""
    kind, codec = _CONTAINERS[path.suffix]
    options = {"b": "2M", "deadline": "realtime"} if kind == "webm" else {}
    with av.open(str(path), "w", format=kind) as out:
        video: Any = out.add_stream(codec, rate=Fraction(CAMERA_FPS), options=options)
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, size), format="rgb24")
            out.mux(video.encode(frame.reformat(format="yuv420p")))
        out.mux(video.encode(None))
    return path


@contextmanager
def launch_chromium(
    camera: Path | None = None, camera_allowed: bool = True, *extra_flags: str
) -> Iterator[Browser]:
    """Yield a browser.

    Args:
        camera: Clip that the camera repeats.
        camera_allowed: Allow the camera without a prompt; otherwise deny it.
        extra_flags: Further flags of Chromium.

    Raises:
        MissingDependency: Chromium or Playwright is not installed.
    """
    program = shutil.which("chromium")
    if not program:
        raise MissingDependency("chromium is not installed: apt-get install chromium")
    if importlib.util.find_spec("playwright") is None:
        raise MissingDependency("playwright is not installed: pip install playwright")
    from playwright.sync_api import sync_playwright

    flags = [*_CHROMIUM_FLAGS, *extra_flags]
    flags.append(
        f"--{'use-fake-ui' if camera_allowed else 'deny-permission-prompts'}-for-media-stream"
    )
    if camera is not None:
        flags.append(f"--use-file-for-fake-video-capture={camera}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()
