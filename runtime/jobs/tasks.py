"""What a worker is given to do: a whole film, a part of one, or the joining of parts."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import SinkError
from ..pipeline import stream
from ..sinks import Result, Sink, StreamFormat, open_sink, viewed
from ..sinks.video import VideoSink
from ..sources import Frame, Source, open_source
from ..sources.video import Input, VideoSource
from ..sources.wrapped import Piece
from ..stats import Stats
from ..translation import Translation
from ..translator import Translator
from ..wanted import Items
from .parts import PartSink, read_header, read_packets, read_times

Progress = Callable[[int], None]  # is told the number of frames done
Opener = Callable[[Translation, Source], AbstractContextManager[Translator]]


class Uncuttable(Exception):
    """Parts of this film would not be what one run makes of it; the message says why."""


@dataclass(frozen=True)
class Task:
    """source: a video file. out: the file that the task leaves, whole or not at all. All paths are
    absolute, and mean the same to all workers."""

    source: Path
    out: Path
    translation: Translation

    @abstractmethod
    def run(self, open_translator: Opener, progress: Progress) -> int:
        """Frames that were translated. Raises CgtError and Uncuttable."""


@dataclass(frozen=True)
class Whole(Task):
    """A film in one go: what `cgt translate` does."""

    def run(self, open_translator: Opener, progress: Progress) -> int:
        given = self.translation
        with (
            open_source(
                str(self.source), given.audio, stream=given.stream, start=given.start
            ) as source,
            open_translator(given, source) as translator,
            open_sink(
                str(self.out), given.format(source, translator), given.codec, given.view
            ) as sink,
        ):
            stats = Stats()
            return _translate(given.items(source, stats), translator, sink, stats, progress)


@dataclass(frozen=True)
class Part(Task):
    """The pictures of [first, end), encoded as those of `target` will be. None: the film's own
    beginning and end."""

    target: Path
    first: Fraction | None
    end: Fraction | None

    def run(self, open_translator: Opener, progress: Progress) -> int:
        given = self.translation
        whole = VideoSource(Input(str(self.source), str(self.source)), stream=given.stream)
        with (
            Piece(whole, self.first, self.end) as source,
            open_translator(given, source) as translator,
            viewed(self._open, given.format(source, translator), given.view) as sink,
        ):
            return _translate(self._checked(source, whole), translator, sink, Stats(), progress)

    def _open(self, stream: StreamFormat) -> Sink:
        return PartSink(self.out, self.target, stream, self.translation.codec)

    def _checked(self, source: Source, whole: VideoSource) -> Items:
        pictures = 0
        for frame in source:
            assert isinstance(frame, Frame)  # a piece has nothing else
            if pictures == 0 and self.first is not None and frame.time != self.first:
                raise Uncuttable("reading does not begin at the key picture that was looked for")
            pictures += 1
            yield frame
        if pictures == 0:
            raise Uncuttable("there is no picture between two key pictures")
        if not whole.alike:
            raise Uncuttable("it is damaged, interlaced or changes its size")


@dataclass(frozen=True)
class Join(Task):
    """Parts, in order, beside the film's other streams in one file; nothing is encoded again."""

    parts: tuple[Path, ...]

    def run(self, open_translator: Opener, progress: Progress) -> int:
        given = self.translation
        refuse_overlap(self.parts)
        headers = [read_header(part) for part in self.parts]
        whole = VideoSource(Input(str(self.source), str(self.source)), given.audio, given.stream)
        with whole as source:
            stream = dataclasses.replace(
                StreamFormat.of(source, None), size=headers[0].size, aspect=headers[0].aspect
            )
            with VideoSink(self.out, stream, given.codec) as sink:
                if any(header.extradata != sink.extradata for header in headers):
                    raise SinkError(
                        f"the parts of {self.source} come from encoders of several versions; "
                        "install the same versions everywhere"
                    )
                self._interleave(source, sink)
                sink.finish()
        return 0

    def _interleave(self, source: VideoSource, sink: VideoSink) -> None:
        pictures = itertools.chain.from_iterable(map(read_packets, self.parts))
        ahead = next(pictures, None)
        for other in source.undecoded():
            while ahead is not None and _decoded_at(ahead) <= _decoded_at(other.packet):
                sink.write_encoded(ahead)
                ahead = next(pictures, None)
            sink.pass_through(other)
        while ahead is not None:
            sink.write_encoded(ahead)
            ahead = next(pictures, None)


def refuse_overlap(parts: Iterable[Path]) -> None:
    """Raises Uncuttable: one run would have moved on what stands still."""
    for before, after in itertools.pairwise(map(read_times, parts)):
        if min(after) <= max(before):
            raise Uncuttable("times stand still at a key picture")


def _decoded_at(packet: av.Packet[Any]) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base


def _translate(
    items: Items, translator: Translator, sink: Sink, stats: Stats, progress: Progress
) -> int:
    """Unlike a run that is watched, one that fails leaves nothing: it will be tried again."""
    frames = 0
    for item in stream(items, translator, stats, threading.Event()):
        if isinstance(item, Result):
            sink.write(item)
            frames += 1
            progress(frames)
        else:
            sink.pass_through(item)
    sink.finish()
    return frames
