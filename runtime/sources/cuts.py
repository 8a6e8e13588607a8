"""Where a film may be cut: a key picture every half minute.

At a cut the encoder begins anew, in every run alike, so that a film whose pieces are translated
apart is the very film that one process makes. The cost is a key picture in half a minute.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import av

PIECE = 30  # seconds, at least


class Cuts:
    """Told of each packet, in the order of the file, it knows the pictures that are cuts: each is
    the first key picture to come that lies `PIECE` or more behind the cut before."""

    def __init__(self) -> None:
        self.due: int | None = None  # the least time of the next, in the stream's ticks
        self._found: deque[int] = deque()

    def look(self, packet: av.Packet[Any]) -> int | None:
        """The time of the picture, in ticks, where it is a cut. packet: of the video stream."""
        if not packet.is_keyframe or packet.pts is None or packet.time_base is None:
            return None
        first = self.due is None
        if self.due is not None and packet.pts < self.due:
            return None
        self.due = packet.pts + round(PIECE / packet.time_base)
        if first:
            return None
        self._found.append(packet.pts)
        return packet.pts

    def at(self, pts: int | None) -> bool:
        """Whether the picture of that time is a cut. To be asked in the order of showing."""
        while self._found and pts is not None and self._found[0] < pts:
            self._found.popleft()
        return bool(self._found) and pts == self._found[0]


def find_cuts(path: Path, stream: int) -> list[int]:
    """The cuts of a file, in ticks of the video stream with that index, by seeking from each to
    the next. Raises PyAV's errors and OSError."""
    cuts, found = Cuts(), []
    with av.open(str(path), metadata_errors="replace") as container:
        video = container.streams[stream]
        assert isinstance(video, av.VideoStream)
        for packet in container.demux(video):
            cuts.look(packet)
            if cuts.due is not None:
                break
        while cuts.due is not None:
            container.seek(cuts.due, stream=video)
            looked = (cuts.look(packet) for packet in container.demux(video))
            cut = next((cut for cut in looked if cut is not None), None)
            if cut is None:
                break
            found.append(cut)
    return found
