"""The contract of a sink: where translated frames go."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..image.geometry import Geometry
from ..image.preprocess import U8
from ..sources import ColorSpace, Frame, Packet, Source
from ..utils.closeable import Closeable


@dataclass(frozen=True)
class TranslatedFrame:
    """A frame and its translation, uint8 HWC RGB."""

    source_frame: Frame
    image: U8


@dataclass(frozen=True)
class StreamFormat:
    """What a sink has to expect."""

    size: tuple[int, int] | None  # height, width; None where pictures differ
    rate: Fraction | None
    time_base: Fraction | None
    sample_aspect_ratio: Fraction = Fraction(1)
    live: bool = False
    color_space: ColorSpace | None = None
    other_streams: tuple[Any, ...] = ()  # av streams, the indices of Packet.stream
    metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Any, ...] = ()

    @classmethod
    def from_source(cls, source: Source, geometry: Geometry | None) -> StreamFormat:
        """The translation of a source; geometry: None where pictures differ in size."""
        return cls(
            size=geometry.output_size if geometry else None,
            rate=source.rate,
            time_base=source.time_base,
            sample_aspect_ratio=geometry.sample_aspect_ratio if geometry else Fraction(1),
            live=source.live,
            color_space=source.color_space,
            other_streams=source.other_streams,
            metadata=source.metadata,
            chapters=source.chapters,
        )


class Sink(Closeable):
    """A context manager. What was written counts only after `finish`; leaving without it drops what
    is not finished. Methods raise SinkError; a sink that raised it has already kept what it could,
    and takes `finish` and `close` in silence."""

    name: str

    @property
    def closed_by_user(self) -> bool:
        """Whoever watches wants no more: the run is done."""
        return False

    @abstractmethod
    def write(self, result: TranslatedFrame) -> None: ...

    def write_packet(self, packet: Packet) -> None:
        """A packet of another stream; sinks that hold only pictures let it go."""
        del packet

    @abstractmethod
    def finish(self) -> None:
        """Make what was written permanent."""

    @abstractmethod
    def close(self) -> None:
        """Drop what is not finished; twice is fine."""
