"""Video through a pipe."""

from __future__ import annotations

import os
import select

from ..errors import UsageError
from ..stopping import stop_requested
from ..uri import Uri
from .video import FFmpegInput


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
