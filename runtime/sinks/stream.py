"""Streaming sink for RTSP, RTMP, UDP and SRT, and for virtual cameras."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import av

from ..errors import SinkError, UsageError
from ..sources.base import ffmpeg_error_text
from ..utils.log import mask_passwords
from ..utils.pacer import Pacer
from .base import Encoding, StreamFormat, TranslatedFrame
from .codecs import RAW_VIDEO, select_codec
from .muxer import MuxedSink, Muxer

_CONTAINER_FORMATS = {
    "rtsp": "rtsp",
    "rtmp": "flv",
    "rtmps": "flv",
    "udp": "mpegts",
    "srt": "mpegts",
}
OUTPUT_SCHEMES = tuple(_CONTAINER_FORMATS)
_ALLOWED_CODECS = ("h264", "hevc")


class StreamSink(MuxedSink):
    """Real-time output to a network stream or a virtual camera.

    Frames of a recording are delayed to its own frame rate.

    Args:
        uri: `rtsp://`, `rtmp://`, `udp://` or `srt://` for encoded video, or `/dev/videoN` for raw
            frames to a virtual camera.
        stream: The format of the frames.
        codec: See `select_codec`; H.264 by default.

    Raises:
        SinkError: The stream or device cannot be opened.
        UsageError: Frame sizes differ, or the protocol does not support the codec.
    """

    def __init__(self, uri: str, stream: StreamFormat, codec: Encoding = None) -> None:
        if stream.size is None:
            raise UsageError(f"{uri} needs frames of one size; set it with --output-size 256x256")
        self.name, size = mask_passwords(uri), stream.size
        scheme = uri.partition("://")[0].lower()
        camera = scheme not in _CONTAINER_FORMATS
        if camera:
            _check_v4l2_device(uri)
            codec_settings = RAW_VIDEO
            # It has no color tags: its reader goes by the size.
            copied = replace(stream, other_streams=(), cover_art=(), color_space=None)
        else:
            allowed = _ALLOWED_CODECS[:1] if scheme.startswith("rtmp") else _ALLOWED_CODECS
            codec_settings = select_codec(codec, allowed, uri, size)
            copied = stream
        self._pacer = None if stream.live else Pacer()
        self._container: Any = None
        try:
            self._container = av.open(
                uri,
                "w",
                format="v4l2" if camera else _CONTAINER_FORMATS[scheme],
                options={"rtsp_transport": "tcp"} if scheme == "rtsp" else {},
            )
            self._muxer = Muxer(self._container, copied, codec_settings, live=True)
        except (av.FFmpegError, OSError, ValueError) as error:
            self.close()
            raise SinkError(f"cannot send to {uri}: {ffmpeg_error_text(error)}") from None

    @property
    def _is_open(self) -> bool:
        return self._container is not None

    def write(self, result: TranslatedFrame) -> None:
        if self._is_open and self._pacer is not None:
            self._pacer.wait(result.source_frame.time)
        super().write(result)

    def finish(self) -> None:
        if self._is_open:
            with self._handle_errors():
                self._muxer.finish()
            self._container = None

    def _handle_failure(self, error: Exception) -> SinkError:
        sent = self._muxer.frame_count
        self.close()
        return SinkError(f"{self.name} failed after {sent} frames: {ffmpeg_error_text(error)}")

    def close(self) -> None:
        if self._container is not None:
            with suppress(av.FFmpegError, OSError):
                self._container.close()
            self._container = None


def _check_v4l2_device(path: str) -> None:
    if not os.path.exists(path):  # noqa: PTH110
        raise SinkError(
            f"{path} is missing; create a virtual camera with: sudo modprobe v4l2loopback "
            f"video_nr={''.join(filter(str.isdecimal, path))} (package v4l2loopback-dkms)"
        )
