"""Video files, by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..errors import SourceError
from ..preprocess import U8
from .base import Frame, Packet, Source


class VideoSource(Source):
    """The first video stream of a file, and the packets of its sound."""

    def __init__(self, path: Path, audio: bool = True) -> None:
        self.name = str(path)
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError):
            raise SourceError(f"{path} is not a video that FFmpeg can read") from None
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{path} has no video stream")
        self._stream = stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        if not stream.width or not stream.height:
            self._container.close()
            raise SourceError(f"{path} has a video stream without a picture size; is it damaged?")
        self.size = (stream.height, stream.width)
        self.rate = stream.average_rate or stream.guessed_rate
        self.time_base = stream.time_base
        self.aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.count = stream.frames or self._estimated_count()
        self.others = tuple(self._container.streams.audio) if audio else ()

    def _estimated_count(self) -> int | None:
        if self._container.duration is None or self.rate is None:
            return None
        return round(Fraction(self._container.duration, av.time_base) * self.rate)

    def __iter__(self) -> Iterator[Frame | Packet]:
        index = {stream.index: i for i, stream in enumerate(self.others)}
        pictures = 0
        try:
            for packet in self._container.demux([self._stream, *self.others]):
                if packet.stream.index in index:
                    if packet.dts is not None:  # the flush at the end has none
                        yield Packet(index[packet.stream.index], packet)
                    continue
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    yield Frame(_rgb(frame), self._time(frame, pictures))
                    pictures += 1
        except av.FFmpegError as error:
            raise SourceError(
                f"{self.name} breaks off after {pictures} frames: {error.strerror}"
            ) from None
        if pictures == 0:
            raise SourceError(f"{self.name} has no frame that decodes")

    def _time(self, frame: av.VideoFrame, index: int) -> Fraction:
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        return index / (self.rate or Fraction(25))

    def close(self) -> None:
        self._container.close()


def _rgb(frame: av.VideoFrame) -> U8:
    image: U8 = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    return image
