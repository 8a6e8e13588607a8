"""Reading on through damage."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import av

from ..errors import SourceError
from ..utils.log import warn_user
from .base import Packet
from .frame_convert import Deinterlacer
from .segments import SegmentBoundaries

_MAX_CONSECUTIVE_ERRORS = 1000  # failures in a row, after which the rest is taken for lost


class FrameReader:
    """Decoded frames and the packets of other streams, in the order of the file.

    Damaged packets are skipped and counted; what was lost is said at the end. Raises SourceError
    where the stream breaks off, after the frames before it. endless: a stream that has no end of
    its own, and may be joined in its middle.
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
        self.decode_video = True  # may be turned off underway

    def __iter__(self) -> Iterator[av.VideoFrame | Packet]:
        self._frame_count = self._undecodable_packets = self._corrupt_frames = (
            self._corrupt_packets
        ) = 0
        self._regular_steps = self._missing_frames = (
            0  # steps of one frame; frames that longer ones lack
        )
        self._last_frame_time = self._last_packet_time = (
            0.0  # seconds: of the frames, of all packets
        )
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
                f"{self._name} breaks off after {self._frame_count} frames: {end_reason}"
            )

    def _demux(self) -> Generator[av.VideoFrame | Packet, None, str | None]:
        """All items; returns what ended it too early, or None."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux():
                    if packet.size:
                        self._undecodable_packets += failures
                        failures = 0
                    yield from self._process_packet(packet)
                if self._endless:
                    return "the other end closed it"
                return "it is cut short" if failures or self._is_truncated() else None
            except av.InvalidDataError:
                failures += 1
                if failures == _MAX_CONSECUTIVE_ERRORS:
                    return "the rest is damaged"
            except (av.ExitError, TimeoutError):
                return "nothing came for too long"
            except (av.FFmpegError, OSError) as error:
                return error.strerror or str(error)

    def _is_truncated(self) -> bool:
        """Whether all streams end long before the length that the file's header promises."""
        kind, length = self._container.format.name, self._container.duration
        if length is None or not ("matroska" in kind or "mp4" in kind):
            return False  # elsewhere FFmpeg only estimates it
        return bool(self._last_packet_time < 0.95 * length / av.time_base - 0.5)

    def _process_packet(self, packet: Any) -> Iterator[av.VideoFrame | Packet]:
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            self._last_packet_time = max(self._last_packet_time, float(stamp * packet.time_base))
        if packet.stream.index in self._other_stream_index:
            if packet.dts is not None:  # the flush at the end has none
                yield Packet(self._other_stream_index[packet.stream.index], packet)
        elif packet.stream.index == self._video_stream.index:
            self._corrupt_packets += bool(packet.is_corrupt)
            self.boundaries.observe(packet)
            if self.decode_video:
                yield from self._deinterlace(self._decode(packet))

    def _decode(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return self._video_stream.decode(packet)
        except av.FFmpegError:
            # Who joins a stream cannot decode what refers to pictures before.
            self._undecodable_packets += packet is not None and (
                self._frame_count > 0 or not self._endless
            )
            return []

    def _deinterlace(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self._corrupt_frames += bool(frame.is_corrupt)
            if self._deinterlacer is None and frame.interlaced_frame:
                warn_user(f"{self._name} is interlaced: deinterlaced with bwdif")
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
        """Nothing so far that made one picture depend on others than the file means it to."""
        return not (
            self._undecodable_packets
            or self._corrupt_frames
            or self._corrupt_packets
            or self._deinterlacer
        )

    def _warn_about_damage(self) -> None:
        """Some containers find their way behind damage without a word: there a gap says it, in a
        stream that is steady otherwise."""
        damaged = max(self._corrupt_frames, self._corrupt_packets)
        steady = self._regular_steps > 0.9 * self._frame_count and not self._endless
        missing = self._missing_frames if steady else 0
        if self._undecodable_packets or damaged or missing:
            warn_user(
                f"{self._name} is damaged: {self._undecodable_packets} packets do not decode, {damaged} frames "
                f"are incomplete, about {missing} are missing; "
                f"{self._frame_count - damaged} good ones were read"
            )
