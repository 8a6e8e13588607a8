"""Source interface: the abstract base class, frames, passed-through packets and color spaces."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np

from ..image.color import WHITE, Color, DecodedImage
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
        background: The color on which transparent pixels are composited; set it before `image` is
            used.
        keep_alpha: Whether sinks write the transparency; likewise.
        is_still: The frame is an image of its own. Its failure does not end the run.
    """

    background: Color = WHITE
    keep_alpha: bool = False

    def __init__(
        self,
        image: U8 | Callable[[], U8 | DecodedImage],
        time: Fraction,
        name: str = "",
        capture_time: float | None = None,
        duration: Fraction | None = None,
        starts_segment: bool = False,
        is_still: bool = False,
    ) -> None:
        self._image: U8 | DecodedImage | Callable[[], U8 | DecodedImage] = image
        self._flattened: U8 | None = None
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
        decoded = self.decode()
        if not isinstance(decoded, DecodedImage):
            return decoded
        if self._flattened is None:
            self._flattened = decoded.flatten(self.background)
        return self._flattened

    def decode(self) -> U8 | DecodedImage:
        """Return the pixels with their transparency, if there is any."""
        if callable(self._image):
            self._image = self._image()
        return self._image

    @property
    def alpha(self) -> U8 | None:
        """Return the transparency to write, uint8 (height, width); None if there is none."""
        decoded = self.decode()
        return decoded.alpha if self.keep_alpha and isinstance(decoded, DecodedImage) else None

    def pixels(self, channels: int) -> U8:
        """Return the pixels for a network, uint8 HWC.

        Args:
            channels: those that the network takes. With 4 of them the result has alpha if the frame
                has; otherwise it is `image`.
        """
        decoded = self.decode()
        if channels != 4 or not isinstance(decoded, DecodedImage):
            return self.image
        return decoded.rgb if decoded.alpha is None else np.dstack([decoded.rgb, decoded.alpha])


@dataclass(frozen=True)
class Packet:
    """An encoded packet of another stream (audio, subtitles)."""

    stream_index: int  # index into Source.other_streams
    av_packet: Any  # av.Packet
    stream: Any = None  # av.Stream of the source

    @cached_property
    def decoded(self) -> list[Any]:
        """Return its decoded audio frames or subtitles; several sinks share them.

        Raises:
            av.FFmpegError: The packet cannot be decoded.
        """
        context = self.stream.codec_context
        if self.stream.type == "subtitle":
            subtitle = context.decode2(self.av_packet)
            return [] if subtitle is None else [subtitle]
        frames: list[Any] = context.decode(self.av_packet)
        return frames


@dataclass(frozen=True)
class CoverArt:
    """A cover picture of a video file.

    Attributes:
        codec: FFmpeg's name of its codec, such as mjpeg.
        size: (height, width) in pixels.
        data: The encoded picture.
    """

    codec: str
    size: tuple[int, int]
    data: bytes


@dataclass(frozen=True)
class ColorSpace:
    """Color space tags of a video, numbered as in ITU-T H.273; the default is limited BT.709."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False


# The matrices that FFmpeg converts (H.273 -> swscale).
SWSCALE_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_MAX_SD_SIZE = (576, 1279)  # (height, width); larger videos are HD


def untagged_color_space(size: tuple[int, int]) -> ColorSpace:
    """Return what a video without color tags is in: HD in BT.709, SD in BT.601, as players assume.

    Args:
        size: (height, width) in pixels.
    """
    is_hd = size[0] > _MAX_SD_SIZE[0] or size[1] > _MAX_SD_SIZE[1]
    return ColorSpace() if is_hd else ColorSpace(matrix=6, primaries=6, transfer=6)


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
        cover_art: Cover pictures.
        metadata: Tags of the container, such as its title.
        chapters: Chapters as PyAV represents them.
        files: The files that it reads, so that no sink overwrites them.
        frame_names: The names of its frames, without the frames of animations; empty if they have
            none.
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
    cover_art: tuple[CoverArt, ...] = ()
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

    def would_read(self, path: Path) -> bool:
        """Return whether a source of the same URI would read a new file of this path."""
        del path
        return False


def ffmpeg_error_text(error: Exception) -> str:
    """Return the readable part of an FFmpeg error, without its numbers."""
    return getattr(error, "strerror", None) or str(error)
