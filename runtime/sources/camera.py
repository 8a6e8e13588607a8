"""Camera and GStreamer sources by OpenCV."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingDependency, SourceError, UsageError
from ..image.geometry import format_size
from ..image.opencv import cv2
from ..image.preprocess import U8
from ..utils.log import mask_passwords, warn_user
from ..utils.uri import Uri
from .base import Frame, Packet, Source


class CaptureSource(Source):
    """Frames of a cv2.VideoCapture, timed by their arrival.

    Args:
        capture: The cv2.VideoCapture.
        name: The name of the source in messages.
        error_message: The text of the SourceError if no frame arrives.

    Raises:
        SourceError: No frame arrives.
    """

    live = True
    time_base = Fraction(1, 90000)

    def __init__(self, capture: Any, name: str, error_message: str) -> None:
        self.name = name
        self._capture = capture
        image = capture.read()[1] if capture.isOpened() else None
        if image is None:
            capture.release()
            raise SourceError(error_message)
        self.size = (image.shape[0], image.shape[1])
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(rate).limit_denominator(1001) if 1 <= rate <= 1000 else None

    def __iter__(self) -> Iterator[Frame | Packet]:
        start = time.perf_counter()
        while True:
            got, image = self._capture.read()
            if not got:
                raise SourceError(f"{self.name} stopped delivering frames")
            captured = time.perf_counter()
            ticks = round((captured - start) / float(self.time_base))
            yield Frame(partial(_to_rgb, image), ticks * self.time_base, capture_time=captured)

    def close(self) -> None:
        self._capture.release()


def _to_rgb(image: Any) -> U8:
    code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    pixels: U8 = cv2.cvtColor(image, code).astype(np.uint8, copy=False)
    return pixels


def open_camera(uri: Uri) -> CaptureSource:
    """Open a camera.

    The driver picks the nearest mode that it supports; cgt prints which one it is.

    Args:
        uri: `0`, `/dev/video0` or `v4l2:///dev/video0`, optionally with
            `?size=1280x720&fps=30&format=MJPG`.

    Raises:
        SourceError: The camera does not open or delivers no frame.
        UsageError: A parameter of `uri` is invalid.
    """
    uri.check_parameters(("size", "fps", "format"))
    size, rate, format = uri.get_size(), uri.get_frame_rate(), uri.query.get("format", "").upper()
    if format and len(format) != 4:
        raise UsageError(f"{uri.text}: format={format} is not four letters, such as MJPG or YUYV")
    device = uri.path or "0"
    name = f"camera {device}"
    number = device.removeprefix("/dev/video")
    if number.isdecimal():
        capture = cv2.VideoCapture(int(number))
    else:
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if format:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*format))
    if size:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
    if rate:
        capture.set(cv2.CAP_PROP_FPS, float(rate))
    source = CaptureSource(
        capture,
        name,
        f"{name} does not open; check that it is plugged in, not in use and readable by you",
    )
    source.files = (Path(f"/dev/video{number}" if number.isdecimal() else device),)
    if uri.query:
        assert source.size is not None
        code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        fps = f"{float(source.rate):g}" if source.rate else "an unknown number of"
        kind = code if code.isalnum() else "frames"
        warn_user(f"{name} delivers {format_size(source.size)} {kind} at {fps} frames/s")
    return source


_APPSINK = "videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=true sync=false"


def open_gstreamer(uri: Uri) -> CaptureSource:
    """Open a GStreamer pipeline or the CSI camera of a Jetson.

    Args:
        uri: `gst://PIPELINE`, to which an appsink is added if it has none, or
            `csi://0?size=1280x720&fps=30`.

    Raises:
        MissingDependency: OpenCV was built without GStreamer.
        SourceError: The pipeline delivers no frame.
        UsageError: `uri` is malformed.
    """
    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise MissingDependency(
            f"{uri.scheme}:// needs an OpenCV with GStreamer, unlike the one of PyPI; install the "
            "one of JetPack or of your distribution (python3-opencv) and create the environment "
            "with python3 -m venv --system-site-packages"
        )
    pipeline = _csi_pipeline(uri) if uri.scheme == "csi" else uri.text.partition("://")[2]
    if "appsink" not in pipeline:
        pipeline += f" ! {_APPSINK}"
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    return CaptureSource(
        capture,
        mask_passwords(uri.text),
        f"GStreamer delivers no frame; test the pipeline with: {_launch_command(pipeline)}",
    )


def _launch_command(pipeline: str) -> str:
    """Return the shell command that runs a pipeline; each word with `!` or () is quoted."""
    return f"gst-launch-1.0 {shlex.join(pipeline.split())}"


def _csi_pipeline(uri: Uri) -> str:
    uri.check_parameters(("size", "fps"))
    if not (uri.path or "0").isdecimal():
        raise UsageError(f"{uri.text} is not a camera; write csi://0")
    (height, width), rate = uri.get_size() or (720, 1280), uri.get_frame_rate() or Fraction(30)
    return (
        f"nvarguscamerasrc sensor-id={uri.path or 0} ! video/x-raw(memory:NVMM),format=NV12,"
        f"width={width},height={height},framerate={rate.numerator}/{rate.denominator} ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! {_APPSINK}"
    )
