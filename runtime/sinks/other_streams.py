"""Audio, subtitles, data and attachments of a source: copied, converted, or dropped with a warning.

A stream is copied where the container holds it. Otherwise audio is re-encoded, and text subtitles
are converted to the type of the container.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.codec.codec import Properties
from av.stream import Disposition

from ..sources import CoverArt, Packet
from ..utils.log import warn_user

# Codecs that these formats support although FFmpeg does not list them.
_UNLISTED_CODECS = {
    "mpegts": {"aac", "mp2", "mp3", "ac3", "eac3", "opus"},
    "rtsp": {"aac", "mp2", "mp3", "ac3", "opus", "pcm_alaw", "pcm_mulaw"},
}
# FFmpeg writes these, but FFmpeg 5 and most players cannot read them. PCM in MP4 fails for
# unspecified channel layouts, too.
_UNREADABLE_PREFIXES = {"mp4": ("pcm_",), "flv": ("ac3", "eac3", "flac", "opus")}
# The encoders of audio that is lossy, and of audio that is lossless.
_AUDIO_ENCODERS = {
    "mp4": ("aac", "flac"),
    "mov": ("aac", "alac"),
    "matroska": ("aac", "flac"),
    "webm": ("libopus", "libopus"),
    "mpegts": ("aac", "aac"),
    "flv": ("aac", "aac"),
    "rtsp": ("aac", "aac"),
}
_BITS_PER_SECOND_AND_CHANNEL = 64_000
_SUBTITLE_ENCODERS = {
    "mp4": "mov_text",
    "mov": "mov_text",
    "matroska": "subrip",
    "webm": "webvtt",
}
_COVER_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


class OtherStream(ABC):
    """Output stream beside the video. Methods raise PyAV's errors.

    Attributes:
        output: The stream of the output container.
    """

    output: Any

    @abstractmethod
    def convert(self, packet: Packet) -> list[av.Packet[Any]]:
        """Return the packets to write for a packet of the source."""

    def flush(self) -> list[av.Packet[Any]]:
        """Return the remaining packets."""
        return []


def add_other_stream(container: Any, source: Any) -> OtherStream | None:
    """Add a stream of a source to an output container.

    Args:
        container: A PyAV output container.
        source: A PyAV stream of the source.

    Returns:
        The stream; None if the container cannot hold it. A warning tells what is changed.
    """
    name = container.format.name
    if _holds(container, source):
        try:
            return _CopiedStream(container, source)
        except (ValueError, av.FFmpegError):
            pass
    codec = source.codec_context.codec if source.codec_context else None
    label = codec.canonical_name if codec else source.metadata.get("filename", source.name)
    kind = f"{label or 'a stream'} ({source.type})"
    try:
        if codec and source.type == "audio" and name in _AUDIO_ENCODERS:
            lossless = Properties.LOSSLESS & Properties(codec.properties)
            encoder = _AUDIO_ENCODERS[name][bool(lossless)]
            audio = _EncodedAudio(container, source, encoder)
            reduced = audio.channels < source.codec_context.layout.nb_channels
            layout = f" in {audio.channels} channels" if reduced else ""
            warn_user(f"{name} cannot hold {kind}: encoding it with {encoder}{layout}")
            return audio
        if codec and Properties.TEXT_SUB & Properties(codec.properties):
            subtitles = _ConvertedSubtitles(container, source, _SUBTITLE_ENCODERS[name])
            warn_user(f"{name} cannot hold {kind}: converting it to {_SUBTITLE_ENCODERS[name]}")
            return subtitles
    except (KeyError, ValueError, av.FFmpegError):
        pass
    warn_user(f"{name} cannot hold {kind}: dropping that stream")
    return None


def _holds(container: Any, source: Any) -> bool:
    """Return whether a container can hold a copy of a stream, by trying it."""
    name = container.format.name
    if source.type == "attachment":
        return bool(name == "matroska")
    if source.codec_context is None:
        return False
    codec = source.codec_context.codec
    supported = container.supported_codecs | _UNLISTED_CODECS.get(name, set())
    if supported.isdisjoint((codec.name, codec.canonical_name)):
        return False
    if codec.canonical_name.startswith(_UNREADABLE_PREFIXES.get(name, ())):
        return False
    if name == "rtsp":  # has a header on its connection only
        return True
    try:
        with av.open(io.BytesIO(), "w", format=name) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


class _CopiedStream(OtherStream):
    def __init__(self, container: Any, source: Any) -> None:
        self.output = container.add_stream_from_template(source)
        self.output.metadata.update(source.metadata)
        self.output.disposition = source.disposition
        context = source.codec_context
        self._filter = None
        is_adts = context and context.name == "aac" and not context.extradata
        # MPEG-TS has the ADTS header in each packet; the others store it once.
        if is_adts and container.format.name != "mpegts":
            self._filter = BitStreamFilterContext("aac_adtstoasc", source)

    def convert(self, packet: Packet) -> list[av.Packet[Any]]:
        if self._filter is None:
            return [packet.av_packet]
        return self._filter.filter(packet.av_packet)


class _EncodedAudio(OtherStream):
    def __init__(self, container: Any, source: Any, encoder: str) -> None:
        settings = _audio_settings(source.codec_context, encoder)
        self.output = container.add_stream(encoder, rate=settings.pop("rate"))
        for name, value in settings.items():
            setattr(self.output.codec_context, name, value)
        self.output.metadata.update(source.metadata)
        self.output.disposition = source.disposition
        self.channels: int = self.output.codec_context.layout.nb_channels

    def convert(self, packet: Packet) -> list[av.Packet[Any]]:
        return [encoded for frame in packet.decoded for encoded in self.output.encode(frame)]

    def flush(self) -> list[av.Packet[Any]]:
        packets: list[av.Packet[Any]] = self.output.encode(None)
        return packets


def _audio_settings(source: Any, encoder: str) -> dict[str, Any]:
    """Return the settings of an audio encoder that are nearest to the source.

    Raises:
        ValueError: No settings work.
    """
    codec = av.Codec(encoder, "w")
    rates = sorted(codec.audio_rates or [source.sample_rate])
    rate = next((rate for rate in rates if rate >= source.sample_rate), rates[-1])
    formats = [format.name for format in codec.audio_formats or ()]
    depth = "s16" if source.format.bytes <= 2 else "s32"
    format = next((name for name in formats if name.rstrip("p") == depth), formats[0])
    # libopus has no 5.1 with side loudspeakers, and no encoder has every layout.
    layouts = [source.layout.name, *(["5.1"] if source.layout.nb_channels == 6 else []), "stereo"]
    for layout in layouts:
        try:
            trial = av.CodecContext.create(encoder, "w")
            assert isinstance(trial, av.AudioCodecContext)
            trial.sample_rate, trial.format, trial.layout = rate, format, layout
            trial.open()
        except (ValueError, av.FFmpegError):
            continue
        bit_rate = _BITS_PER_SECOND_AND_CHANNEL * trial.layout.nb_channels
        return {"rate": rate, "format": format, "layout": layout, "bit_rate": bit_rate}
    raise ValueError(f"{encoder} supports none of {', '.join(layouts)}")


class _ConvertedSubtitles(OtherStream):
    def __init__(self, container: Any, source: Any, encoder: str) -> None:
        source.codec_context.open(strict=False)
        self.output = container.add_stream(encoder)
        self.output.codec_context.subtitle_header = source.codec_context.subtitle_header
        self.output.codec_context.time_base = Fraction(1, 1000)
        self.output.metadata.update(source.metadata)
        self.output.disposition = source.disposition

    def convert(self, packet: Packet) -> list[av.Packet[Any]]:
        packets = []
        for subtitle in packet.decoded:
            encoded = self.output.codec_context.encode_subtitle(subtitle)
            encoded.pts = encoded.dts = packet.av_packet.pts
            encoded.duration = packet.av_packet.duration
            encoded.time_base = packet.av_packet.time_base
            packets.append(encoded)
        return packets


def add_cover_art(container: Any, cover: CoverArt) -> av.Packet[Any] | None:
    """Add a cover picture to an output container, or drop it with a warning.

    Args:
        container: A PyAV output container.
        cover: The picture.

    Returns:
        The packet to write after the header of the container, if it needs one.
    """
    name = container.format.name
    if name == "matroska" and cover.codec in _COVER_FILES:
        container.add_attachment(*_COVER_FILES[cover.codec], cover.data)
        return None
    if name == "mp4" and cover.codec in _COVER_FILES:
        height, width = cover.size
        stream = container.add_mux_stream(cover.codec, width=width, height=height)
        stream.disposition = Disposition.attached_pic
        packet = av.Packet(cover.data)
        packet.pts = packet.dts = 0
        packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 1000), True, stream
        return packet
    warn_user(f"{name} cannot hold cover art ({cover.codec}): dropping it")
    return None
