"""Tasks of a worker: translate a video, translate a segment, or join segments."""

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

from ..api import TranslateOptions
from ..errors import SinkError
from ..inference.translator import Translator
from ..pipeline import translate_stream
from ..sinks import Sink, StreamFormat, TranslatedFrame, open_sink, open_with_view
from ..sinks.video import VideoSink
from ..sources import Frame, Source, open_source
from ..sources.video import VideoSource, file_input
from ..sources.wrappers import SegmentSource, StreamItems
from ..utils.stats import Stats
from .segment_file import SegmentSink, read_header, read_packets, read_pts

ProgressFn = Callable[[int], None]  # is called with the number of finished frames
TranslatorOpener = Callable[[TranslateOptions, Source], AbstractContextManager[Translator]]


class NotSplittable(Exception):
    """The joined segments would differ from the output of one run; the message says why."""


@dataclass(frozen=True)
class Task:
    """Base class of tasks. All paths are absolute and valid on all workers.

    Attributes:
        source: input video file.
        output: file that the task writes, complete or not at all.
        options: what to do with the video.
    """

    source: Path
    output: Path
    options: TranslateOptions

    @abstractmethod
    def run(self, open_translator: TranslatorOpener, progress: ProgressFn) -> int:
        """Run the task and return the number of translated frames.

        Args:
            open_translator: opens the model for a source.
            progress: is called with the number of frames finished so far.

        Raises:
            CgtError: the task failed.
            NotSplittable: the video has to be translated in one task.
        """


@dataclass(frozen=True)
class TranslateVideo(Task):
    """Translate a whole video, as `cgt translate` does."""

    def run(self, open_translator: TranslatorOpener, progress: ProgressFn) -> int:
        options = self.options
        with (
            open_source(
                str(self.source), options.audio, stream=options.stream, start=options.start
            ) as source,
            open_translator(options, source) as translator,
            open_sink(
                str(self.output),
                options.stream_format(source, translator),
                options.encoding,
                options.view,
            ) as sink,
        ):
            stats = Stats()
            return _translate_items(
                options.select_items(source, stats), translator, sink, stats, progress
            )


@dataclass(frozen=True)
class TranslateSegment(Task):
    """Translate the frames in [start, end) into a segment file.

    Attributes:
        target: output file of the whole video, which decides on codec and container.
        start: time of the first frame in seconds; None for the start of the video.
        end: time after the last frame in seconds; None for the end of the video.
    """

    target: Path
    start: Fraction | None
    end: Fraction | None

    def run(self, open_translator: TranslatorOpener, progress: ProgressFn) -> int:
        options = self.options
        video = VideoSource(file_input(self.source), stream=options.stream)
        with (
            SegmentSource(video, self.start, self.end) as source,
            open_translator(options, source) as translator,
            open_with_view(
                self._open_segment, options.stream_format(source, translator), options.view
            ) as sink,
        ):
            return _translate_items(
                options.set_transparency(self._checked_frames(source, video)),
                translator,
                sink,
                Stats(),
                progress,
            )

    def _open_segment(self, stream: StreamFormat) -> Sink:
        return SegmentSink(self.output, self.target, stream, self.options.encoding)

    def _checked_frames(self, source: Source, video: VideoSource) -> StreamItems:
        frame_count = 0
        for frame in source:
            assert isinstance(frame, Frame)  # a segment has no other items
            if frame_count == 0 and self.start is not None and frame.time != self.start:
                raise NotSplittable("decoding does not start at the requested keyframe")
            frame_count += 1
            yield frame
        if frame_count == 0:
            raise NotSplittable("there is no frame between two keyframes")
        if not video.is_splittable:
            raise NotSplittable("it is damaged, interlaced or changes its size")


@dataclass(frozen=True)
class ConcatSegments(Task):
    """Join segments in order and add the other streams of the source, without re-encoding."""

    segments: tuple[Path, ...]

    def run(self, open_translator: TranslatorOpener, progress: ProgressFn) -> int:
        options = self.options
        check_no_overlap(self.segments)
        headers = [read_header(part) for part in self.segments]
        video = VideoSource(file_input(self.source), options.audio, options.stream)
        with video as source:
            stream = dataclasses.replace(
                StreamFormat.from_source(source, None),
                size=headers[0].size,
                sample_aspect_ratio=headers[0].sample_aspect_ratio,
            )
            with VideoSink(self.output, stream, options.encoding) as sink:
                if any(header.extradata != sink.extradata for header in headers):
                    raise SinkError(
                        f"the segments of {self.source} come from different encoder versions; "
                        "install the same versions everywhere"
                    )
                self._interleave(source, sink)
                sink.finish()
        return 0

    def _interleave(self, source: VideoSource, sink: VideoSink) -> None:
        video_packets = itertools.chain.from_iterable(map(read_packets, self.segments))
        packet = next(video_packets, None)
        for other in source.demux_other_streams():
            while packet is not None and _decode_time(packet) <= _decode_time(other.av_packet):
                sink.write_encoded_frame(packet)
                packet = next(video_packets, None)
            sink.write_packet(other)
        while packet is not None:
            sink.write_encoded_frame(packet)
            packet = next(video_packets, None)


def check_no_overlap(segments: Iterable[Path]) -> None:
    """Raise NotSplittable if timestamps do not increase from segment to segment.

    One run would have shifted the repeated timestamps.
    """
    for before, after in itertools.pairwise(map(read_pts, segments)):
        if min(after) <= max(before):
            raise NotSplittable("timestamps do not increase at a keyframe")


def _decode_time(packet: av.Packet[Any]) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base


def _translate_items(
    items: StreamItems, translator: Translator, sink: Sink, stats: Stats, progress: ProgressFn
) -> int:
    """Translate into the sink. After an error nothing is kept, because the task is retried."""
    frames = 0
    stop = threading.Event()
    for item in translate_stream(items, translator, stats, stop, yuv_format=sink.yuv_format):
        if isinstance(item, TranslatedFrame):
            sink.write(item)
            frames += 1
            progress(frames)
        else:
            sink.write_packet(item)
    sink.finish()
    return frames
