"""The contract of a source: where frames come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter
from types import MappingProxyType
from typing import Any

from ..image.preprocess import U8
from ..utils.closeable import Closeable


class Frame:
    """One picture. time: seconds on the stream's own clock, exactly; duration: the same, where it
    is known. name: of the file it came from, where it is one of several. captured: when it
    arrived, on time.perf_counter. cut: an encoder begins anew here, see `cuts`."""

    def __init__(
        self,
        image: U8 | Callable[[], U8],
        time: Fraction,
        name: str = "",
        capture_time: float | None = None,
        duration: Fraction | None = None,
        starts_segment: bool = False,
    ) -> None:
        self._image = image
        self.time = time
        self.name = name
        self.capture_time = perf_counter() if capture_time is None else capture_time
        self.duration = duration
        self.starts_segment = starts_segment

    @property
    def image(self) -> U8:
        """uint8 HWC RGB. A frame that was given as a function is converted by whom asks first: one
        that is dropped costs nothing, and the work is done outside of the source's thread."""
        if callable(self._image):
            self._image = self._image()
        return self._image


@dataclass(frozen=True)
class Packet:
    """A piece of another stream (sound) on its way through, untouched."""

    stream_index: int  # index into Source.others
    av_packet: Any  # av.Packet


@dataclass(frozen=True)
class ColorSpace:
    """What the numbers of a video mean, as ITU-T H.273 numbers it: matrix, primaries, transfer.
    The default is BT.709 within the limits of television."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False


class Source(Closeable):
    """Frames in order, with what lies between them. A context manager; iterate it once."""

    name: str
    size: tuple[int, int] | None  # height, width of all frames; None where they differ
    rate: Fraction | None = None  # frames per second, where there is such a thing
    start_time: Fraction = Fraction(0)  # the time of the first frame
    time_base: Fraction | None = None  # of which all times are multiples
    sample_aspect_ratio: Fraction = Fraction(1)  # width / height of a pixel
    frame_count: int | None = None  # frames, where it is known (or nearly)
    live: bool = False  # goes on whether or not we keep up
    color_space: ColorSpace | None = None  # what a video says of its colours
    other_streams: tuple[Any, ...] = ()  # av streams whose packets are passed through
    metadata: Mapping[str, str] = MappingProxyType({})  # title, and what else a container says
    chapters: tuple[Any, ...] = ()  # as PyAV gives them

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet]:
        """Raises SourceError when the source breaks."""

    def seek(self, seconds: Fraction) -> None:
        """A hint, before iteration: nothing before that time is asked for. The first frames may
        still lie before it."""
        del seconds
