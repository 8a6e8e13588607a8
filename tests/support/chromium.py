"""A real browser with a clip as its camera: Debian's Chromium, headless, driven by Playwright."""

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

CAMERA_FPS = 30  # of the camera

_CHROMIUM_FLAGS = (
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--no-sandbox",  # which does not work for root in a container
)
_CONTAINERS = {".y4m": ("yuv4mpegpipe", "wrapped_avframe"), ".webm": ("webm", "libvpx")}


def numbered_frame(number: int, size: tuple[int, int]) -> U8:
    """What the camera shows: uint8 HWC RGB of (height, width), with its number drawn in it."""
    height, width = size
    return PatternSource(parse_uri(f"test://?size={width}x{height}&fps={CAMERA_FPS}")).draw_frame(
        number
    )


def write_camera_clip(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """The camera's first frames as a video, its kind by the suffix: .y4m (which a browser takes
    for a camera) or .webm."""
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
    """camera: a clip that plays again and again; allowed: whether pages get it without asking;
    more: flags. Raises MissingDependency."""
    found = shutil.which("chromium")
    if not found:
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
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        try:
            yield browser
        finally:
            browser.close()
