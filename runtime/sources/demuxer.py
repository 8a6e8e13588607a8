"""Demuxer and decoder that skip damaged packets, count them and print a summary."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import av
from av.stream import Disposition

from ..errors import SourceError
from ..utils.log import warn_user
from .base import Packet, ffmpeg_error_text
from .frame_convert import Deinterlacer
from .segments import SegmentBoundaries

_MAX_CONSECUTIVE_ERRORS = 1000  # the rest of the file counts as lost after that many


class FrameReader:
    """Decoded frames and the packets of other streams, in file order.

    Damaged packets are skipped and counted; a warning at the end lists the losses.

    Args:
        container: An open PyAV input container.
        video_stream: The stream to decode.
        other_streams: The streams whose packets are yielded as they are.
        name: The name of the source in messages.
        endless: The stream has no end of its own and may be joined in the middle.

    Raises:
        SourceError: The stream ends unexpectedly. All frames before that were yielded.
    """

    def __init__(
        self,
        container: Any,
        video_stream: av.VideoStream,
        other_streams: tuple[Any, ...],
        name: str,
        endless: bool,
    ) -> None:
        self._container, self._video_stream, self._name = container, video_stream, name
        self._endless = endless
        self._other_stream_index = {stream.index: i for i, stream in enumerate(other_streams)}
        self.boundaries = SegmentBoundaries()
        self.decode_video = True  # may be cleared during iteration

    def __iter__(self) -> Iterator[av.VideoFrame | Packet]:
        self._frame_count = 0
        self._undecodable_packets = self._corrupt_packets = self._corrupt_frames = 0
        self._regular_steps = 0  # steps of one frame interval from frame to frame
        self._missing_frames = 0  # estimated from the longer steps
        self._last_frame_time = 0.0  # seconds
        self._video_packets = 0
        self._last_packet_end = 0.0  # seconds, of all streams
        self._frame_interval = 1 / float(self._video_stream.average_rate or 25)
        self._deinterlacer: Deinterlacer | None = None
        try:
            end_reason = yield from self._demux()
            if end_reason is not None and self.decode_video:
                yield from self._deinterlace(self._decode(None))
            if self._deinterlacer is not None:
                yield from self._track_gaps(self._deinterlacer(None))
        finally:
            self._warn_about_damage()
        if end_reason is not None:
            raise SourceError(
                f"{self._name} ended unexpectedly after {self._frame_count} frames: {end_reason}"
            )

    def _demux(self) -> Generator[av.VideoFrame | Packet, None, str | None]:
        """Yield all items; return the reason of an early end, or None."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux():
                    if packet.size:
                        self._undecodable_packets += failures
                        failures = 0
                    yield from self._process_packet(packet)
                if self._endless and not self._is_whole_image():
                    return "the sender closed the connection"
                return "the file is truncated" if failures or self._is_truncated() else None
            except av.InvalidDataError:
                failures += 1
                if failures == _MAX_CONSECUTIVE_ERRORS:
                    return "the rest is damaged"
            except (av.ExitError, TimeoutError):
                return "no data arrived in time"
            except (av.FFmpegError, OSError) as error:
                return ffmpeg_error_text(error)

    def _is_whole_image(self) -> bool:
        """Return whether what ended is an image of unknown length, such as a camera's snapshot."""
        name = self._container.format.name
        return name in ("gif", "apng") or (name.endswith("_pipe") and self._frame_count == 1)

    def _is_truncated(self) -> bool:
        """Return whether all streams end long before the duration in the file's header."""
        format_name, duration = self._container.format.name, self._container.duration
        if duration is None or not ("matroska" in format_name or "mp4" in format_name):
            return False  # FFmpeg only estimates the duration of other formats
        if 0 < self._video_stream.frames <= self._video_packets:
            return False  # MP4 does not store how long the last frame of B-frames is shown
        return bool(self._last_packet_end < 0.95 * duration / av.time_base - 0.5)

    def _process_packet(self, packet: Any) -> Iterator[av.VideoFrame | Packet]:
        timestamp = packet.dts if packet.pts is None else packet.pts
        if timestamp is not None:
            end = float((timestamp + (packet.duration or 0)) * packet.time_base)
            self._last_packet_end = max(self._last_packet_end, end)
        if packet.stream.index in self._other_stream_index:
            # The flush packet at the end has no time. Neither has cover art.
            if packet.dts is not None or packet.stream.disposition & Disposition.attached_pic:
                yield Packet(self._other_stream_index[packet.stream.index], packet, packet.stream)
        elif packet.stream.index == self._video_stream.index:
            self._video_packets += packet.size > 0
            self._corrupt_packets += bool(packet.is_corrupt)
            self.boundaries.observe(packet)
            if self.decode_video:
                yield from self._deinterlace(self._decode(packet))

    def _decode(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return self._video_stream.decode(packet)
        except av.FFmpegError:
            # A reader that joins a stream cannot decode frames that refer to earlier ones.
            self._undecodable_packets += packet is not None and (
                self._frame_count > 0 or not self._endless
            )
            return []

    def _deinterlace(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self._corrupt_frames += bool(frame.is_corrupt)
            if self._deinterlacer is None and frame.interlaced_frame:
                warn_user(f"{self._name} is interlaced: deinterlacing it with bwdif")
                self._deinterlacer = Deinterlacer(self._video_stream)
            yield from self._track_gaps(
                self._deinterlacer(frame) if self._deinterlacer else [frame]
            )

    def _track_gaps(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            time = frame.time or 0.0
            steps = (
                (time - self._last_frame_time) / self._frame_interval if self._frame_count else 1.0
            )
            self._regular_steps += 0.8 < steps < 1.2
            self._missing_frames += max(0, round(steps) - 1) if steps > 3 else 0
            self._last_frame_time = time
            self._frame_count += 1
            yield frame

    @property
    def intact_and_progressive(self) -> bool:
        """Return whether the file so far is free of damage and of interlaced frames."""
        return not (
            self._undecodable_packets
            or self._corrupt_frames
            or self._corrupt_packets
            or self._deinterlacer
        )

    def _warn_about_damage(self) -> None:
        # Some demuxers skip damage silently. In a stream with regular timestamps a gap reveals it.
        damaged = max(self._corrupt_frames, self._corrupt_packets)
        steady = self._regular_steps > 0.9 * self._frame_count and not self._endless
        missing = self._missing_frames if steady else 0
        if self._undecodable_packets or damaged or missing:
            warn_user(
                f"{self._name} is damaged: {self._undecodable_packets} packets cannot be decoded, "
                f"{damaged} frames are incomplete, about {missing} are missing; "
                f"{self._frame_count - damaged} intact frames were read"
            )
