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

from ..image.preprocess import U8
from ..sources import ColorSpace
from .base import StreamFormat, TranslatedFrame
from .codecs import CodecSettings
from .thread_priority import preserve_thread_scheduling

# FFmpeg converts to these matrices; what comes with another is written as BT.709.
_SWSCALE_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # H.273 to swscale's numbers
# The same on every machine, because what x264, x265 and libvpx write depends on it. By frames: by
# slices, FFmpeg's other way, the same quality takes 2 to 5 % more bytes.
_ENCODER_THREADS = 4
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
        codec: CodecSettings,
        context: av.VideoCodecContext | None = None,
        *,
        global_header: bool = False,
        live: bool = False,
    ) -> None:
        self._stream, self._codec = stream, codec
        self._global_header, self._live = global_header, live
        self._rate = stream.rate or Fraction(25)
        self.time_base = stream.time_base or 1 / self._rate
        self._frame_ticks = max(1, round(1 / self._rate / self.time_base))
        self._last_pts: int | None = None
        color_space = stream.color_space or ColorSpace()
        self._color_space = (
            color_space
            if color_space.matrix in _SWSCALE_MATRICES
            else replace(color_space, matrix=1)
        )
        self._reformatter = VideoReformatter()
        self._context = self._configure_context(context or self._create_context())

    def _create_context(self) -> av.VideoCodecContext:
        context = av.CodecContext.create(self._codec.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.bit_rate = 0
        if self._global_header:
            context.flags |= Flags.global_header
        return context

    def _configure_context(self, context: av.VideoCodecContext) -> av.VideoCodecContext:
        options = dict(self._codec.options)
        if self._codec.encoder == "libx264" and _has_avx512():
            options["x264-params"] = "asm=avx2"
        if self._live and self._codec.encoder == "libx264":
            options |= {"tune": "zerolatency", "g": str(max(1, round(2 * self._rate)))}
        elif not self._live:
            context.thread_count, context.thread_type = _ENCODER_THREADS, "FRAME"
        assert self._stream.size is not None
        context.options = options
        # Without it packets last for no time, and where the last packet is not the last picture an
        # MP4 ends before that picture.
        context.flags |= Flags.frame_duration
        context.pix_fmt = self._codec.pixel_format
        context.height, context.width = (side + side % 2 for side in self._stream.size)
        context.framerate, context.time_base = self._rate, self.time_base
        context.sample_aspect_ratio = self._stream.sample_aspect_ratio.limit_denominator(32767)
        context.color_range = 2 if self._color_space.full_range else 1
        context.colorspace = self._color_space.matrix
        context.color_primaries = self._color_space.primaries
        context.color_trc = self._color_space.transfer
        return context

    def encode(self, frame: TranslatedFrame) -> list[av.Packet[Any]]:
        """What became ready, with times in `time_base`."""
        packets: list[av.Packet[Any]] = []
        if frame.source_frame.starts_segment and self._last_pts is not None:
            packets += self.flush()
            self._context = self._configure_context(self._create_context())
        video_frame = av.VideoFrame.from_ndarray(pad_to_even(frame.image), format="rgb24")
        video_frame = self._reformatter.reformat(
            video_frame,
            format=self._codec.pixel_format,
            dst_colorspace=_SWSCALE_MATRICES[self._color_space.matrix],
            dst_color_range=2 if self._color_space.full_range else 1,
            threads=1,
        )
        pts = round(frame.source_frame.time / self.time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # players and encoders want time to move on
        duration = frame.source_frame.duration
        video_frame.duration = round(duration / self.time_base) if duration else self._frame_ticks
        video_frame.pts, video_frame.time_base = pts, self.time_base
        self._last_pts = pts
        return packets + self._encode(video_frame)

    def flush(self) -> list[av.Packet[Any]]:
        """What was left."""
        return self._encode(None)

    def _encode(self, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        if self._context.is_open:
            return self._context.encode(frame)
        with preserve_thread_scheduling():  # no container has opened it: the first picture does
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


def pad_to_even(image: U8) -> U8:
    """4:2:0 stores colour for 2x2 pixels: odd sides repeat their last row or column."""
    height, width, _ = image.shape
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
