"""The contract of a source: where frames come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from time import perf_counter
from typing import Any

from ..closing import Closing
from ..preprocess import U8


@dataclass
class Frame:
    """One picture: uint8 HWC RGB. time: seconds on the stream's own clock, exactly."""

    image: U8
    time: Fraction
    name: str = ""  # of the file it came from, where it is one of several
    captured: float = field(default_factory=perf_counter)


@dataclass(frozen=True)
class Packet:
    """A piece of another stream (sound) on its way through, untouched."""

    stream: int  # index into Source.others
    packet: Any  # av.Packet


class Source(Closing):
    """Frames in order, with what lies between them. A context manager; iterate it once."""

    name: str
    size: tuple[int, int] | None  # height, width of all frames; None where they differ
    rate: Fraction | None = None  # frames per second, where there is such a thing
    time_base: Fraction | None = None  # of which all times are multiples
    aspect: Fraction = Fraction(1)  # width / height of a pixel
    count: int | None = None  # frames, where it is known (or nearly)
    live: bool = False  # goes on whether or not we keep up
    others: tuple[Any, ...] = ()  # av streams whose packets are passed through

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet]:
        """Raises SourceError when the source breaks."""
