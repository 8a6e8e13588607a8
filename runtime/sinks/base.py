"""Sink interface: the abstract base class, translated frames and their stream format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from ..image.channels import to_rgb
from ..image.geometry import Geometry
from ..image.preprocess import U8, YUV, resize, to_yuv
from ..image.validation import Pixels, YUVFormat
from ..sources import ColorSpace, CoverArt, Frame, Packet, Source
from ..utils.closeable import Closeable
from ..utils.log import warn_user_once


@dataclass(frozen=True)
class TranslatedFrame:
    """A source frame and its translation.

    Attributes:
        source_frame: The frame before translation.
        pixels: The translation, uint8 HWC: gray, RGB, or RGB with alpha. Or YUV, if the sink asked
            for that (`Sink.yuv_format`).
    """

    source_frame: Frame
    pixels: Pixels

    @cached_property
    def image(self) -> U8:
        """Return the translation as uint8 HWC RGB, converted on the first access.

        Alpha is composited on the background of the frame.
        """
        if isinstance(self.pixels, YUV):
            return resize(self.pixels, self.pixels.shape[:2])
        return to_rgb(self.pixels, self.source_frame.background)

    def to_yuv(self, format: YUVFormat) -> YUV:
        """Return the translation in YUV (I420) with a `buffer`, converted unless it is that."""
        if isinstance(self.pixels, YUV) and self.pixels.format == format:
            return self.pixels
        return to_yuv(self.image, matrix=format.matrix, full_range=format.full_range)


@dataclass(frozen=True)
class EncodingOptions:
    """What a user asks of a video encoder; None everywhere for the defaults.

    Attributes:
        codec: A name of `codecs.CODECS` or `codecs.HARDWARE_CODECS`.
        crf: Constant rate factor, in the units of the encoder; lower is better.
        preset: The encoder's own name of a trade between speed and size.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None

    @property
    def flags(self) -> list[str]:
        """Return the flags that were given."""
        return [f"--{name}" for name, value in vars(self).items() if value is not None]


Encoding = str | EncodingOptions | None
"""The name of a codec, or more options."""


def warn_alpha_lost(sink: object) -> None:
    """Print once that a sink cannot write the transparency of a frame."""
    warn_user_once(f"alpha in {sink}", f"{sink} cannot hold transparency; PNG, WebP and TIFF can")


@dataclass(frozen=True)
class StreamFormat:
    """Format of the frames and other streams that a sink receives.

    Attributes are those of `Source`, for the translated frames.
    """

    size: tuple[int, int] | None
    rate: Fraction | None
    time_base: Fraction | None
    sample_aspect_ratio: Fraction = Fraction(1)
    live: bool = False
    color_space: ColorSpace | None = None
    other_streams: tuple[Any, ...] = ()
    cover_art: tuple[CoverArt, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Any, ...] = ()

    @classmethod
    def from_source(cls, source: Source, geometry: Geometry | None) -> StreamFormat:
        """Return the format of a translated source; geometry is None if frame sizes differ."""
        return cls(
            size=geometry.output_size if geometry else None,
            rate=source.rate,
            time_base=source.time_base,
            sample_aspect_ratio=geometry.sample_aspect_ratio if geometry else Fraction(1),
            live=source.live,
            color_space=source.color_space,
            other_streams=source.other_streams,
            cover_art=source.cover_art,
            metadata=source.metadata,
            chapters=source.chapters,
        )


class Sink(Closeable):
    """Destination of translated frames, and a context manager.

    Output becomes permanent by `finish`; leaving the context without it discards the output.
    Methods raise SinkError. A sink that raised it has already saved what it could, and ignores
    further calls.

    Attributes:
        name: The name of the sink in messages.
    """

    name: str

    @property
    def yuv_format(self) -> YUVFormat | None:
        """Return the YUV in which it writes frames without conversion; None for RGB.

        It accepts frames in either form.
        """
        return None

    @property
    def closed_by_user(self) -> bool:
        """Return whether the user closed the sink, which ends the run."""
        return False

    @abstractmethod
    def write(self, result: TranslatedFrame) -> None:
        """Write a frame; call it in presentation order."""

    def write_packet(self, packet: Packet) -> None:
        """Write a packet of another stream; sinks for frames only ignore it."""
        del packet

    @abstractmethod
    def finish(self) -> None:
        """Make the output permanent."""

    @abstractmethod
    def close(self) -> None:
        """Discard unfinished output; a second call does nothing."""
