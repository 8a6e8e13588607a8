"""The contract of a sink: where translated frames go."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..closing import Closing
from ..geometry import Geometry
from ..preprocess import U8
from ..sources import Frame, Packet, Source


@dataclass(frozen=True)
class Result:
    """A frame and its translation, uint8 HWC RGB."""

    frame: Frame
    image: U8


@dataclass(frozen=True)
class StreamFormat:
    """What a sink has to expect."""

    size: tuple[int, int] | None  # height, width; None where pictures differ
    rate: Fraction | None
    time_base: Fraction | None
    aspect: Fraction = Fraction(1)
    others: tuple[Any, ...] = ()  # av streams, the indices of Packet.stream

    @classmethod
    def of(cls, source: Source, geometry: Geometry | None) -> StreamFormat:
        """The translation of a source; geometry: None where pictures differ in size."""
        return cls(
            size=geometry.picture if geometry else None,
            rate=source.rate,
            time_base=source.time_base,
            aspect=geometry.aspect if geometry else Fraction(1),
            others=source.others,
        )


class Sink(Closing):
    """A context manager. What was written counts only after `finish`; leaving without it, as an
    error does, leaves nothing behind. Methods raise SinkError."""

    notes: tuple[str, ...] = ()  # what the user should know of how it is written

    @abstractmethod
    def write(self, result: Result) -> None: ...

    def pass_through(self, packet: Packet) -> None:
        """A packet of another stream; sinks that hold only pictures let it go."""
        del packet

    @abstractmethod
    def finish(self) -> None:
        """Make what was written permanent."""

    @abstractmethod
    def close(self) -> None:
        """Drop what is not finished; twice is fine."""
