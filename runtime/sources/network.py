"""Streams from elsewhere: what FFmpeg has to be told of them."""

from __future__ import annotations

from ..uri import Uri
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
