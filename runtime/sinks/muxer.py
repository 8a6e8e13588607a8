"""Pictures to encoded packets, and they beside the source's other streams into a container."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import VideoReformatter

from ..notes import note
from ..preprocess import U8
from ..sources import Color, Packet
from .base import Result, StreamFormat
from .encoding import Encoding

# What FFmpeg does not list of them.
_HOLDS = {
    "mpegts": {"aac", "mp2", "mp3", "ac3", "eac3", "opus"},
    "rtsp": {"aac", "mp2", "mp3", "ac3", "opus", "pcm_alaw", "pcm_mulaw"},
}
# FFmpeg converts to these matrices; what comes with another is written as BT.709.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # H.273 to swscale's numbers


class Muxer:
    """Writes one video. Methods raise PyAV's errors and OSError."""

    def __init__(
        self, container: Any, stream: StreamFormat, encoding: Encoding, live: bool = False
    ) -> None:
        """live: no frame waits in the encoder for the next."""
        assert stream.size is not None
        self._container = container
        self._encoding = encoding
        self.pictures = 0
        self._lost = 0
        self._add_video(stream, live)
        self._filters: dict[int, BitStreamFilterContext] = {}  # of sound framed for broadcasting
        self._others = [self._add(other) for other in stream.others]
        container.metadata.update(
            {k: v for k, v in stream.metadata.items() if k not in _OWN_METADATA}
        )
        if stream.chapters:
            container.set_chapters(list(stream.chapters))
        container.start_encoding()

    def _add_video(self, stream: StreamFormat, live: bool) -> None:
        assert stream.size is not None
        rate = stream.rate or Fraction(25)
        options = dict(self._encoding.options)
        if live and self._encoding.encoder == "libx264":
            options |= {"tune": "zerolatency", "g": str(max(1, round(2 * rate)))}
        self._video = video = self._container.add_stream(
            self._encoding.encoder, rate=rate, options=options
        )
        self._time_base = stream.time_base or 1 / rate
        self._frame_ticks = max(1, round(1 / rate / self._time_base))
        self._last_pts: int | None = None
        color = stream.color or Color()
        self._color = color if color.matrix in _MATRICES else replace(color, matrix=1)
        self._reformatter = VideoReformatter()
        context = video.codec_context
        context.pix_fmt = self._encoding.pixels
        if self._encoding.tag and self._container.format.name in ("mp4", "mov"):
            context.codec_tag = self._encoding.tag
        context.height, context.width = (side + side % 2 for side in stream.size)
        context.time_base = self._time_base
        context.sample_aspect_ratio = stream.aspect.limit_denominator(32767)
        context.color_range = 2 if self._color.full_range else 1
        context.colorspace = self._color.matrix
        context.color_primaries = self._color.primaries
        context.color_trc = self._color.transfer

    def _add(self, other: Any) -> Any:
        """The same stream in this container, or None where it cannot hold that."""
        codec = other.codec_context.name if other.codec_context else other.type
        name = self._container.format.name
        try:
            holds = self._container.supported_codecs | _HOLDS.get(name, set())
            if other.type != "attachment" and codec not in holds:
                raise ValueError
            added = self._container.add_stream_from_template(other)
        except (ValueError, av.FFmpegError):
            note(f"{name} cannot hold {codec} ({other.type}): left out")
            return None
        added.metadata.update(other.metadata)
        added.disposition = other.disposition
        if codec == "aac" and not other.codec_context.extradata and name != "mpegts":
            self._filters[added.index] = BitStreamFilterContext("aac_adtstoasc", other)
        return added

    def write(self, result: Result) -> None:
        frame = av.VideoFrame.from_ndarray(even(result.image), format="rgb24")
        frame = self._reformatter.reformat(
            frame,
            format=self._encoding.pixels,
            dst_colorspace=_MATRICES[self._color.matrix],
            dst_color_range=2 if self._color.full_range else 1,
            threads=1,
        )
        pts = round(result.frame.time / self._time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1  # players and encoders want time to move on
        lasts = result.frame.duration
        frame.duration = round(lasts / self._time_base) if lasts else self._frame_ticks
        frame.pts, frame.time_base = pts, self._time_base
        self._last_pts = pts
        self._container.mux(self._video.encode(frame))
        self.pictures += 1

    def pass_through(self, packet: Packet) -> None:
        stream = self._others[packet.stream]
        if stream is None:
            return
        convert = self._filters.get(stream.index)
        try:
            for piece in convert.filter(packet.packet) if convert else [packet.packet]:
                piece.stream = stream
                self._container.mux(piece)
        except (av.ArgumentError, av.InvalidDataError):
            self._lost += 1  # times that go backwards, in a damaged file

    def finish(self) -> None:
        """The encoder's last packets and the container's end."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        if self._lost:
            note(f"{self._lost} packets of sound or subtitles had impossible times: left out")


# Written by the muxer itself, or no longer true.
_OWN_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder")


def even(image: U8) -> U8:
    """4:2:0 stores colour for 2x2 pixels: odd sides repeat their last row or column."""
    height, width, _ = image.shape
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
