"""FFmpeg input options of network streams and of video on standard input."""

from __future__ import annotations

import os
import select
from pathlib import Path

from ..errors import UsageError
from ..image.geometry import format_size
from ..utils.log import mask_passwords
from ..utils.signals import stop_requested
from ..utils.uri import Uri
from .video import FFmpegInput

INPUT_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "srt", "tcp", "rtmp", "rtmps")
_READ_TIMEOUT_S = 5.0  # a stream that sends nothing for so long counts as lost


def network_input(uri: Uri) -> FFmpegInput:
    """Return the input of a network stream; http(s) may also be a recording."""
    options = {}
    if uri.scheme in ("rtsp", "rtsps"):
        options = {"rtsp_transport": "tcp"}  # UDP loses parts of frames
    live = None if uri.scheme in ("http", "https") else True
    name = mask_passwords(uri.text)
    return FFmpegInput(uri.text, name, None, options, _READ_TIMEOUT_S, live)


class _StdinReader:
    """Standard input as a PyAV file object, which ends at a stop signal."""

    name = "standard input"

    def read(self, size: int) -> bytes:
        while not stop_requested():
            if select.select([0], [], [], 0.2)[0]:
                return os.read(0, size)
        return b""


def stdin_input(uri: Uri) -> FFmpegInput:
    """Return the input of video on standard input.

    Args:
        uri: `-` for a format that FFmpeg detects (Matroska, MPEG-TS, y4m, motion JPEG ...),
            `pipe://?size=640x480&fps=30&format=rgb24` for raw frames in an FFmpeg pixel format, or
            `pipe://?format=mjpeg` for any other FFmpeg format.

    Raises:
        UsageError: Standard input is a terminal, or a parameter of `uri` is invalid.
    """
    uri.check_parameters(("size", "fps", "format", "live"))
    options = {}
    rate, size, format = uri.get_frame_rate(), uri.get_size(), uri.query.get("format")
    if os.isatty(0):
        raise UsageError("- reads video from a pipe: ffmpeg ... -f matroska - | cgt translate -")
    if rate is not None:
        options["framerate"] = str(rate)
    if size is not None:
        options |= {"video_size": format_size(size), "pixel_format": format or "rgb24"}
        format = "rawvideo"
    return FFmpegInput(
        _StdinReader(),
        _StdinReader.name,
        format,
        options,
        live=uri.get_bool("live", False),
        path=Path("/dev/stdin"),
    )
