"""Muxer of encoded frames and passed-through streams, and the base class of sinks that use it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.stream import Disposition

from ..errors import SinkError
from ..image.validation import YUVFormat
from ..sources import Packet
from ..utils.log import warn_user
from .base import Sink, StreamFormat, TranslatedFrame, warn_alpha_lost
from .codecs import CodecSettings
from .encoder import VideoEncoder
from .other_streams import OtherStream, add_cover_art, add_other_stream
from .thread_priority import preserve_thread_scheduling

# The muxer writes these itself, or they do not apply to the output.
_EXCLUDED_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder")


class Muxer:
    """Writer of one video with its other streams. Methods raise PyAV's errors and OSError.

    Args:
        container: An open PyAV output container.
        stream: The format of the frames, and the other streams to copy.
        codec: The video encoder and its settings.
        live: Encode without delay.
    """

    def __init__(
        self, container: Any, stream: StreamFormat, codec: CodecSettings, live: bool = False
    ) -> None:
        self._container = container
        self.frame_count = 0
        self.video_end_s = Fraction(0)
        self._dropped_packets = 0
        self._last_dts: int | None = None
        rate = stream.rate or Fraction(25)
        self._video_stream = container.add_stream(codec.encoder, rate=rate)
        self._video_stream.disposition = Disposition.default
        context = self._video_stream.codec_context
        global_header = bool(context.flags & Flags.global_header)
        self._encoder = VideoEncoder(stream, codec, context, global_header=global_header, live=live)
        if codec.codec_tag and container.format.name in ("mp4", "mov"):
            context.codec_tag = codec.codec_tag
        self._other_streams = [add_other_stream(container, s) for s in stream.other_streams]
        covers = [add_cover_art(container, cover) for cover in stream.cover_art]
        container.metadata.update(
            {k: v for k, v in stream.metadata.items() if k not in _EXCLUDED_METADATA}
        )
        if stream.chapters:
            container.set_chapters(list(stream.chapters))
        with preserve_thread_scheduling():  # start_encoding opens the encoder
            container.start_encoding()
        container.mux([packet for packet in covers if packet is not None])

    @property
    def yuv_format(self) -> YUVFormat | None:
        """Return the form in which frames need no conversion; see `VideoEncoder`."""
        return self._encoder.yuv_format

    def write(self, result: TranslatedFrame) -> None:
        self._mux(self._encoder.encode(result))
        self.frame_count += 1

    def write_encoded_frame(self, packet: av.Packet[Any]) -> None:
        """Write a frame that another VideoEncoder with the same settings has encoded."""
        self._mux([packet])
        self.frame_count += 1

    @property
    def extradata(self) -> bytes:
        """Return the codec parameters of the video; see `VideoEncoder`."""
        return self._encoder.extradata

    def _mux(self, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            if packet.dts is not None:
                # With unequal frame durations, a restarted encoder may return a dts before the
                # last one of the encoder that it replaces.
                if self._last_dts is not None:
                    packet.dts = max(packet.dts, self._last_dts + 1)
                self._last_dts = packet.dts
            if packet.pts is not None and packet.time_base is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self.video_end_s = max(self.video_end_s, end)
            packet.stream = self._video_stream
            self._container.mux(packet)

    def write_packet(self, packet: Packet) -> None:
        stream = self._other_streams[packet.stream_index]
        if stream is None:
            return
        try:
            packets = stream.convert(packet)
        except (av.FFmpegError, ValueError):  # damaged audio
            self._dropped_packets += 1
            return
        try:
            self._mux_other(stream, packets)
        except (av.ArgumentError, av.InvalidDataError):
            self._dropped_packets += 1  # decreasing timestamps, in a damaged file

    def _mux_other(self, stream: OtherStream, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            packet.stream = stream.output
            self._container.mux(packet)

    def finish(self) -> None:
        """Write the last packets of the encoders and the end of the container."""
        self._mux(self._encoder.flush())
        for stream in self._other_streams:
            if stream is not None:
                self._mux_other(stream, stream.flush())
        self._container.close()
        if self._dropped_packets:
            warn_user(f"dropped {self._dropped_packets} invalid audio or subtitle packets")


class MuxedSink(Sink):
    """Base class of sinks that write through a Muxer.

    An FFmpeg error closes the sink and is raised as the SinkError of `_handle_failure`. A closed
    sink ignores all further writes.
    """

    _muxer: Muxer

    @property
    def yuv_format(self) -> YUVFormat | None:
        return self._muxer.yuv_format

    @property
    @abstractmethod
    def _is_open(self) -> bool: ...

    @abstractmethod
    def _handle_failure(self, error: Exception) -> SinkError:
        """Close the sink, save what can be saved, and return the error to raise."""

    @contextmanager
    def _handle_errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise self._handle_failure(error) from None

    def write(self, result: TranslatedFrame) -> None:
        if result.source_frame.alpha is not None:
            warn_alpha_lost(self.name)
        if self._is_open:
            with self._handle_errors():
                self._muxer.write(result)

    def write_encoded_frame(self, packet: av.Packet[Any]) -> None:
        """Write a frame that was encoded elsewhere; see `Muxer`."""
        if self._is_open:
            with self._handle_errors():
                self._muxer.write_encoded_frame(packet)

    @property
    def extradata(self) -> bytes:
        """Return the codec parameters that frames encoded elsewhere must have."""
        return self._muxer.extradata

    def write_packet(self, packet: Packet) -> None:
        if self._is_open:
            with self._handle_errors():
                self._muxer.write_packet(packet)
