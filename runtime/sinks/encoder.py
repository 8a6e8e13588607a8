"""Video encoder: RGB frames to encoded packets, restarted at segment boundaries."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from ..image.preprocess import U8
from ..image.validation import YUVFormat
from ..sources import SWSCALE_MATRICES, YUV_MATRICES, untagged_color_space
from ..utils.system import cpu_flags
from .base import StreamFormat, TranslatedFrame
from .codecs import CodecSettings
from .thread_priority import preserve_thread_scheduling

# Equal on all machines, because the output of x264, x265 and libvpx depends on it. Frame threads,
# because slice threads need 2 to 5 % more bytes for the same quality.
_ENCODER_THREADS = 4
_LIVE_KEYFRAME_INTERVAL_S = 2  # a player that joins waits for a keyframe
os.environ.setdefault("SVT_LOG", "1")  # libsvtav1 prints a banner to stderr at each opening


class VideoEncoder:
    """Encoder that restarts at each segment boundary (`Frame.starts_segment`).

    So a segment does not depend on the frames before it: segments that are encoded separately are
    identical to those of a single run. Methods raise PyAV's errors.

    8-bit 4:2:0 frames in BT.601 or BT.709 come from the C library, all others from FFmpeg.

    Attributes:
        yuv_format: The form in which frames need no conversion; None if FFmpeg converts them.

    Args:
        stream: The format of the frames.
        codec: The encoder and its settings.
        context: The codec context of a container's stream, for the first segment; by default the
            encoder creates one.
        global_header: Store the codec parameters in `extradata`, as all containers except MPEG-TS
            require.
        live: Encode without delay: each frame is returned before the next one.
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
        assert stream.size is not None
        color_space = stream.color_space or untagged_color_space(even_size(stream.size))
        self._color_space = (
            color_space
            if color_space.matrix in SWSCALE_MATRICES
            else replace(color_space, matrix=1)  # which FFmpeg cannot convert to
        )
        self.yuv_format: YUVFormat | None = None
        if codec.pixel_format == "yuv420p" and self._color_space.matrix in YUV_MATRICES:
            matrix = YUV_MATRICES[self._color_space.matrix]
            self.yuv_format = YUVFormat(matrix, self._color_space.full_range)
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
        if self._live:
            options |= self._codec.live_options
            options["g"] = str(max(1, round(_LIVE_KEYFRAME_INTERVAL_S * self._rate)))
        else:
            context.thread_count, context.thread_type = _ENCODER_THREADS, "FRAME"
        assert self._stream.size is not None
        context.options = options
        # Else packets have no duration, and an MP4 whose last packet is not its last frame ends
        # before that frame.
        context.flags |= Flags.frame_duration
        context.pix_fmt = self._codec.pixel_format
        context.height, context.width = even_size(self._stream.size)
        context.framerate, context.time_base = self._rate, self.time_base
        context.sample_aspect_ratio = self._stream.sample_aspect_ratio.limit_denominator(32767)
        context.color_range = 2 if self._color_space.full_range else 1
        context.colorspace = self._color_space.matrix
        context.color_primaries = self._color_space.primaries
        context.color_trc = self._color_space.transfer
        return context

    def encode(self, frame: TranslatedFrame) -> list[av.Packet[Any]]:
        """Encode a frame; return the finished packets, with times in `time_base`."""
        packets: list[av.Packet[Any]] = []
        if frame.source_frame.starts_segment and self._last_pts is not None:
            packets += self.flush()
            self._context = self._configure_context(self._create_context())
        video_frame = self._to_video_frame(frame)
        pts = round(frame.source_frame.time / self.time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # encoders and players need increasing timestamps
        duration = frame.source_frame.duration
        video_frame.duration = round(duration / self.time_base) if duration else self._frame_ticks
        video_frame.pts, video_frame.time_base = pts, self.time_base
        self._last_pts = pts
        return packets + self._encode(video_frame)

    def _to_video_frame(self, frame: TranslatedFrame) -> av.VideoFrame:
        if self.yuv_format is not None:
            buffer = frame.to_yuv(self.yuv_format).even_buffer()
            if buffer.shape[0] % 6:  # PyAV 18.1 misreads the height
                return av.VideoFrame.from_ndarray(buffer, "yuv420p")
            return av.VideoFrame.from_numpy_buffer(buffer, "yuv420p")  # without a copy
        video_frame = av.VideoFrame.from_ndarray(pad_to_even(frame.image), format="rgb24")
        return self._reformatter.reformat(
            video_frame,
            format=self._codec.pixel_format,
            dst_colorspace=SWSCALE_MATRICES[self._color_space.matrix],
            dst_color_range=2 if self._color_space.full_range else 1,
            threads=1,
        )

    def flush(self) -> list[av.Packet[Any]]:
        """Return the remaining packets."""
        return self._encode(None)

    def _encode(self, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        if self._context.is_open:
            return self._context.encode(frame)
        with preserve_thread_scheduling():  # the first frame opens the encoder
            return self._context.encode(frame)

    @property
    def extradata(self) -> bytes:
        """Return the codec parameters of all segments; empty without `global_header` or frames."""
        return self._context.extradata or b""


@lru_cache(maxsize=1)
def _has_avx512() -> bool:
    """Return whether the CPU has AVX-512, with which x264 (core 165) is not deterministic.

    Its output differs from run to run at 112x64 and 456x256, also with one thread. It does not at
    64x64 and 1280x720, and never with AVX2.
    """
    return any(flag.startswith("avx512") for flag in cpu_flags())


def even_size(size: tuple[int, int]) -> tuple[int, int]:
    """Round (height, width) up to even numbers, because 4:2:0 stores chroma for 2x2 pixels."""
    height, width = size
    return height + height % 2, width + width % 2


def pad_to_even(image: U8) -> U8:
    """Repeat the last row and column of odd sides, to `even_size`; uint8 HWC."""
    height, width, _ = image.shape
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
