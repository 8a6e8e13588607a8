"""Streams from elsewhere, and the screen: what FFmpeg has to be told of them."""

from __future__ import annotations

import os

from ..errors import UsageError
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


def screen_input(uri: Uri) -> Input:
    """`screen://` or `screen://:1.0`, with `?size=1280x720&fps=30`: an X11 display."""
    uri.only(("size", "fps"))
    display = uri.rest or os.environ.get("DISPLAY", "")
    if not display:
        raise UsageError("screen:// needs an X display; set DISPLAY or write screen://:0")
    options = {"framerate": str(uri.rate() or 30)}
    if (size := uri.size()) is not None:
        options["video_size"] = f"{size[1]}x{size[0]}"
    return Input(display, uri.text, "x11grab", options, _SILENCE, live=True)
