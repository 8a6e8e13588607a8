"""Video source for files and network streams, decoded by PyAV."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeGuard

import av
import numpy as np
from av.stream import Disposition

from ..errors import SourceError, UsageError
from ..image.color import DecodedImage
from ..image.geometry import format_size
from ..image.preprocess import U8
from ..utils.log import warn_user
from .base import CoverArt, Frame, Packet, Source, ffmpeg_error_text
from .demuxer import FrameReader
from .frame_convert import (
    IDENTITY_ORIENTATION,
    apply_orientation,
    has_yuv_planes,
    letterbox,
    read_color_space,
    read_orientation,
    swaps_axes,
    to_rgb,
    yuv_planes,
)
from .playlists import concat_files, playlist_files
from .segments import find_segment_boundaries
from .tone_map import HDR_NAMES
from .wrappers import shift_packet

_DEFAULT_TIME_BASE = Fraction(1, 90000)
_PLAYLIST_FORMATS = ("hls", "dash", "sdp")  # of FFmpeg; what they list may be endless


@dataclass(frozen=True)
class FFmpegInput:
    """What FFmpeg opens, and how.

    Attributes:
        file: A path, URL, device or file object.
        name: The name of the source in messages.
        format: FFmpeg's name of the format; None to detect it.
        options: FFmpeg's options of the demuxer and protocol.
        timeout_s: Seconds that the input may send nothing; None for no limit.
        live: Whether frames arrive in real time; None means to find out.
        path: The file behind `file`, so that no sink overwrites it; None if there is none.
    """

    file: Any
    name: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    live: bool | None = False
    path: Path | None = None


_FILE_LISTERS = {"hls": playlist_files, "concat": concat_files}  # by FFmpeg's name of the format


def file_input(path: Path, name: str | None = None) -> FFmpegInput:
    """Return the input of a local file; `name` is what messages call it."""
    # FFmpeg takes the part of a relative path before a colon for a protocol.
    return FFmpegInput(str(path.absolute()), name or str(path), path=path)


class VideoSource(Source):
    """One decoded video stream and the packets of all other streams.

    Frames are rotated as the file demands, deinterlaced if they are flagged as interlaced, and
    letterboxed to the size of the first one. Packets that cannot be decoded are skipped.

    Args:
        ffmpeg_input: What to open.
        audio: Also pass audio packets through.
        stream: The index of the video stream, from 0; None for the first one.

    Raises:
        SourceError: The input cannot be opened or has no decodable frame.
        UsageError: There is no video stream `stream`.
    """

    def __init__(
        self, ffmpeg_input: FFmpegInput, audio: bool = True, stream: int | None = None
    ) -> None:
        self.name = ffmpeg_input.name
        self.files = (ffmpeg_input.path,) if ffmpeg_input.path else ()
        try:
            self._container = av.open(
                ffmpeg_input.file,
                format=ffmpeg_input.format,
                options=dict(ffmpeg_input.options),
                timeout=ffmpeg_input.timeout_s,
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(_open_error_text(ffmpeg_input, error)) from None
        list_files = _FILE_LISTERS.get(self._container.format.name)
        if ffmpeg_input.path and list_files:
            self.files = tuple(list_files(ffmpeg_input.path))
        try:
            self.live = (
                _is_endless(self._container) if ffmpeg_input.live is None else ffmpeg_input.live
            )
            self._select_streams(stream, audio)
            endless = self.live and ffmpeg_input.timeout_s is not None
            self._reader = FrameReader(
                self._container,
                self._video_stream,
                self.other_streams + self._cover_streams,
                self.name,
                endless,
            )
            self._reader_items = iter(self._reader)
            self._lookahead = self._read_to_first_frame()
        except BaseException:
            self._container.close()
            raise

    def _select_streams(self, video_index: int | None, audio: bool) -> None:
        streams = self._container.streams
        covers = [s for s in streams.video if s.disposition & Disposition.attached_pic]
        videos = [s for s in streams.video if s not in covers]
        if not videos:
            raise SourceError(f"{self.name} has no video stream")
        if video_index is not None and video_index >= len(videos):
            raise UsageError(f"{self.name} has {len(videos)} video streams; --stream counts from 0")
        self._video_stream = video_stream = videos[video_index or 0]
        if len(videos) > 1 and video_index is None:
            warn_user(
                f"{self.name} has {len(videos)} video streams; using the first (select by --stream)"
            )
        if video_stream.codec_context is None:
            raise SourceError(f"{self.name} has video that FFmpeg cannot decode")
        video_stream.thread_type = "AUTO"
        if self.live:
            video_stream.thread_type = "SLICE"  # with frame threads each delays a frame
        types = {"subtitle", "data", "attachment"} | ({"audio"} if audio else set())
        self.other_streams = tuple(s for s in streams if s.type in types)
        self._cover_streams = tuple(s for s in covers if s.codec_context is not None)
        self.metadata = dict(self._container.metadata)
        self.chapters = tuple(self._container.chapters())

    def _read_to_first_frame(self) -> deque[av.VideoFrame | Packet]:
        """Read up to the first frame, which has properties that the header lacks."""
        lookahead: deque[av.VideoFrame | Packet] = deque()
        for item in self._reader_items:
            if self._is_cover(item):
                self.cover_art += _read_cover(item)
                continue
            lookahead.append(item)
            if isinstance(item, av.VideoFrame):
                self._init_from_first_frame(item)
                return lookahead
        raise SourceError(f"{self.name} has no decodable frame")

    def _init_from_first_frame(self, frame: av.VideoFrame) -> None:
        stream = self._video_stream
        self._orientation = read_orientation(frame)
        self._coded_size = (frame.height, frame.width)
        self._size_changed = False
        self.sample_aspect_ratio = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.size = self._coded_size
        if swaps_axes(self._orientation):
            self.size, self.sample_aspect_ratio = (
                self._coded_size[::-1],
                1 / self.sample_aspect_ratio,
            )
        self.color_space = read_color_space(frame)
        self.rate = stream.average_rate or stream.guessed_rate or None
        self.time_base = stream.time_base
        # Motion JPEG has no timestamps.
        self._use_arrival_time = self.live and "jpeg" in self._container.format.name
        if self._use_arrival_time:
            self.time_base = _DEFAULT_TIME_BASE
        # Recordings of a broadcast start at any time; shift them to zero, as ffmpeg does.
        tick = self.time_base or _DEFAULT_TIME_BASE
        start = Fraction(max(0, self._container.start_time or 0), av.time_base)
        self._time_origin = Fraction(0) if self._use_arrival_time else round(start / tick) * tick
        self._opened_at = perf_counter()
        # AVI stores decode times only, at a constant rate. What FFmpeg makes of them for H.264 has
        # the delay of B-frames even without any, and with B-frames is not in order.
        self._uses_decode_times = self._container.format.name == "avi"
        self._decode_delay = 0
        if stream.codec_context.has_b_frames and frame.dts is not None and frame.pts is not None:
            self._decode_delay = frame.dts - frame.pts
        self._last_time = Fraction(0)
        self.start_time = self._frame_time(frame, 0)
        self.frame_count = stream.frames or self._estimate_frame_count()
        has_alpha = any(component.is_alpha for component in frame.format.components)
        if stream.metadata.get("alpha_mode") == "1" and not has_alpha:  # VP8 and VP9 in WebM
            warn_user(f"{self.name} has transparency that FFmpeg does not decode: dropping it")
        transfer = int(frame.color_trc)
        if transfer in HDR_NAMES:
            warn_user(
                f"{self.name} is HDR ({HDR_NAMES[transfer]}): tone-mapping it to SDR (BT.709)"
            )
        elif any(component.bits > 8 for component in frame.format.components):
            warn_user(f"{self.name} has {frame.format.name} frames; using 8 bits per channel")

    def _estimate_frame_count(self) -> int | None:
        if self._container.duration is None or self.rate is None:
            return None
        return round(Fraction(self._container.duration, av.time_base) * self.rate)

    def __iter__(self) -> Iterator[Frame | Packet]:
        frame_index = 0
        for item in self._all_items():
            if isinstance(item, Packet):
                if shift_packet(item, -self._time_origin):
                    yield item
                continue
            self._check_size(item)
            time = self._frame_time(item, frame_index)
            ticks = item.duration * item.time_base if item.duration and item.time_base else None
            starts_segment = not self.live and self._reader.boundaries.is_boundary(item.pts)
            yield Frame(
                partial(self._to_image, item),
                time,
                duration=ticks,
                starts_segment=starts_segment,
                yuv=partial(yuv_planes, item) if self._is_shown_as_decoded(item) else None,
            )
            frame_index += 1

    def demux_other_streams(self) -> Iterator[Packet]:
        """Iterate over the packets of the other streams only, without decoding any frame."""
        self._reader.decode_video = False
        return (item for item in self if isinstance(item, Packet))

    def find_segment_boundaries(self) -> list[Fraction]:
        """Find the frames at which iteration will set `starts_segment`; see `segments`.

        Returns:
            Their times in seconds; empty if the file cannot be read in segments.

        Raises:
            SourceError: The file cannot be read to its end.
        """
        container = self._container
        format_name = container.format.name
        seekable = "mp4" in format_name or "matroska" in format_name
        if self.live or not seekable or not self.is_splittable:
            return []
        assert self._video_stream.time_base is not None
        try:
            ticks = find_segment_boundaries(Path(container.name), self._video_stream.index)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self.name} cannot be read to its end: {error.strerror}") from None
        return [tick * self._video_stream.time_base - self._time_origin for tick in ticks]

    @property
    def is_splittable(self) -> bool:
        """Return whether all frames so far are independent of what precedes their segment.

        This holds for frames that are undamaged, not deinterlaced and all of one size.
        """
        return self._reader.intact_and_progressive and not self._size_changed

    def _all_items(self) -> Iterator[av.VideoFrame | Packet]:
        while self._lookahead:
            yield self._lookahead.popleft()
        # FFmpeg returns the cover again after a seek.
        yield from (item for item in self._reader_items if not self._is_cover(item))

    def _is_cover(self, item: av.VideoFrame | Packet) -> TypeGuard[Packet]:
        return isinstance(item, Packet) and item.stream_index >= len(self.other_streams)

    def _check_size(self, frame: av.VideoFrame) -> None:
        if (frame.height, frame.width) != self._coded_size:
            self._size_changed = True
            before, self._coded_size = self._coded_size, (frame.height, frame.width)
            warn_user(
                f"{self.name} changes from {format_size(before)} to "
                f"{format_size(self._coded_size)} pixels; letterboxing its frames to the first size"
            )

    def _is_shown_as_decoded(self, frame: av.VideoFrame) -> bool:
        """Return whether a frame's planes need no rotation, letterboxing or FFmpeg."""
        upright = self._orientation == IDENTITY_ORIENTATION
        return upright and (frame.height, frame.width) == self.size and has_yuv_planes(frame)

    def _to_image(self, frame: av.VideoFrame) -> U8 | DecodedImage:
        assert self.size is not None
        image = letterbox(apply_orientation(to_rgb(frame), self._orientation), self.size)
        if image.shape[2] == 3:
            return image
        rgb, alpha = np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3])
        return DecodedImage(rgb, None if alpha.min() == 255 else alpha, self.name)

    def _frame_time(self, frame: av.VideoFrame, index: int) -> Fraction:
        if self._use_arrival_time:
            elapsed = perf_counter() - self._opened_at
            return round(elapsed / float(_DEFAULT_TIME_BASE)) * _DEFAULT_TIME_BASE
        if self._uses_decode_times and frame.time_base is not None:
            if frame.dts is not None:
                ticks = frame.dts - self._decode_delay
                self._last_time = ticks * frame.time_base - self._time_origin
            elif index:  # the decoder returns its last frames without the time of a packet
                self._last_time += 1 / (self.rate or Fraction(25))
            return self._last_time
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base - self._time_origin
        return index / (self.rate or Fraction(25))

    def seek(self, seconds: Fraction) -> None:
        try:
            self._container.seek(
                int((self._time_origin + self.start_time + seconds) * av.time_base)
            )
        except (av.FFmpegError, OSError):
            return  # the input cannot seek
        self._reader_items = iter(self._reader)
        self._lookahead.clear()

    def close(self) -> None:
        self._container.close()


def _read_cover(packet: Packet) -> tuple[CoverArt, ...]:
    """Return the picture of a packet; nothing for the flush packet at the end of the file."""
    context, data = packet.stream.codec_context, bytes(packet.av_packet)
    size = (context.height, context.width)
    return (CoverArt(context.codec.canonical_name, size, data),) if data else ()


def _is_endless(container: Any) -> bool:
    """Return whether an input has no known end; the size of a playlist is not one."""
    has_size = container.size > 0 and container.format.name not in _PLAYLIST_FORMATS
    return container.duration is None and not has_size


def _open_error_text(ffmpeg_input: FFmpegInput, error: Exception) -> str:
    reason = ffmpeg_error_text(error)
    if isinstance(error, (av.ExitError, TimeoutError)):
        reason = f"no data arrived for {ffmpeg_input.timeout_s:g} s"
    if isinstance(error, av.InvalidDataError):
        return f"{ffmpeg_input.name} is not a video that FFmpeg can read"
    return f"{ffmpeg_input.name} does not open: {reason}"
