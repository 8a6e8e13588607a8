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
from ..image.preprocess import U8
from ..sources import ColorSpace, CoverArt, Frame, Packet, Source
from ..utils.closeable import Closeable
from ..utils.log import warn_user_once


@dataclass(frozen=True)
class TranslatedFrame:
    """A source frame and its translation.

    Attributes:
        source_frame: The frame before translation.
        pixels: The translation, uint8 HWC: gray, RGB, or RGB with alpha.
    """

    source_frame: Frame
    pixels: U8

    @cached_property
    def image(self) -> U8:
        """The translation as uint8 HWC RGB, with alpha composited on the frame's background."""
        return to_rgb(self.pixels, self.source_frame.background)


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
