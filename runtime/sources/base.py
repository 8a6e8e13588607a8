"""Source interface: the abstract base class, frames, passed-through packets and color spaces."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

from ..image.preprocess import U8
from ..utils.closeable import Closeable


class Frame:
    """One frame of a source.

    Attributes:
        time: The presentation time in seconds on the stream's own clock, exact.
        duration: How long the frame is shown in seconds; None if unknown.
        name: The image file's path relative to its folder; empty for videos.
        capture_time: When the frame arrived, in seconds of time.perf_counter.
        starts_segment: The encoder restarts at this frame; see `segments`.
        is_still: The frame is an image of its own. Its failure does not end the run.
    """

    def __init__(
        self,
        image: U8 | Callable[[], U8],
        time: Fraction,
        name: str = "",
        capture_time: float | None = None,
        duration: Fraction | None = None,
        starts_segment: bool = False,
        is_still: bool = False,
    ) -> None:
        self._image = image
        self.time = time
        self.name = name
        self.capture_time = perf_counter() if capture_time is None else capture_time
        self.duration = duration
        self.starts_segment = starts_segment
        self.is_still = is_still

    @property
    def image(self) -> U8:
        """Return the pixels, uint8 HWC RGB.

        The first access calls the function that the source passed instead of pixels. So a dropped
        frame costs nothing, and the conversion does not run in the source's thread.
        """
        if callable(self._image):
            self._image = self._image()
        return self._image


@dataclass(frozen=True)
class Packet:
    """An encoded packet of another stream (audio, subtitles), passed through unchanged."""

    stream_index: int  # index into Source.other_streams
    av_packet: Any  # av.Packet


@dataclass(frozen=True)
class ColorSpace:
    """Color space tags of a video, numbered as in ITU-T H.273; the default is limited BT.709."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False


class Source(Closeable):
    """Frames in presentation order, interleaved with the packets of other streams.

    A source is a context manager. It can be iterated once.

    Attributes:
        name: The name of the source in messages.
        size: (height, width) of all frames in pixels; None if they differ.
        rate: Frames per second; None if unknown.
        start_time: The time of the first frame in seconds.
        time_base: The unit of all times in seconds; None if they have none.
        sample_aspect_ratio: The width of a pixel divided by its height.
        frame_count: The number of frames, possibly estimated; None if unknown.
        live: Frames arrive in real time, whether or not the reader keeps up.
        color_space: The color tags of a video; None if it has none.
        other_streams: PyAV streams whose packets are passed through.
        metadata: Tags of the container, such as its title.
        chapters: Chapters as PyAV represents them.
        files: Image files that the frames are read from.
        frame_names: The names of the frames of these files, without the frames of animations.
    """

    name: str
    size: tuple[int, int] | None
    rate: Fraction | None = None
    start_time: Fraction = Fraction(0)
    time_base: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    frame_count: int | None = None
    live: bool = False
    color_space: ColorSpace | None = None
    other_streams: tuple[Any, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})
    chapters: tuple[Any, ...] = ()
    files: tuple[Path, ...] = ()
    frame_names: tuple[str, ...] = ()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | Packet]:
        """Yield frames and packets in order.

        Raises:
            SourceError: The source fails before its end. All frames before that were yielded.
        """

    def seek(self, seconds: Fraction) -> None:
        """Skip to `seconds` after the start, if the source can; call it before iteration.

        The first frames may still lie before that time.
        """
        del seconds


def ffmpeg_error_text(error: Exception) -> str:
    """Return the readable part of an FFmpeg error, without its numbers."""
    return getattr(error, "strerror", None) or str(error)
