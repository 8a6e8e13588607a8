"""Segment boundaries of a video: keyframes at least 30 s apart.

Every run restarts the encoder at these frames. So a video whose segments are translated by
several processes is identical to the one that a single process writes. The cost is one keyframe
per segment.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import av

MIN_SEGMENT_S = 30


class SegmentBoundaries:
    """Incremental search for segment boundaries in the packets of a video stream.

    A boundary is the first keyframe `MIN_SEGMENT_S` or more after the boundary before.

    Attributes:
        min_next_pts: The earliest time of the next boundary in ticks of the stream; None before
            the first keyframe.
    """

    def __init__(self) -> None:
        self.min_next_pts: int | None = None
        self._pending: deque[int] = deque()

    def observe(self, packet: av.Packet[Any]) -> int | None:
        """Take the next packet in file order; return its pts if it is a boundary."""
        if not packet.is_keyframe or packet.pts is None or packet.time_base is None:
            return None
        first = self.min_next_pts is None
        if self.min_next_pts is not None and packet.pts < self.min_next_pts:
            return None
        self.min_next_pts = packet.pts + round(MIN_SEGMENT_S / packet.time_base)
        if first:
            return None
        self._pending.append(packet.pts)
        return packet.pts

    def is_boundary(self, pts: int | None) -> bool:
        """Return whether the frame at `pts` is a boundary; ask in presentation order."""
        while self._pending and pts is not None and self._pending[0] < pts:
            self._pending.popleft()
        return bool(self._pending) and pts == self._pending[0]


def find_segment_boundaries(path: Path, stream: int) -> list[int]:
    """Find the segment boundaries of a file by seeking from each to the next.

    Args:
        path: The video file.
        stream: The index of the video stream.

    Returns:
        The times of the boundaries in ticks of that stream.

    Raises:
        av.FFmpegError: The file cannot be read.
        OSError: The file cannot be read.
    """
    boundaries, found = SegmentBoundaries(), []
    with av.open(str(path.absolute()), metadata_errors="replace") as container:
        video = container.streams[stream]
        assert isinstance(video, av.VideoStream)
        for packet in container.demux(video):
            boundaries.observe(packet)
            if boundaries.min_next_pts is not None:
                break
        while boundaries.min_next_pts is not None:
            container.seek(boundaries.min_next_pts, stream=video)
            observed = (boundaries.observe(packet) for packet in container.demux(video))
            boundary = next((pts for pts in observed if pts is not None), None)
            if boundary is None:
                break
            found.append(boundary)
    return found
