"""Video through a pipe.

Streams from elsewhere: what FFmpeg has to be told of them.
"""

from __future__ import annotations

import os
import select

from ..errors import UsageError
from ..utils.signals import stop_requested
from ..utils.uri import Uri
from .video import FFmpegInput

INPUT_SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "srt", "tcp", "rtmp", "rtmps")
_READ_TIMEOUT_S = 5.0  # seconds; a stream that gives nothing for so long is lost


def network_input(uri: Uri) -> FFmpegInput:
    """A live stream, or over http(s) also a recording."""
    options = {}
    if uri.scheme in ("rtsp", "rtsps"):
        options = {"rtsp_transport": "tcp"}  # complete pictures; UDP loses parts of them
    live = None if uri.scheme in ("http", "https") else True
    return FFmpegInput(uri.text, uri.text, None, options, _READ_TIMEOUT_S, live)


class _StdinReader:
    """Standard input as PyAV reads it; a signal that asks to stop ends it."""

    name = "standard input"

    def read(self, size: int) -> bytes:
        while not stop_requested():
            if select.select([0], [], [], 0.2)[0]:
                return os.read(0, size)
        return b""


def stdin_input(uri: Uri) -> FFmpegInput:
    """`-` is what FFmpeg recognises (Matroska, MPEG-TS, y4m, motion JPEG ...);
    `pipe://?size=640x480&fps=30&format=rgb24` are bare frames, format being FFmpeg's name of their
    pixels, and `pipe://?format=mjpeg` any stream by FFmpeg's name of its format."""
    uri.check_parameters(("size", "fps", "format", "live"))
    options = {}
    rate, size, format = uri.get_frame_rate(), uri.get_size(), uri.query.get("format")
    if os.isatty(0):
        raise UsageError("- reads video from a pipe: ffmpeg ... -f matroska - | cgt translate -")
    if rate is not None:
        options["framerate"] = str(rate)
    if size is not None:
        options |= {"video_size": f"{size[1]}x{size[0]}", "pixel_format": format or "rgb24"}
        format = "rawvideo"
    return FFmpegInput(
        _StdinReader(), _StdinReader.name, format, options, live=uri.get_bool("live", False)
    )
