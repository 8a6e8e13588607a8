"""Pictures to encoded packets."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from ..preprocess import U8
from ..sources import Color
from .base import Result, StreamFormat
from .encoding import Encoding
from .scheduling import usual_scheduling

# FFmpeg converts to these matrices; what comes with another is written as BT.709.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # H.273 to swscale's numbers
# The same on every machine, because what x264, x265 and libvpx write depends on it. By frames: by
# slices, FFmpeg's other way, the same quality takes 2 to 5 % more bytes.
_THREADS = 4
os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 greets on stderr each time it is opened


class VideoEncoder:
    """Begins anew at each cut (`Frame.cut`), so that what comes after it does not depend on what
    came before: pieces of a film that are encoded apart are those that one run would have made.

    context: of the stream in a container, for the first piece; one of its own by default.
    headers: parameters stand in `extradata`, as all containers but MPEG-TS want them.
    live: no frame waits in the encoder for the next. Methods raise PyAV's errors.
    """

    def __init__(
        self,
        stream: StreamFormat,
        encoding: Encoding,
        context: av.VideoCodecContext | None = None,
        *,
        headers: bool = False,
        live: bool = False,
    ) -> None:
        self._stream, self._encoding = stream, encoding
        self._headers, self._live = headers, live
        self._rate = stream.rate or Fraction(25)
        self.time_base = stream.time_base or 1 / self._rate
        self._frame_ticks = max(1, round(1 / self._rate / self.time_base))
        self._last_pts: int | None = None
        color = stream.color or Color()
        self._color = color if color.matrix in _MATRICES else replace(color, matrix=1)
        self._reformatter = VideoReformatter()
        self._context = self._set_up(context or self._another())

    def _another(self) -> av.VideoCodecContext:
        context = av.CodecContext.create(self._encoding.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.bit_rate = 0
        if self._headers:
            context.flags |= Flags.global_header
        return context

    def _set_up(self, context: av.VideoCodecContext) -> av.VideoCodecContext:
        options = dict(self._encoding.options)
        if self._encoding.encoder == "libx264" and _has_avx512():
            options["x264-params"] = "asm=avx2"
        if self._live and self._encoding.encoder == "libx264":
            options |= {"tune": "zerolatency", "g": str(max(1, round(2 * self._rate)))}
        elif not self._live:
            context.thread_count, context.thread_type = _THREADS, "FRAME"
        assert self._stream.size is not None
        context.options = options
        # Without it packets last for no time, and where the last packet is not the last picture an
        # MP4 ends before that picture.
        context.flags |= Flags.frame_duration
        context.pix_fmt = self._encoding.pixels
        context.height, context.width = (side + side % 2 for side in self._stream.size)
        context.framerate, context.time_base = self._rate, self.time_base
        context.sample_aspect_ratio = self._stream.aspect.limit_denominator(32767)
        context.color_range = 2 if self._color.full_range else 1
        context.colorspace = self._color.matrix
        context.color_primaries = self._color.primaries
        context.color_trc = self._color.transfer
        return context

    def encode(self, result: Result) -> list[av.Packet[Any]]:
        """What became ready, with times in `time_base`."""
        packets: list[av.Packet[Any]] = []
        if result.frame.cut and self._last_pts is not None:
            packets += self.finish()
            self._context = self._set_up(self._another())
        frame = av.VideoFrame.from_ndarray(even(result.image), format="rgb24")
        frame = self._reformatter.reformat(
            frame,
            format=self._encoding.pixels,
            dst_colorspace=_MATRICES[self._color.matrix],
            dst_color_range=2 if self._color.full_range else 1,
            threads=1,
        )
        pts = round(result.frame.time / self.time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # players and encoders want time to move on
        lasts = result.frame.duration
        frame.duration = round(lasts / self.time_base) if lasts else self._frame_ticks
        frame.pts, frame.time_base = pts, self.time_base
        self._last_pts = pts
        return packets + self._encode(frame)

    def finish(self) -> list[av.Packet[Any]]:
        """What was left."""
        return self._encode(None)

    def _encode(self, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        if self._context.is_open:
            return self._context.encode(frame)
        with usual_scheduling():  # no container has opened it: the first picture does
            return self._context.encode(frame)

    @property
    def extradata(self) -> bytes:
        """The parameters of all pieces; empty without `headers`, and before the first picture."""
        return self._context.extradata or b""


@lru_cache(maxsize=1)
def _has_avx512() -> bool:
    """Where x264 writes something else from run to run, by one thread too: at 112x64 and 456x256,
    not at 64x64 nor 1280x720; never with AVX2 (core 165)."""
    try:
        return " avx512" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def even(image: U8) -> U8:
    """4:2:0 stores colour for 2x2 pixels: odd sides repeat their last row or column."""
    height, width, _ = image.shape
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
