"""Encoded pictures, beside the source's other streams, into a container."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags

from ..notes import note
from ..sources import Packet
from .base import Result, StreamFormat
from .encoder import VideoEncoder
from .encoding import Encoding
from .scheduling import usual_scheduling

# What FFmpeg does not list of them.
_HOLDS = {
    "mpegts": {"aac", "mp2", "mp3", "ac3", "eac3", "opus"},
    "rtsp": {"aac", "mp2", "mp3", "ac3", "opus", "pcm_alaw", "pcm_mulaw"},
}


class Muxer:
    """Writes one video. Methods raise PyAV's errors and OSError."""

    def __init__(
        self, container: Any, stream: StreamFormat, encoding: Encoding, live: bool = False
    ) -> None:
        """live: no frame waits in the encoder for the next."""
        self._container = container
        self.pictures = 0
        self._lost = 0
        self._last_dts: int | None = None
        rate = stream.rate or Fraction(25)
        self._video = container.add_stream(encoding.encoder, rate=rate)
        context = self._video.codec_context
        headers = bool(context.flags & Flags.global_header)
        self._encoder = VideoEncoder(stream, encoding, context, headers=headers, live=live)
        if encoding.tag and container.format.name in ("mp4", "mov"):
            context.codec_tag = encoding.tag
        self._filters: dict[int, BitStreamFilterContext] = {}  # of sound framed for broadcasting
        self._others = [self._add(other) for other in stream.others]
        container.metadata.update(
            {k: v for k, v in stream.metadata.items() if k not in _OWN_METADATA}
        )
        if stream.chapters:
            container.set_chapters(list(stream.chapters))
        with usual_scheduling():  # it opens the encoder
            container.start_encoding()

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
        self._mux(self._encoder.encode(result))
        self.pictures += 1

    def write_encoded(self, packet: av.Packet[Any]) -> None:
        """A picture that another VideoEncoder, set up as ours, has encoded."""
        self._mux([packet])
        self.pictures += 1

    @property
    def extradata(self) -> bytes:
        """See VideoEncoder."""
        return self._encoder.extradata

    def _mux(self, packets: Iterable[av.Packet[Any]]) -> None:
        for packet in packets:
            if packet.dts is not None:
                # Where frames last unequally long, an encoder that begins anew may count back
                # farther than the one before had come.
                if self._last_dts is not None:
                    packet.dts = max(packet.dts, self._last_dts + 1)
                self._last_dts = packet.dts
            packet.stream = self._video
            self._container.mux(packet)

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
        self._mux(self._encoder.finish())
        self._container.close()
        if self._lost:
            note(f"{self._lost} packets of sound or subtitles had impossible times: left out")


# Written by the muxer itself, or no longer true.
_OWN_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder")
