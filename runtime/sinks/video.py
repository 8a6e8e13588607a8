"""Video files: H.264 with the source's sound, by PyAV."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from ..errors import SinkError, UsageError
from ..files import temporary_beside
from ..preprocess import U8
from ..sources import Packet
from .base import Result, Sink, StreamFormat

SUFFIXES = (".mp4", ".mkv", ".mov")
_CODEC = "libx264"
# Visually clean, and fast enough to share two cores with a network.
_OPTIONS = {"preset": "veryfast", "crf": "20"}


class VideoSink(Sink):
    """Writes beside the name it will have, and takes the name when finished."""

    def __init__(self, path: Path, stream: StreamFormat) -> None:
        if stream.size is None:
            raise UsageError(f"{path} needs pictures of one size; give it with --size 256x256")
        self._path = path
        self._height, self._width = stream.size
        try:
            self._temporary: Path | None = temporary_beside(path)
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None
        try:
            options = {} if path.suffix == ".mkv" else {"movflags": "+faststart"}
            self._container = av.open(str(self._temporary), "w", options=options)
            self._add_video(stream)
            self._add_others(stream)
        except av.FFmpegError as error:
            self.close()
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def _add_video(self, stream: StreamFormat) -> None:
        rate = stream.rate or Fraction(25)
        video = self._container.add_stream(_CODEC, rate=rate, options=dict(_OPTIONS))
        assert isinstance(video, av.VideoStream)
        self._video = video
        self._time_base = stream.time_base or 1 / rate
        self._frame_ticks = max(1, round(1 / rate / self._time_base))
        self._last_pts: int | None = None
        context = video.codec_context
        context.pix_fmt = "yuv420p"
        # 4:2:0 stores colour for 2x2 pixels: odd sides repeat their last row or column.
        context.width, context.height = (
            self._width + self._width % 2,
            self._height + self._height % 2,
        )
        context.time_base = self._time_base
        context.sample_aspect_ratio = stream.aspect.limit_denominator(32767)
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709

    def _add_others(self, stream: StreamFormat) -> None:
        self._others: list[av.stream.Stream | None] = []
        notes = []
        for other in stream.others:
            codec = other.codec_context.name if other.codec_context else "unknown"
            if codec in self._container.supported_codecs:
                self._others.append(self._container.add_stream_from_template(other))
            else:
                self._others.append(None)
                notes.append(f"{self._path.suffix} cannot hold {codec} sound: left out")
        self.notes = tuple(notes)

    def write(self, result: Result) -> None:
        frame = av.VideoFrame.from_ndarray(self._even(result.image), format="rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        pts = round(result.frame.time / self._time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # players and encoders want time to move on
        frame.pts, frame.time_base, frame.duration = pts, self._time_base, self._frame_ticks
        self._last_pts = pts
        self._mux(frame)

    def _even(self, image: U8) -> U8:
        height, width, _ = image.shape
        if height % 2 == 0 and width % 2 == 0:
            return image
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._video.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None

    def pass_through(self, packet: Packet) -> None:
        stream = self._others[packet.stream]
        if stream is None:
            return
        packet.packet.stream = stream
        try:
            self._container.mux(packet.packet)
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None

    def finish(self) -> None:
        assert self._temporary is not None
        if self._last_pts is None:
            raise SinkError(f"nothing to write to {self._path}: no frame came")
        self._mux(None)
        try:
            self._container.close()
            with open(self._temporary, "rb") as written:
                os.fsync(written.fileno())
            self._temporary.replace(self._path)
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None
        self._temporary = None

    def close(self) -> None:
        if self._temporary is None:
            return
        try:
            if hasattr(self, "_container"):
                self._container.close()
        except (av.FFmpegError, OSError):
            pass  # it is thrown away in any case
        self._temporary.unlink(missing_ok=True)
        self._temporary = None
