"""Streams from elsewhere: what FFmpeg has to be told of them."""

from __future__ import annotations

from ..uri import Uri
from .video import Input

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "srt", "tcp", "rtmp", "rtmps")
_SILENCE = 5.0  # seconds; a stream that gives nothing for so long is lost


def network_input(uri: Uri) -> Input:
    """A live stream, or over http(s) also a recording."""
    options = {}
    if uri.scheme in ("rtsp", "rtsps"):
        options = {"rtsp_transport": "tcp"}  # complete pictures; UDP loses parts of them
    live = None if uri.scheme in ("http", "https") else True
    return Input(uri.text, uri.text, None, options, _SILENCE, live)
