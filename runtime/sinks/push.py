"""Sinks that are watched as they come: servers, sockets, virtual cameras."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import av

from ..errors import SinkError, UsageError
from ..pace import Pace
from .base import Result, StreamFormat
from .encoding import RAW, choose
from .muxed import MuxedSink, reason
from .muxer import Muxer

_FORMATS = {"rtsp": "rtsp", "rtmp": "flv", "rtmps": "flv", "udp": "mpegts", "srt": "mpegts"}
SCHEMES = tuple(_FORMATS)
_HOLDS = ("h264", "hevc")


class PushSink(MuxedSink):
    """H.264 to `rtsp://`, `rtmp://`, `udp://` or `srt://`, or bare pictures into a virtual camera
    `/dev/videoN`, in real time: a recording is held back to its own pace."""

    def __init__(self, uri: str, stream: StreamFormat, codec: str | None = None) -> None:
        if stream.size is None:
            raise UsageError(f"{uri} needs pictures of one size; give it with --size 256x256")
        self.name = uri
        scheme = uri.partition("://")[0].lower()
        camera = scheme not in _FORMATS
        if camera:
            _check_device(uri)
            encoding, others = RAW, ()
        else:
            holds = _HOLDS[:1] if scheme.startswith("rtmp") else _HOLDS
            encoding, others = choose(codec, holds, uri, stream.size), stream.others
        self._pace = None if stream.live else Pace()
        self._container: Any = None
        try:
            self._container = av.open(
                uri,
                "w",
                format="v4l2" if camera else _FORMATS[scheme],
                options={"rtsp_transport": "tcp"} if scheme == "rtsp" else {},
            )
            self._muxer = Muxer(
                self._container, replace(stream, others=others), encoding, live=True
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            self.close()
            raise SinkError(f"cannot send to {uri}: {reason(error)}") from None

    @property
    def _open(self) -> bool:
        return self._container is not None

    def write(self, result: Result) -> None:
        if self._open and self._pace is not None:
            self._pace.wait(result.frame.time)
        super().write(result)

    def finish(self) -> None:
        if self._open:
            with self._guarded():
                self._muxer.finish()
            self._container = None

    def _failed(self, error: Exception) -> SinkError:
        sent = self._muxer.pictures
        self.close()
        return SinkError(f"{self.name} is gone after {sent} frames: {reason(error)}")

    def close(self) -> None:
        if self._container is not None:
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            self._container = None


def _check_device(path: str) -> None:
    if not os.path.exists(path):  # noqa: PTH110
        raise SinkError(
            f"{path} is missing; a virtual camera is made by: sudo modprobe v4l2loopback "
            f"video_nr={''.join(filter(str.isdecimal, path))} (package v4l2loopback-dkms)"
        )
