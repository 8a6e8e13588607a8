"""Where a film may be cut: a key picture every half minute.

At a cut the encoder begins anew, in every run alike, so that a film whose pieces are translated
apart is the very film that one process makes. The cost is a key picture in half a minute.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import av

MIN_SEGMENT_S = 30  # seconds, at least


class SegmentBoundaries:
    """Told of each packet, in the order of the file, it knows the pictures that are cuts: each is
    the first key picture to come that lies `PIECE` or more behind the cut before."""

    def __init__(self) -> None:
        self.min_next_pts: int | None = None  # the least time of the next, in the stream's ticks
        self._pending: deque[int] = deque()

    def observe(self, packet: av.Packet[Any]) -> int | None:
        """The time of the picture, in ticks, where it is a cut. packet: of the video stream."""
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
        """Whether the picture of that time is a cut. To be asked in the order of showing."""
        while self._pending and pts is not None and self._pending[0] < pts:
            self._pending.popleft()
        return bool(self._pending) and pts == self._pending[0]


def find_segment_boundaries(path: Path, stream: int) -> list[int]:
    """The cuts of a file, in ticks of the video stream with that index, by seeking from each to
    the next. Raises PyAV's errors and OSError."""
    boundaries, found = SegmentBoundaries(), []
    with av.open(str(path), metadata_errors="replace") as container:
        video = container.streams[stream]
        assert isinstance(video, av.VideoStream)
        for packet in container.demux(video):
            boundaries.observe(packet)
            if boundaries.min_next_pts is not None:
                break
        while boundaries.min_next_pts is not None:
            container.seek(boundaries.min_next_pts, stream=video)
            looked = (boundaries.observe(packet) for packet in container.demux(video))
            boundary = next((cut for cut in looked if cut is not None), None)
            if boundary is None:
                break
            found.append(boundary)
    return found
